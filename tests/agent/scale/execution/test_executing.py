"""Tests run on real patches in a real sandbox: what is kept, what was brought along, what is cached."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from agent.scale.candidates import Candidate
from agent.scale.execution.executing import ExecutionSettings, execute
from agent.scale.execution.nearest import changed_names, nearest_tests
from agent.scale.execution.parts import brought_tests, code_of
from agent.scale.execution.suites import PytestSuite, Ran, RowSuite
from agent.scale.selectors import selector
from sandbox import Sandbox, SandboxSpec, open_sandbox
from sandbox.errors import SandboxDied

FILES = {
    "shop/__init__.py": "",
    "shop/cart.py": "def total(items):\n    return sum(items)\n\n\n"
    "def count(items):\n    return len(items) + 1\n",
    "shop/stock.py": "def left():\n    return 3\n",
    "tests/test_cart.py": "from shop.cart import total\n\n\n"
    "def test_total():\n    assert total([1, 2]) == 3\n",
    "tests/test_stock.py": "from shop.stock import left\n\n\ndef test_left():\n    assert left() == 3\n",
    "tests/test_odd.py": "def test_odd():\n    assert False\n",
}
BROUGHT = "from shop.cart import count\n\n\ndef test_count():\n    assert count([1]) == 1\n"


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> SandboxSpec:
    """A repository with a wrong ``count``, whose existing tests do not look at it."""
    root = tmp_path_factory.mktemp("repository")
    for path, text in FILES.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", str(root)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "base"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    return SandboxSpec(kind="local", source=root, base_commit=head.strip())


def cart(line: str, old: str = "    return len(items) + 1") -> str:
    at = 2 if "sum" in old else 6
    return f"--- a/shop/cart.py\n+++ b/shop/cart.py\n@@ -{at} +{at} @@\n-{old}\n+{line}\n"


def new_file(path: str, text: str) -> str:
    lines = text.splitlines()
    body = "".join(f"+{line}\n" for line in lines)
    return (
        f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n"
        f"@@ -0,0 +1,{len(lines)} @@\n{body}"
    )


def candidates(*patches: str) -> list[Candidate]:
    return [Candidate("i", patch, f"s{n}", n, False) for n, patch in enumerate(patches)]


@dataclass
class Counting:
    """pytest, and how often it was asked."""

    fingerprint: str = PytestSuite.fingerprint
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def run(self, box: Sandbox, files: Sequence[str], timeout: float) -> Ran:
        self.asked.append(tuple(files))
        return PytestSuite().run(box, files, timeout)

    def prepare(self, box: Sandbox) -> list[str]:
        return []


RIGHT = cart("    return len(items)")
WRONG = cart("    return len(items) + 2")
BREAKING = cart("    return 0", "    return sum(items)")


def test_existing_and_brought_tests_tell_the_patches_apart(spec: SandboxSpec, tmp_path: Path) -> None:
    """The breaking patch keeps fewer; the test that came with a wrong patch still finds the right one."""
    found = candidates(
        WRONG + new_file("tests/test_count.py", BROUGHT), RIGHT, BREAKING, "", "no diff", RIGHT + "\n"
    )
    suite = Counting()
    pool = execute(found, spec, suite, ExecutionSettings(tmp_path))
    runs = {n: pool.run(n) for n in range(len(found))}
    assert [runs[n].kept for n in (0, 1, 2, 5)] == [2, 2, 1, 2]
    assert runs[1].before == 2
    assert [list(runs[n].generated.values()) for n in (0, 1, 2)] == [[False], [True], [False]]
    assert list(pool.origin.values()) == [0]
    assert list(selector("hybrid").best(pool, range(6))) == [1, 5]
    assert list(selector("regression").best(pool, range(6))) == [0, 1, 5]
    assert list(selector("reproduction").best(pool, range(6))) == [1, 5]

    before = len(suite.asked)
    assert execute(found, spec, suite, ExecutionSettings(tmp_path)) == pool
    assert len(suite.asked) == before, "everything is in the cache"
    more = candidates(*(c.patch for c in found), cart("    return len(list(items))"))
    execute(more, spec, suite, ExecutionSettings(tmp_path))
    assert len(suite.asked) == before + 3, "one more patch: two batches and the tests that came along"


def test_what_the_issue_shows_tells_the_patches_apart(spec: SandboxSpec, tmp_path: Path) -> None:
    """No test looks at ``count``; two that do the same there outvote one, though all texts differ."""
    issue = "It is wrong:\n\n    >>> from shop.cart import count\n    >>> count([7])\n    2\n"
    found = candidates(
        WRONG, RIGHT, cart("    return sum(1 for item in items)"), cart("    pass", "no such line")
    )
    pool = execute(found, spec, PytestSuite(), ExecutionSettings(tmp_path), issue=issue)
    assert [pool.run(n).shown for n in range(4)] == [("", "3"), ("", "1"), ("", "1"), ()]
    assert list(selector("behaviour").best(pool, range(4))) == [1, 2]
    assert list(selector("hybrid").best(pool, range(4))) == [1, 2]
    assert list(selector("majority").best(pool, range(4))) == [0, 1, 2, 3]


def test_what_differs_from_run_to_run_says_nothing(spec: SandboxSpec, tmp_path: Path) -> None:
    """A clock in an example would make every candidate a group of its own."""
    issue = "```python\nimport time\ntime.time_ns()\n```\n"
    pool = execute(candidates(RIGHT, WRONG), spec, PytestSuite(), ExecutionSettings(tmp_path), issue=issue)
    assert [pool.run(n).shown for n in range(2)] == [("",), ("",)]


def test_a_patch_that_does_not_apply_is_an_answer(spec: SandboxSpec, tmp_path: Path) -> None:
    """It keeps nothing; it is no failure of the environment."""
    pool = execute(
        candidates(RIGHT, cart("    pass", "    something else")),
        spec,
        PytestSuite(),
        ExecutionSettings(tmp_path),
    )
    assert (pool.run(1).applied, pool.run(1).kept) == (False, 0)


def test_a_failure_of_the_environment_is_not_recorded(spec: SandboxSpec, tmp_path: Path) -> None:
    """A container that dies says nothing of the patch: the next call runs it."""

    class Dying(Counting):
        def run(self, box: Sandbox, files: Sequence[str], timeout: float) -> Ran:
            raise SandboxDied("gone")

    with pytest.raises(SandboxDied):
        execute(candidates(RIGHT), spec, Dying(), ExecutionSettings(tmp_path))
    pool = execute(candidates(RIGHT), spec, PytestSuite(), ExecutionSettings(tmp_path))
    assert pool.run(0).kept == 2


def test_a_spoilt_cache_file_is_run_again(spec: SandboxSpec, tmp_path: Path) -> None:
    """Half a file, or another's, may not be taken for a result."""
    first = execute(candidates(RIGHT), spec, PytestSuite(), ExecutionSettings(tmp_path))
    for number, path in enumerate(sorted(tmp_path.rglob("*.json"))):
        path.write_text(["{", "[]", '{"applied": true}'][number % 3])
    again = execute(candidates(RIGHT), spec, PytestSuite(), ExecutionSettings(tmp_path))
    assert {key: replace(run, seconds=0) for key, run in (again.executed or {}).items()} == {
        key: replace(run, seconds=0) for key, run in (first.executed or {}).items()
    }


