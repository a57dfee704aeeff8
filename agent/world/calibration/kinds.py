"""What kind of code a simulation walks through: the kinds that a record is kept by, and plain measures."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.world.flow import Comprehension

KINDS = (
    "loops",
    "nested loops",
    "comprehensions",
    "branches",
    "strings",
    "slices",
    "changes in place",
    "state",
    "recursion",
    "exceptions",
    "generators",
    "straight",
)
"""
- ``changes in place``: a container's method that changes it, or an assignment to an item;
- ``state``: attributes, globals or outer variables are written, so that a second run may
  differ from the first;
- ``straight``: none of the others.
"""

STRING_METHODS = {
    "capitalize", "casefold", "center", "endswith", "expandtabs", "find", "format", "isalnum", "isalpha",
    "isdigit", "islower", "isspace", "istitle", "isupper", "join", "ljust", "lower", "lstrip", "maketrans",
    "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition",
    "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "translate",
    "upper", "zfill",
}  # fmt: skip
CHANGING_METHODS = {
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft",
    "remove", "reverse", "setdefault", "sort", "update",
}  # fmt: skip

_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Code:
    """What a simulation walks through. ``kinds`` is empty where the source could not be read as Python.

    ``size``: nodes of the syntax trees; ``string_calls``: calls of methods that strings have;
    ``branches``: ``if`` statements and expressions.
    """

    kinds: frozenset[str]
    size: int = 0
    string_calls: int = 0
    branches: int = 0


def code_of(sources: Iterable[str]) -> Code:
    """The kinds and measures of some functions' sources (a method's may be indented). Unreadable ones are
    left out."""
    trees = [tree for source in sources if (tree := _parsed(source)) is not None]
    if not trees:
        return Code(frozenset())
    nodes = [node for tree in trees for node in ast.walk(tree)]
    strings = sum(_method(node) in STRING_METHODS for node in nodes)
    kinds = {kind for node in nodes for kind in _kinds(node)}
    kinds |= {"strings"} if strings else set()
    kinds |= {"recursion"} if any(_recursive(tree) for tree in trees) else set()
    branches = sum(isinstance(node, (ast.If, ast.IfExp, ast.Match)) for node in nodes)
    return Code(frozenset(kinds or {"straight"}), len(nodes), strings, branches)


def _parsed(source: str) -> ast.Module | None:
    for text in (source, "class _:\n" + source):
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return None


def _kinds(node: ast.AST) -> Iterator[str]:
    if isinstance(node, _LOOPS):
        yield "loops"
        if any(isinstance(inner, _LOOPS) for inner in ast.walk(node) if inner is not node):
            yield "nested loops"
    elif isinstance(node, Comprehension):
        yield "comprehensions"
    elif isinstance(node, (ast.If, ast.IfExp, ast.Match)):
        yield "branches"
    elif isinstance(node, ast.JoinedStr):
        yield "strings"
    elif isinstance(node, ast.Slice):
        yield "slices"
    elif isinstance(node, (ast.Global, ast.Nonlocal)):
        yield "state"
    elif isinstance(node, (ast.Try, ast.TryStar, ast.Raise)):
        yield "exceptions"
    elif isinstance(node, (ast.Yield, ast.YieldFrom)):
        yield "generators"
    elif isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
        yield "state" if isinstance(node, ast.Attribute) else "changes in place"
    elif _method(node) in CHANGING_METHODS:
        yield "changes in place"
        owner = (
            node.func.value if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None
        )
        if isinstance(owner, ast.Attribute):
            yield "state"


def _method(node: ast.AST) -> str:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr
    return ""


def _recursive(tree: ast.Module) -> bool:
    """Whether some function calls its own name (as itself or as a method)."""
    for function in ast.walk(tree):
        if isinstance(function, _FUNCTIONS):
            for node in ast.walk(function):
                if isinstance(node, ast.Call):
                    called = node.func.id if isinstance(node.func, ast.Name) else ""
                    if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
                        called = node.func.attr if node.func.value.id in ("self", "cls") else ""
                    if called == function.name:
                        return True
    return False
