"""Tests of repositories that are not meant for pytest: Django's own runner, sympy's, unittest alone.

The runners here are small ones of our own that speak as the real ones do: options, labels, and the classes
and methods that are hooked.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sandbox import Sandbox
from sandbox.errors import SandboxError, UsageError
from sandbox.testing import TestRun, collect, executed_lines, run_tests, trace_test
from tests.sandbox.test_command import FOUND, SHOP, TEST, TWICE, Open, opened

__all__ = ["opened"]

RUNTESTS = """
import argparse, os, sys, unittest
if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("labels", nargs="*")
    parser.add_argument("--noinput", action="store_true")
    parser.add_argument("--parallel", type=int, default=0)
    parser.add_argument("--settings")
    options = parser.parse_args()
    assert options.parallel == 1 and options.settings == "test_sqlite"
    assert sys.path[0] == os.path.dirname(os.path.abspath(__file__))
    loader = unittest.TestLoader()
    suite = unittest.TestSuite(loader.loadTestsFromName(label) for label in options.labels)
    if not options.labels:
        suite = loader.discover(sys.path[0], "test_*.py")
    result = unittest.TextTestRunner().run(suite)
    sys.exit(bool(result.failures or result.errors))
"""
MANAGE = """
import os, sys
if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    assert sys.argv[1] == "test" and "--parallel=1" in sys.argv
    import unittest
    labels = [a for a in sys.argv[2:] if not a.startswith("-")]
    result = unittest.TextTestRunner().run(unittest.TestLoader().loadTestsFromNames(labels))
    sys.exit(not result.wasSuccessful())
"""
BIN_TEST = """
import os, sys
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import sympy
args = [a for a in sys.argv[1:] if not a.startswith("-")]
assert "--no-subprocess" in sys.argv
sys.exit(not sympy.test(*args))
"""
SYMPY = """
def test(*paths):
    from sympy.utilities import runtests
    return runtests.test(*paths)
"""
SYMPY_RUNTESTS = """
import os, sys

class PyTestReporter:
    def __init__(self): self.bad = 0
    def entering_test(self, f): pass
    def test_pass(self, char="."): pass
    def test_fail(self, info): self.bad += 1
    def test_exception(self, info): self.bad += 1
    def test_skip(self, v=None): pass
    def test_xfail(self): pass
    def test_xpass(self, v): pass
    def import_error(self, filename, info): self.bad += 1

class SymPyTests:
    def __init__(self, reporter): self._reporter, self._testfiles = reporter, []
    def get_test_files(self, dir, pat="test_*.py"):
        top = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "core", "tests")
        return sorted(os.path.join(top, name) for name in os.listdir(top) if name.startswith("test_"))
    def matches(self, x): return True
    def test(self, sort=False):
        for file in self._testfiles: self.test_file(file)
        return not self._reporter.bad
    def test_file(self, filename, sort=True):
        gl, reporter = {"__file__": filename}, self._reporter
        try:
            exec(compile(open(filename).read(), filename, "exec"), gl)
        except ImportError:
            return reporter.import_error(filename, sys.exc_info())
        for f in [gl[n] for n in gl if n.startswith("test_") and self.matches(gl[n])]:
            reporter.entering_test(f)
            try:
                f()
            except Exception as error:
                kind = type(error).__name__
                if kind == "AssertionError": reporter.test_fail(sys.exc_info())
                elif kind == "Skipped": reporter.test_skip(error)
                else: reporter.test_exception(sys.exc_info())
            else:
                reporter.test_pass()

def test(*paths):
    runner = SymPyTests(PyTestReporter())
    files = runner.get_test_files("sympy")
    runner._testfiles += [f for f in files if not paths or any(p in f for p in paths)]
    return runner.test(sort=True)
"""
SYMPY_TEST = """
from sympy.shop import CACHE, price

class Skipped(Exception): pass

def test_price(): assert price("tea") == 4
def test_first():
    assert "milk" not in CACHE
    price("milk")
