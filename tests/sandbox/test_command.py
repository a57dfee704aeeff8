"""Commands as users type them, traced in a local sandbox: what is recorded, and that they do as ever."""

from __future__ import annotations

import json
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox, SandboxSpec, open_sandbox
from sandbox.command import TracedCommand, parse_command, trace_command
from sandbox.errors import SandboxError, UsageError
from tests.sandbox.test_tracer import MINORS, python

Open = Callable[..., Sandbox]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens a local sandbox on a folder with the files given."""
    boxes: list[Sandbox] = []

    def open_with(files: dict[str, str], **spec: Any) -> Sandbox:
        source = tmp_path / f"source{len(boxes)}"
        for path, text in files.items():
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            (source / path).write_text(textwrap.dedent(text), "utf-8")
            if text.startswith("#!"):
                (source / path).chmod(0o755)
        boxes.append(open_sandbox(SandboxSpec(kind="local", source=source, **spec)))
        return boxes[-1]

    yield open_with
    for box in boxes:
        box.close()


def events(done: TracedCommand, run: int | None = None) -> list[tuple[str, int]]:
    """Function and line of each line event."""
    rows = [json.loads(line) for line in done.traced.trace.splitlines()]
    return [
        (r["function"], r["line"])
        for r in rows
        if r.get("event") == "line" and run in (None, r.get("run", 1))
    ]


def outcomes(done: TracedCommand) -> list[dict[str, str]]:
    return [{case.id: case.outcome for case in run.cases} for run in done.traced.runs]


SHOP = """\
CACHE = {}


def price(name):
    if name not in CACHE:
        CACHE[name] = 4
    return CACHE[name]
"""
TEST = """
import unittest
from shop import CACHE, price

class TestPrice(unittest.TestCase):
    made = 0
    @classmethod
    def setUpClass(cls): cls.made += 1
    def setUp(self): self.seen = None
    def test_price(self):
        self.assertIsNone(self.seen)
        self.seen = price("tea")
    def test_first(self):
        self.assertNotIn("milk", CACHE)
        price("milk")
    @unittest.skip("later")
    def test_skipped(self): pass
    @unittest.expectedFailure
    def test_expected(self): self.fail()
    def test_sub(self):
        for n in range(2):
            with self.subTest(n=n): self.assertEqual(n, 0)
    def test_error(self): raise KeyError("x")

