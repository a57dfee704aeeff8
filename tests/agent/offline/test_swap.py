"""Exchanging function bodies in place of a new import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import CodeType

import pytest

from agent.offline import Budget, Search
from agent.offline.inside.swap import exchanges, inside
from sandbox import Sandbox

BASE = """
import functools

def loud(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args) + 1
    return wrapper

class Box:
    size = 1

    @property
    def double(self):
        return self.size * 2

@loud
def plus(a, b=1):
    return a + b
"""


SHELF = """
class Shelf:
    limit = 3

    def room(self, used=0):
        return self.limit - used
"""
CONFTEST = """
import pytest
from shelf import Shelf

@pytest.fixture
def shelf():
    return Shelf()
"""
SHELF_TEST = """
def test_room(shelf):
    assert shelf.room() == 4
    assert shelf.room(4) == 0
"""


def code(text: str) -> CodeType:
    return compile(text, "m.py", "exec")


def called(module: CodeType, name: str) -> set[int]:
    return {id(c) for c in inside(module) if c.co_name == name}


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("self.size * 2", "self.size * 3", {"double", "Box", "<module>"}),
        ("return a + b", "return max(x for x in (a, b))", {"plus", "<module>"}),
        ("function(*args) + 1", "function(*args)", {"wrapper", "loud", "<module>"}),
        ("return a + b", "return a + b  # the same", set()),
    ],
)
def test_bodies_are_exchanged(old: str, new: str, names: set[str]) -> None:
    """Methods, wrapped functions and closures: catches a change that would be tried without effect."""
    module = code(BASE)
    pairs = exchanges(module, code(BASE.replace(old, new)), called(module, "loud"))
    assert {before.co_name for before, _ in pairs} == names


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("b=1", "b=2"),
        ("size = 1", "size = True"),
        ("@loud\n", ""),
        ("    @property\n", ""),
        ("return wrapper", "return function"),
        ("return self.size * 2", "return super().size * 2"),
    ],
)
def test_what_importing_runs_is_imported_again(old: str, new: str) -> None:
    """Defaults, class bodies, decorators, what a decorator does, other free variables: an exchanged body
    would leave another program behind than an import does."""
    module = code(BASE)
    assert BASE.count(old) == 1
    assert exchanges(module, code(BASE.replace(old, new)), called(module, "loud")) is None


def test_a_default_is_found_where_pytest_has_to_import_it(
    open_repository: Callable[[Mapping[str, str]], Sandbox],
) -> None:
    """Candidates that cannot be exchanged must still be tried, with the others of their batch."""
    box = open_repository({"shelf.py": SHELF, "conftest.py": CONFTEST, "test_shelf.py": SHELF_TEST})
    search = Search(box, ["test_shelf.py::test_room"], budget=Budget(seconds=30))
    assert any("+    limit = 4\n" in candidate.patch for candidate in search)
