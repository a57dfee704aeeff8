"""Code that issues show: what is taken out of the text, and what running it says."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.scale.execution.examples import MOST, examples, packages
from sandbox.runners import statements


def test_fenced_python_and_sessions_are_taken() -> None:
    """Statement by statement, in order; other languages, output and what does not parse stay out."""
    issue = """Seen here:
>>> from shop import count
>>> for n in range(2):
...     count(n)
...
1
In [3]: count(
   ...:     7)
Out[3]: 8

```python
x = 1  # a comment
@wraps(f)
def g():
    return x
```

~~~
print("plain")
~~~

```sh
echo = 1
```

```
Traceback (most recent call last):
  File "a.py"
```

```pycon
    >>> y = count(1)
    >>> y
    2
```
"""
    assert examples(issue) == (
        "from shop import count",
        "for n in range(2):\n    count(n)",
        "count(7)",
        "x = 1",
        "@wraps(f)\ndef g():\n    return x",
        "print('plain')",
        "y = count(1)",
        "y",
    )


def test_an_issue_without_code_shows_nothing() -> None:
    """Prose, an open fence, Python 2, an empty text."""
    for issue in ("", "It fails.", "```python\nx = 1", "```python\nprint 1\n```", ">>> "):
        assert examples(issue) == ()
    assert len(examples("```\n" + "x = 1\n" * 500 + "```\n")) == MOST
    assert examples("```\r\nx = 1\r\n```\r\n") == ("x = 1",)


@given(st.text(alphabet=st.sampled_from("`~>. \n\tx=1(In[]:d")))
def test_any_text_is_read(issue: str) -> None:
    """No text makes it raise, and whatever it takes out is Python."""
    for statement in examples(issue):
        ast.parse(statement)


def test_packages_are_those_that_the_patches_change() -> None:
    """Names that an example takes for granted are looked up there, and nowhere in tests."""
    change = "--- a/{0}\n+++ b/{0}\n@@ -1 +1 @@\n-x\n+y\n"
    files = ("src/shop/cart.py", "lib/till/a.py", "tests/test_a.py", "setup.cfg", "one.py", "a-b/c.py")
    assert packages([change.format(path) for path in files] + ["no diff"]) == ["one", "shop", "till"]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").write_text("from shop import cart\ndef count(n): return n + 1\n")
    (tmp_path / "shop/cart.py").write_text("class Cart:\n    pass\n")
    return tmp_path


def run(folder: Path, *lines: str, seconds: int = 20) -> list[str]:
    """What came of each, in a process of its own, as in a sandbox."""
    job, out = folder / "job.json", folder / "out"
    job.write_text(json.dumps({"statements": lines, "packages": ["shop"], "seconds": seconds}))
    subprocess.run([sys.executable, statements.__file__, str(job), str(out)], cwd=folder, check=False)
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_what_statements_print_and_leave(shop: Path) -> None:
    """Values, assigned ones too, what is printed, the last value as ``_``, and no addresses."""
    assert run(shop, "x = [1]", "x", "_ + [2]", "print(x)", "x.append(3)", "x", "object()") == [
        "[1]", "[1]", "[1, 2]", "[1]\n", "", "[1, 3]", "<object object at 0x>",
    ]  # fmt: skip


def test_an_exception_is_what_a_statement_does(shop: Path) -> None:
    """The next one runs all the same, also after an exit, and one that hangs ends."""
    assert run(shop, "1 / 0", "raise SystemExit(3)", "while True: pass", "5", seconds=1) == [
        "ZeroDivisionError: division by zero", "SystemExit: 3", "TimeoutError: it did not end in time", "5",
    ]  # fmt: skip


def test_names_that_are_taken_for_granted_are_looked_up(shop: Path) -> None:
    """In the project, its loaded modules, and well-known modules; the rest stays unknown."""
    assert run(shop, "count(1)", "Cart.__name__", "math.floor(2.5)", "shop.count(2)", "nothing(1)") == [
        "2", "'Cart'", "2", "3", "NameError: name 'nothing' is not defined",
    ]  # fmt: skip


def test_what_was_reached_before_the_process_died_counts(shop: Path) -> None:
    """An example that kills the interpreter takes only itself and what follows."""
    assert run(shop, "1 + 1", "os._exit(1)", "3") == ["2"]


@pytest.mark.parametrize("version", ["3.6", "3.13"])
def test_it_speaks_old_and_new_python(version: str) -> None:
    """It is copied into images whose Python may be 3.6: nothing newer may stand in it."""
    source = Path(statements.__file__).read_text("utf-8")
    ast.parse(source, feature_version=(3, int(version.partition(".")[2])))
    assert "from __future__ import annotations" not in source, "3.6 does not have it"
