"""The search from a bug to a patch, in a real local sandbox."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping

import pytest

from agent.offline import Budget, Search
from sandbox import Sandbox
from sandbox.errors import UsageError

Open = Callable[[Mapping[str, str]], Sandbox]

CLAMP = """
def clamp(value, low, high):
    if value < low:
        return low
    if value > high:
        return low
    return value
"""
CLAMP_TEST = "from clamp import clamp\n\n\ndef test_clamp():\n    assert clamp(3, 1, 2) == 2\n    assert clamp(0, 1, 2) == 1\n"  # noqa: E501

CACHE = '''
class Registry:
    def __init__(self):
        self._rows = {}
        self._cache = {}

    def label(self, key):
        if key not in self._cache:
            self._cache[key] = self._rows[key].upper()
        return self._cache[key]

    def remove(self, key):
        del self._rows[key]
        self._cache.pop(key, None)

    def rename(self, who, text):
        """Give it another label."""
        self._rows[who] = text
'''
CACHE_TEST = """
import pytest
from registry import Registry

@pytest.fixture
def registry():
    return Registry()

def test_label(registry):
    registry.rename("a", "one")
    assert registry.label("a") == "ONE"
    registry._rows["a"] = "behind its back"
    assert registry.label("a") == "ONE"

def test_rename(registry):
    registry.rename("a", "one")
    registry.rename("b", "one")
    assert registry.label("a") == "ONE"
    registry.rename("a", "two")
    assert registry.label("a") == "TWO"
    assert registry._cache == {"a": "TWO"}
"""


def first_patch(search: Search) -> str:
    return next(iter(search)).patch


def test_finds_a_wrong_variable(open_repository: Open) -> None:
    """The whole way on a simple bug; the patch is one that git applies and changes one line."""
    box = open_repository({"clamp.py": CLAMP, "test_clamp.py": CLAMP_TEST})
    search = Search(box, ["test_clamp.py::test_clamp"], budget=Budget(seconds=20))
    patch = first_patch(search)
    assert "+        return high\n" in patch
    box.apply(patch)
    assert box.diff().count("\n+") == 2  # the header's and the line's
    assert search.report.tried <= search.report.generated


def test_the_tree_is_left_as_it_was(open_repository: Open) -> None:
    """Trials must not write mutants, or their leavings, into the repository."""
    box = open_repository({"clamp.py": CLAMP, "test_clamp.py": CLAMP_TEST})
    list(Search(box, ["test_clamp.py"], budget=Budget(candidates=300, seconds=10)))
    assert box.diff() == ""


def test_borrows_a_forgotten_invalidation(open_repository: Open) -> None:
    """Fixtures (so pytest itself runs), a class, and a statement that has to be borrowed with another
    variable."""
    box = open_repository(
        {
            "registry.py": CACHE,
            "tests/test_registry.py": CACHE_TEST,
            "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["."]\n',
        }
    )
    search = Search(
        box,
        ["tests/test_registry.py::test_rename"],
        neighbours=["tests/test_registry.py::test_label"],
        budget=Budget(seconds=100),
    )
    assert "+        self._cache.pop(who, None)\n" in first_patch(search)


def test_plain_scripts(open_repository: Open) -> None:
    """A test file in which pytest collects nothing is run as a script."""
    script = "from clamp import clamp\ndef check(f):\n    assert f(3, 1, 2) == 2\n    assert f(0, 1, 2) == 1\ncheck(clamp)\n"  # noqa: E501
    box = open_repository({"clamp.py": CLAMP, "check.py": script})
    assert "+        return high\n" in first_patch(Search(box, ["check.py"], budget=Budget(seconds=20)))


def test_endless_loops_do_not_hang(open_repository: Open) -> None:
    """A bug that never ends, whose mutants mostly never end either; nothing may be left running."""
    loop = "def count(n):\n    steps = 0\n    while n > 0:\n        n -= 0\n        steps += 1\n    return steps\n"  # noqa: E501
    test = "from loop import count\n\ndef test_count():\n    assert count(0) == 0\n    assert count(3) == 3\n"
    box = open_repository({"loop.py": loop, "test_loop.py": test})
    assert "+        n -= 1\n" in first_patch(Search(box, ["test_loop.py"], budget=Budget(seconds=30)))
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"{box.scratch}/offline" not in left


def test_neighbours_are_kept(open_repository: Open) -> None:
    """An edit that fixes the failing test and breaks a passing one is no candidate."""
    code = "def sign(x):\n    if x >= 0:\n        return 1\n    return -1\n"
    tests = "from sign import sign\n\ndef test_zero():\n    assert sign(0) == 0 or sign(0) == -1\n\ndef test_one():\n    assert sign(1) == 1\n"  # noqa: E501
    box = open_repository({"sign.py": code, "test_sign.py": tests})
    search = Search(
        box, ["test_sign.py::test_zero"], neighbours=["test_sign.py::test_one"], budget=Budget(seconds=15)
    )
    for candidate in list(search)[:5]:
        box.apply(candidate.patch)
        ran = box.run("python -c 'from sign import sign; assert sign(1) == 1'")
        box.reset()
        assert ran.ok, candidate.patch


def test_says_what_it_tried_when_it_finds_nothing(open_repository: Open) -> None:
    """An honest report, not a patch that special-cases the test."""
    code = "def secret(x):\n    return x\n"
    test = "from secret import secret\n\ndef test_it():\n    assert [secret(n) for n in (3, 4, 5)] == [971, 12, 55555]\n"  # noqa: E501
    box = open_repository({"secret.py": code, "test_it.py": test})
    search = Search(box, ["test_it.py"], budget=Budget(candidates=200, seconds=10))
    assert list(search) == []
    assert str(search.report).startswith(f"tried {search.report.tried} candidates of")
    assert "found none" in str(search.report)


def test_deterministic(open_repository: Open) -> None:
    """The same seed gives the same candidates in the same order."""
    box = open_repository({"clamp.py": CLAMP, "test_clamp.py": CLAMP_TEST})
    runs = [
        [c.patch for c in Search(box, ["test_clamp.py"], budget=Budget(candidates=400), seed=3)]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert runs[0]


def test_a_passing_test_is_refused(open_repository: Open) -> None:
    """There is nothing to search for where the test passes."""
    box = open_repository(
        {
            "a.py": "def f():\n    return 1\n",
            "test_a.py": "from a import f\n\ndef test_f():\n    assert f()\n",
        }
    )
    with pytest.raises(UsageError, match="pass before any change"):
        list(Search(box, ["test_a.py"]))