def test_fails(): assert price("x") == 5
def test_raises(): raise KeyError("x")
def test_skipped(): raise Skipped("slow")
"""


def outcomes(run: TestRun) -> dict[str, str]:
    return {case.id: case.outcome for case in run.cases}


def django(box_of: Open) -> Sandbox:
    plain = "def test_plain():\n    assert 1 == 2\n\ndef helper(): pass\n"
    return box_of(
        {
            "django/__init__.py": "",
            "tests/runtests.py": RUNTESTS,
            "tests/shop.py": SHOP,
            "tests/cache/__init__.py": "",
            "tests/cache/tests.py": TEST,
            "tests/test_plain.py": plain,
            "tests/test_broken.py": "import nothing\n\ndef test_a(): pass\n",
        }
    )


@pytest.mark.parametrize("where", ["django", "manage"])
def test_djangos_runner(opened: Open, where: str) -> None:
    """Would catch tests that run under pytest, without the set-up that they need, labels that are not
    understood, and outcomes, ids or a second run that differ from pytest's."""
    if where == "django":
        box, name, labels = django(opened), "tests/cache/tests.py::", "cache.tests"
    else:
        files = {"site/manage.py": MANAGE, "site/shop.py": SHOP, "site/cache/tests.py": TEST}
        box, name, labels = opened(files), "site/cache/tests.py::", "cache.tests"
    done = run_tests(box, [name.strip(":")])
    assert outcomes(done) == {name + test: outcome for test, outcome in FOUND.items()}
    assert "AssertionError: 1 != 0" in {c.id: c.message for c in done.cases}[name + "TestPrice::test_sub"]
    assert done.exit_code == 1
    one = name + "TestPrice::test_price"
    for asked in (one, f"{labels}.TestPrice.test_price", f"test_price ({labels}.TestPrice)"):
        chosen = run_tests(box, [asked])
        assert outcomes(chosen) == {one: "passed"}
        assert chosen.passed
    assert collect(box, [name + "TestPrice"]) == [name + t for t in sorted(FOUND) if "Price" in t]
    shop = "tests/shop.py" if where == "django" else "site/shop.py"
    assert executed_lines(box, [one])[one][shop] >= {5, 6, 7}
    first = name + "TestPrice::test_first"
    traced = trace_test(box, first, runs=2)
    assert [run.passed for run in traced.runs] == [True, False]
    assert '"function":"price"' in traced.trace
    with pytest.raises(UsageError, match=r"Nearest: .*TestPrice::test_price"):
        run_tests(box, [f"{labels}.TestPrice.test_prise"])
    with pytest.raises(UsageError, match="no such file"):
        run_tests(box, ["nowhere.tests"])


def test_plain_functions_without_pytest(opened: Open) -> None:
    """Would catch a model's own test, written as a plain function, that Django's runner would pass by."""
    box = django(opened)
    done = run_tests(box, ["tests/test_plain.py::test_plain"])
    assert outcomes(done) == {"tests/test_plain.py::test_plain": "failed"}
    broken = run_tests(box, ["tests/test_broken.py"])
    assert outcomes(broken) == {"tests/test_broken.py": "error"}
    assert "nothing" in broken.cases[0].message


def test_sympys_runner(opened: Open) -> None:
    """Would catch outcomes that are read off the screen, names that match more than was asked for, a test
    file elsewhere that is passed by, and a second run on fresh modules."""
    name = "sympy/core/tests/test_shop.py::"
    box = opened(
        {
            "bin/test": BIN_TEST,
            "sympy/__init__.py": SYMPY,
            "sympy/shop.py": SHOP,
            "sympy/utilities/__init__.py": "",
            "sympy/utilities/runtests.py": SYMPY_RUNTESTS,
            "sympy/core/tests/test_shop.py": SYMPY_TEST,
            "sympy/core/tests/test_broken.py": "import nothing\n\ndef test_a(): pass\n",
            "test_mine.py": "def test_price():\n    assert 1 == 2\n",
        }
    )
    found = {
        "price": "passed",
        "first": "passed",
        "fails": "failed",
        "raises": "failed",
        "skipped": "skipped",
    }
    done = run_tests(box, [name.strip(":")])
    assert outcomes(done) == {f"{name}test_{test}": outcome for test, outcome in found.items()}
    assert "assert price" in {c.id: c.message for c in done.cases}[name + "test_fails"]
    assert outcomes(run_tests(box, [name + "test_price"])) == {name + "test_price": "passed"}
    assert outcomes(run_tests(box, ["test_mine.py::test_price"])) == {"test_mine.py::test_price": "failed"}
    assert outcomes(run_tests(box, ["sympy/core/tests/test_broken.py"])) == {
        "sympy/core/tests/test_broken.py": "error"
    }
    assert collect(box, [name + "test_price"]) == [name + "test_price"]
    traced = trace_test(box, name + "test_first")
    assert [run.passed for run in traced.runs] == [True, False]
    whole = trace_test(box, name + "test_price", functions={"sympy/shop.py": ["price"]})
    lines = [line for line in whole.trace.splitlines() if '"price"' in line and '"line"' in line]
    assert len([line for line in lines if '"event":"line"' in line]) == len(TWICE[0] + TWICE[1])
    with pytest.raises(UsageError, match=r"Nearest: .*test_price"):
        run_tests(box, [name + "test_prise"])
    with pytest.raises(UsageError, match="no such file"):
        run_tests(box, ["sympy/core/tests/test_nowhere.py"])
    broken = run_tests(box, ["sympy/core/tests/test_broken.py::test_a"])
    assert "nothing" in {case.outcome: case.message for case in broken.cases}["error"]


def test_unittest_where_there_is_no_pytest(opened: Open, tmp_path: Path) -> None:
    """Would catch tests refused for want of a pytest that they do not need, and those taken that need it."""
    subprocess.run(["python3", "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    fixtures = "def test_a(tmp_path): pass\n"
    files = {"shop.py": SHOP, "tests/test_shop.py": TEST, "tests/test_fixtures.py": fixtures}
    box = opened(files, python=str(tmp_path / "bare" / "bin" / "python"))
    done = run_tests(box, ["tests/test_shop.py"])
    assert outcomes(done) == {"tests/test_shop.py::" + test: outcome for test, outcome in FOUND.items()}
    assert [run.passed for run in trace_test(box, "tests/test_shop.py::TestPrice::test_first").runs] == [
        True,
        False,
    ]
    with pytest.raises(SandboxError, match="test_a takes fixtures"):
        run_tests(box, ["tests/test_fixtures.py"])