def test_the_nearest_tests_come_first(spec: SandboxSpec) -> None:
    """By name, by import, by what they mention; and only files that the base commit has."""
    with open_sandbox(spec) as box:
        assert nearest_tests(box, [RIGHT], 2)[0] == "tests/test_cart.py"
        assert nearest_tests(box, [cart("x").replace("shop/cart", "shop/stock")], 1) == [
            "tests/test_stock.py"
        ]
        assert nearest_tests(box, [""], 3) == []
        assert "tests/test_count.py" not in nearest_tests(box, [new_file("tests/test_count.py", BROUGHT)], 9)


def test_names_that_a_patch_is_about() -> None:
    """From hunk headings and context; none from tests."""
    hunk = "--- a/a.py\n+++ b/a.py\n@@ -3 +3 @@ class Shop(Base):\n-    def total(self): pass\n+    x\n"
    assert changed_names(hunk) == {"Shop", "total"}
    assert changed_names(hunk.replace("a.py", "tests/test_a.py")) == set()
    assert changed_names("no diff") == set()


def test_code_and_tests_of_a_patch() -> None:
    """conftest.py is neither: a candidate could steer how others' tests run."""
    whole = (
        RIGHT
        + new_file("tests/test_count.py", BROUGHT)
        + new_file("tests/conftest.py", "x = 1")
        + new_file("reproduce_bug.py", "print(1)")
    )
    assert code_of(whole) == RIGHT
    assert list(brought_tests(whole)) == ["tests/test_count.py"]
    assert brought_tests("no diff") == {}