class TestBroken(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise OSError("no disk")
    def test_a(self): pass
"""
FOUND = {
    "TestPrice::test_price": "passed", "TestPrice::test_first": "passed",
    "TestPrice::test_skipped": "skipped", "TestPrice::test_expected": "skipped",
    "TestPrice::test_sub": "failed", "TestPrice::test_error": "failed", "TestBroken::test_a": "error",
}  # fmt: skip
TWICE = [("price", 5), ("price", 6), ("price", 7)], [("price", 5), ("price", 7)]


def test_pytest_and_unittest_run_each_test_once_a_run(opened: Open) -> None:
    """Would catch outcomes read wrong, a test instance that is kept for the second run, modules that are
    loaded anew, and a command that does not run in the directory where it is typed."""
    box = opened({"lib/shop.py": SHOP, "lib/tests/__init__.py": "", "lib/tests/test_shop.py": TEST})
    name = "lib/tests/test_shop.py::"
    for command in ("python -m unittest tests.test_shop", "python -m unittest discover", "pytest -q tests"):
        words = ["env", "PYTHONPATH=.", *command.split()]
        done = trace_command(box, words, functions={"lib/shop.py": []}, folder="lib")
        first, second = outcomes(done)
        assert first == {name + test: outcome for test, outcome in FOUND.items()}, command
        assert second == first | {name + "TestPrice::test_first": "failed"}
        assert not done.ok
        assert done.exit_code == 1
    one = trace_command(
        box, ["python", "-m", "unittest", "tests.test_shop.TestPrice.test_price"],
        functions={"lib/shop.py": ["price"]}, folder="lib",
    )  # fmt: skip
    assert (events(one, 1), events(one, 2)) == TWICE
    assert one.ok


STOPS = """
import pytest
def test_a(): pass
def test_b(): assert 0
def test_c(): assert 0
def test_end(): pytest.exit("enough")
def test_late(): pass
"""
DOCUMENTED = '''
def add(a, b):
    """
    >>> x = add("a", "b")
    >>> x
    'ab'
    """
    return a + b
'''


def test_pytest_stops_where_it_would(opened: Open) -> None:
    """Would catch ``-x`` that is passed over in silence, or ends the second run with the first; tests that
    run though they were only to be listed; a test that left the session and reads as passed; doctests that
    lack their names in the second run."""
    box = opened({"test_a.py": STOPS, "shop.py": DOCUMENTED})
    command = ["pytest", "-q", "-p", "no:cacheprovider"]
    done = trace_command(box, [*command, "-x"])
    ended = {"a": "passed", "b": "failed", "c": "skipped", "end": "skipped", "late": "skipped"}
    assert outcomes(done) == [{f"test_a.py::test_{name}": outcome for name, outcome in ended.items()}] * 2
    assert "-x, --maxfail" in done.traced.runs[1].cases[2].message
    assert "stopping after 1 failures" in done.output
    assert events(done, 2)[-1] == ("test_b", 4)
    listed = trace_command(box, [*command, "--collect-only"])
    assert (listed.exit_code, events(listed), listed.ok) == (0, [], False)
    left = trace_command(box, [*command, "test_a.py::test_end", "test_a.py::test_late"])
    cases = left.traced.runs[0].cases
    assert [(c.outcome, c.message.splitlines()[0]) for c in cases] == [
        ("error", "Exit: enough"),
        ("error", "it was not run: the session ended before it"),
    ]
    documented = trace_command(box, [*command, "--doctest-modules", "shop.py"])
    assert outcomes(documented) == [{"shop.py::shop.add": "passed"}] * 2


FAILS = """
import unittest
class TestA(unittest.TestCase):
    def test_a(self): pass
    def test_b(self): self.fail()
    def test_c(self): pass
class TestB(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise OSError
    def test_d(self): pass
class TestC(unittest.TestCase):
    def test_e(self): raise KeyboardInterrupt
"""


def test_unittest_stops_where_it_would(opened: Open) -> None:
    """Would catch ``--failfast`` that ends the second run with the first, or never ends; an interrupted test
    that reads as passed; doctests that lack their names in the second run."""
    load = "import doctest, shop\n\ndef load_tests(*_):\n    return doctest.DocTestSuite(shop)\n"
    box = opened({"test_a.py": FAILS, "shop.py": DOCUMENTED, "test_shop.py": load})
    command = ["python", "-m", "unittest"]
    done = trace_command(box, [*command, "-f", "test_a.TestA"])
    ended = {"a": "passed", "b": "failed", "c": "skipped"}
    assert (
        outcomes(done) == [{f"test_a.py::TestA::test_{name}": outcome for name, outcome in ended.items()}] * 2
    )
    assert events(done, 2)[-1] == ("TestA.test_b", 5)
    never = trace_command(box, [*command, "-f", "test_a.TestB"], timeout=60)
    assert (never.timed_out, never.ok) == (False, False)
    left = trace_command(box, [*command, "test_a.TestC"])
    assert [(c.outcome, c.message) for c in left.traced.runs[0].cases] == [("error", "KeyboardInterrupt")]
    assert trace_command(box, [*command, "test_shop"]).ok


LOAD = """\
def load(path):
    with open(path) as file:
        return file.read()
"""
MOCKED = """
import unittest
from unittest import mock
import shop

class TestOpen(unittest.TestCase):
    def test_open(self):
        with mock.patch("builtins.open", mock.mock_open(read_data="tea")) as opened:
            assert shop.load("nowhere") == "tea"
        assert opened.call_count == 1
"""


def test_what_tests_replace_is_not_used(opened: Open) -> None:
    """Would catch a tracer that opens a source through the ``open`` that a test has put there, and is
    counted; on the oldest Python that is found and the newest."""
    there = [path for minor in MINORS if (path := python(minor))]
    for interpreter in dict.fromkeys((there[0], there[-1])):
        box = opened({"shop.py": LOAD, "test_shop.py": MOCKED}, python=interpreter)
        done = trace_command(box, ["python", "-m", "unittest", "test_shop"])
        assert done.ok, done.output
        assert events(done, 2) == events(done, 1)
        assert ("load", 3) in events(done, 1)


def test_programs_of_all_kinds(opened: Open) -> None:
    """Would catch arguments, exit statuses, directories or output that are not the program's own."""
    main = (
        "import sys, os\nfrom shop import price\n"
        "print(sys.argv[1:], __name__, os.path.basename(os.getcwd()))\nprice('tea')\nsys.exit({})\n"
    )
    box = opened(
        {
            "shop.py": SHOP,
            "script.py": main.format("len(sys.argv) - 2"),
            "tool": "#!/usr/bin/env python\n" + main.format("None"),
            "pack/__init__.py": "",
            "pack/__main__.py": main.format("3"),
            "shell": "#!/bin/sh\nexit 0\n",
        }
    )
    for command, status, argv in (
        (["python", "script.py", "a b"], 0, ["a b"]),
        (["python", "-X", "dev", "-B", "script.py", "-c", "--"], 1, ["-c", "--"]),
        (["./tool", "--json"], 0, ["--json"]),
        (["python", "-m", "pack", "x"], 3, ["x"]),
        (["A=1", "python", "-c", "import os, shop; shop.price('tea'); print(os.environ['A'])"], 0, None),
    ):
        done = trace_command(box, command)
        assert done.exit_code == status, done.output
        assert done.ok == (status == 0)
        assert [e for e in events(done, 2) if e[0] == "price"] == TWICE[1]
        said = done.output.splitlines()
        assert said[0] == said[1] == (f"{argv} __main__ repo" if argv is not None else "1")
    assert [
        line for name, line in events(trace_command(box, ["python", "script.py", "x"])) if name == "<module>"
    ]
    for command, why in (
        (["./shell"], "no Python program"), (["make", "test"], "give the command of the target"),
        (["python"], "given no program"), (["python", "--version"], "runs no program"),
        (["python", "none.py"], "there is no none.py"), (["nothing-like-it"], "there is no command"),
        (["A=1"], "no command"), (["python", "-m"], "lacks its argument"),
        (["python9", "x.py"], "no python9"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=why):
            trace_command(box, command)
    parsed = parse_command(box, ["python", "-W", "error", "-mpack", "-x"], box.workdir)
    assert (parsed.kind, parsed.target, parsed.args) == ("module", "pack", ("-x",))
    assert parsed.python == "python -W error"


HOSTILE = {
    "threads": """
        import threading
        total, lock = [0], threading.Lock()
        def work():
            for _ in range(200):
                with lock:
                    total[0] += 1
        threads = [threading.Thread(target=work) for _ in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        print(total)
        """,
    "coroutines": """
        import asyncio
        async def fails(n):
            await asyncio.sleep(0.001)
            raise ValueError(n)
        async def numbers():
            for i in range(3):
                yield i
                await asyncio.sleep(0)
        async def main():
            print(await asyncio.gather(*[fails(i) for i in range(3)], return_exceptions=True))
            print([i async for i in numbers()])
            task = asyncio.ensure_future(asyncio.sleep(10))
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                print("cancelled")
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()
        """,
    "recursion": """
        def endless(n): return endless(n + 1)
        try:
            endless(0)
        except RecursionError:
            print("deep")
        """,
    "a trace function of its own": """
        import sys
        seen = []
        def follow(frame, event, arg):
            seen.append(event)
            return follow
        def f(): return 1
        sys.settrace(follow)
        f()
        sys.settrace(None)
        print(seen[:3])
        """,
    "the end of the tracer": """
        import sys, threading
        sys.settrace(None)
        threading.settrace(None)
        api = getattr(sys, "monitoring", None)
        for tool in range(6) if api else ():
            if api.get_tool(tool) == "fixbug":
                api.set_events(tool, 0)
                api.free_tool_id(tool)
        print("free")
        """,
    "forks": """
        import os
        def f(): return 1
        children = [os.fork() for _ in range(3)]
        for _ in range(50):
            f()
        if 0 in children:
            os._exit(0)
        print([os.waitpid(child, 0)[1] for child in children])
        """,
    "no source left": """
        import os, shutil
        def f(): return 1
        shutil.rmtree(os.path.dirname(os.path.abspath(__file__)), ignore_errors=True)
        print(f())
        """,
    "nothing open": """
        import os
        def f(): return 1
        os.closerange(0, 100)
        f()
        """,
    "arguments and paths gone": """
        import os, sys
        os.chdir("/")
        sys.argv[:], sys.path[:], sys.stdout = [], [], None
        """,
    "objects that refuse": """
        class Stop(BaseException): pass
        class Refuses:
            def __getattribute__(self, name): raise Stop
            __repr__ = __eq__ = __hash__ = __len__ = __bool__ = __iter__ = None
        def f(value):
            kept = [value, {"x": value}, (value,)]
            raise Stop("no")
        try:
            f(Refuses())
        except Stop as stop:
            print(stop)
        """,
    "an exit handler": "import atexit\natexit.register(print, 'bye')\nraise SystemExit(3)\n",
    "its own main": """
        import __main__, pickle
        class A: pass
        print(type(pickle.loads(pickle.dumps(A()))) is A, __main__.A is A, __name__)
        """,
    "much output": "for _ in range(5000): print('x' * 1000)\n",
    "a hook for what nobody catches": """
        import sys
        def say(kind, error, trace):
            print(kind.__name__, error, trace.tb_lineno, trace.tb_frame.f_code.co_name)
        sys.excepthook = say
        def f(): raise ValueError("x")
        f()
        """,
    "interrupted": """
        import sys
        sys.excepthook = lambda kind, error, trace: print(kind.__name__, __file__ == sys.argv[0])
        raise KeyboardInterrupt
        """,
    "killed": "import os, signal\nx = 1\nos.kill(os.getpid(), signal.SIGKILL)\n",
    "gone with 0": "import os\nx = 1\nos._exit(0)\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_watched_does_as_it_would(opened: Open, name: str) -> None:
    """Would catch a tracer that changes what a program prints or how it ends, on the oldest Python that is
    found, the last one without ``sys.monitoring`` and the newest; and a process that died and reads as a
    success."""
    there = [path for minor in MINORS if (path := python(minor))]
    older = [path for minor in MINORS if minor < 12 and (path := python(minor))]
    for interpreter in dict.fromkeys((there[0], (older or there)[-1], there[-1])):
        files = {"prog.py": HOSTILE[name]}
        plain = opened(files, python=interpreter).run("python prog.py", env={"PYTHONHASHSEED": "0"})
        done = trace_command(opened(files, python=interpreter), ["python", "prog.py"], runs=1)
        assert (done.exit_code, done.output) == (plain.exit_code, plain.output), interpreter
        ended = '"end":true' in done.traced.trace
        if name in ("killed", "gone with 0"):
            assert (done.ok, ended) == (False, False)
            assert events(done)[-1] == ("<module>", 3)
        else:
            assert done.ok == (plain.exit_code == 0)
            assert ended or name == "the end of the tracer"
            assert '"tracer"' not in done.traced.trace.splitlines()[-1]


def test_what_puts_an_end_to_the_record_is_said(opened: Open) -> None:
    """Would catch a trace that reads as whole, or a traceback, when the program frees the tracer's place, or
    removes its record or its results."""
    find = (
        "here = [line.split()[-1] for line in open('/proc/self/maps') if line.rstrip().endswith('/record')]\n"
    )
    done = trace_command(
        opened({"a.py": find + "import os\nos.unlink(here[0])\n"}), ["python", "a.py"], runs=1
    )
    assert done.exit_code == 0
    assert done.traced.trace == ""
    assert any("put an end to the tracer" in note for note in done.traced.notes)
    gone = find + "import os, shutil\nshutil.rmtree(os.path.dirname(here[0]))\n"
    with pytest.raises(SandboxError, match="removed the folder"):
        trace_command(opened({"a.py": gone}), ["python", "a.py"])


def test_a_program_that_never_ends_leaves_what_it_did(opened: Open) -> None:
    """Would catch a hang, a lost trace, or a cap that is not reported."""
    box = opened(
        {
            "a.py": "n = 0\nwhile True:\n    n += 1\n",
            "b.py": "def f(n):\n    return n\nfor n in range(9):\n    f(n)\n",
        }
    )
    done = trace_command(box, ["python", "a.py"], timeout=4, max_frames=100)
    assert done.timed_out
    assert not done.ok
    assert len(events(done)) > 40
    capped = trace_command(box, ["python", "b.py"], max_frames=20)
    end = json.loads(capped.traced.trace.splitlines()[-1])
    assert end["limits"] == {"frames": "10, reached in run 1; 20, reached in run 2"}


WATCHED = """
import sys

seen = []

def follow(frame, event, arg):
    seen.append(frame.f_code.co_name)
    return follow

def pytest_runtest_logreport(report):
    if report.when == "call":
        assert sys.gettrace() is follow

sys.settrace(follow)
"""


def test_a_trace_function_that_was_set_before_is_set_again(opened: Open) -> None:
    """Would catch coverage and debuggers being cut off for good by a traced test, or taking its place."""
    files = {"shop.py": SHOP, "conftest.py": WATCHED, "test_shop.py": "from shop import price\n\n"}
    files["test_shop.py"] += "def test_price():\n    assert price('tea') == 4\n"
    done = trace_command(opened(files), ["pytest", "test_shop.py"], functions={"shop.py": []})
    assert done.ok, done.output
    assert (events(done, 1), events(done, 2)) == TWICE
    noted = any("another trace function was set" in note for note in done.traced.notes)
    assert noted == (sys.version_info < (3, 12))


def test_a_copy_may_lie_inside_what_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Would catch a copy that copies itself until the disk is full."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "a.py").write_text("print(1)\n")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    with open_sandbox(SandboxSpec(kind="local", source=tmp_path)) as box:
        assert trace_command(box, ["python", "a.py"]).output == "1\n1\n"