ROW = {
    "instance_id": "django__django-1",
    "log_parser": "parse_log_django",
    "test_patch": "diff --git a/tests/auth_tests/test_validators.py b/tests/auth_tests/test_validators.py\n",
    "eval_script": ": '>>>>> Start Test Output'\n./tests/runtests.py --verbosity 2 "
    "auth_tests.test_validators\n: '>>>>> End Test Output'\n",
}


def test_a_rows_command_comes_without_its_hidden_tests() -> None:
    """Where only the eval script says how tests are run, the files that it names are taken out."""
    assert RowSuite(ROW).fingerprint.endswith(" ./tests/runtests.py --verbosity 2")


def test_names_that_the_log_runs_together_are_told_apart() -> None:
    """Django prints nothing for a test that fails in its subtests: the next one's line goes on behind it.
    As one odd name it would look like a test of its own that some patches lack."""
    log = (
        ">>>>> Start Test Output\ntest_w (a.B) ... ok\ntest_y (a.B) ... test_z (a.B) ... ok\n"
        ">>>>> End Test Output\n"
    )
    assert RowSuite(ROW)._parsed(log) == {"test_w (a.B)": True, "test_y (a.B)": False, "test_z (a.B)": True}


def test_a_log_is_read_by_the_rows_own_parser() -> None:
    """swebench's names and verdicts; what is outside the markers does not count."""
    log = (
        "test_x (a.B) ... ok\n>>>>> Start Test Output\ntest_y (a.B) ... ok\ntest_z (a.B) ... FAIL\n"
        "test_s (a.B) ... skipped 'no'\n>>>>> End Test Output\ntest_w (a.B) ... ok\n"
    )
    assert RowSuite(ROW)._parsed(log) == {"test_y (a.B)": True, "test_z (a.B)": False}


def test_a_rows_command_is_run_on_the_files_that_are_asked_for(spec: SandboxSpec) -> None:
    """Its own command and parser, on a real tree; a file that fails is told from one that is not there."""
    row = {
        **ROW,
        "environment": {
            "test_cmd": "python -m pytest -rA -p no:cacheprovider",
            "eval_commands": ["export A=1"],
        },
        "log_parser": "parse_log_pytest_v2",
    }
    with open_sandbox(spec) as box:
        ran = RowSuite(row).run(box, ["tests/test_stock.py", "tests/test_odd.py"], 60)
        assert ran.outcomes == {"tests/test_stock.py::test_left": True, "tests/test_odd.py::test_odd": False}
        assert not ran.timed_out
        assert True not in RowSuite(row).run(box, ["tests/test_none.py"], 60).outcomes.values()


def test_a_rows_set_up_is_done_once_a_sandbox(spec: SandboxSpec) -> None:
    """Django's rows generate a locale, seconds each time; what the set-up exports must hold later, too."""
    row = {
        **ROW,
        "environment": {
            "test_cmd": "test $A = 1 && python -m pytest -rA -p no:cacheprovider",
            "eval_commands": ["echo x >> $TMPDIR/set-up", "export A=1"],
        },
        "log_parser": "parse_log_pytest_v2",
    }
    with open_sandbox(spec) as box:
        suite = RowSuite(row)
        counted = f"export TMPDIR={box.scratch}"
        for _ in range(2):
            box.run("\n".join([counted, *suite.prepare(box), "true"]))
            assert suite.run(box, ["tests/test_stock.py"], 60).outcomes
        assert box.read(f"{box.scratch}/set-up") == b"x\n"


def test_the_files_that_candidates_bring_tests_in_come_first(spec: SandboxSpec) -> None:
    """Where the writers of patches put their tests is the best hint at where this bug's tests are."""
    with open_sandbox(spec) as box:
        named = ["tests/test_odd.py", "tests/test_new.py"]
        assert nearest_tests(box, [RIGHT], 2, named) == ["tests/test_odd.py", "tests/test_cart.py"]


def test_a_file_that_one_of_many_changes_weighs_little(spec: SandboxSpec) -> None:
    """One stray patch to another file may not pull all tests there."""
    stray = cart("x").replace("shop/cart", "shop/stock")
    with open_sandbox(spec) as box:
        found = nearest_tests(box, [RIGHT, WRONG, stray], 2)
    assert found == ["tests/test_cart.py", "tests/test_stock.py"]
