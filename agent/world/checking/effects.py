"""Which functions may change, in place, what their callers hold: told by their syntax alone."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from agent.world.checking.interpret import BUILTINS, CHANGING, METHODS

_FRESH = (
    ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.BinOp, ast.Constant,
    ast.JoinedStr, ast.Compare,
)  # fmt: skip
_MAKERS = frozenset(("list", "dict", "set", "sorted"))
_KNOWN_METHODS = frozenset().union(*METHODS.values())


def may_change_others(function: ast.AST, program: Collection[str]) -> bool:
    """Whether a function may change something that it did not make itself, apart from what it calls.

    ``program``: names of the program's own functions, which are asked about by themselves. A call of
    anything else that is not listed may change whatever it likes.
    """
    own = set(_fresh_names(function))
    for node in ast.walk(function):
        if isinstance(node, (ast.Global, ast.Nonlocal, ast.Yield, ast.YieldFrom, ast.Await)):
            return True
        if isinstance(node, ast.Call) and not _is_listed(node.func, program):
            return True
        if any(not (isinstance(place, ast.Name) and place.id in own) for place in _changed(node)):
            return True
    return False


def may_change_before(whole: ast.AST, part: ast.AST) -> bool:
    """Whether evaluating an expression may bind a name or change something before a part of it is reached."""
    for node in ast.walk(whole):
        if isinstance(node, ast.NamedExpr):
            return True
        changes = isinstance(node, ast.Call) and (
            any(_changed(node)) or (isinstance(node.func, ast.Name) and node.func.id == "next")
        )
        if changes and all(inner is not part for inner in ast.walk(node)):
            return True
    return False


def _is_listed(called: ast.expr, program: Collection[str]) -> bool:
    if isinstance(called, ast.Name):
        return called.id in BUILTINS or called.id in program
    return isinstance(called, ast.Attribute) and called.attr in _KNOWN_METHODS


def _changed(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions whose values a node may change in place."""
    if isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
        yield node.value
    elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        yield node.target
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING:
        yield node.func.value


def _fresh_names(function: ast.AST) -> Iterator[str]:
    """Names that only ever hold values that were made where they are bound."""
    bound: dict[str, bool] = {}
    simple: set[int] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and all(isinstance(t, ast.Name) for t in node.targets):
            simple |= {id(target) for target in node.targets}
            new = isinstance(node.value, _FRESH) or (
                isinstance(node.value, ast.Call)
                and isinstance(node.value.func, ast.Name)
                and node.value.func.id in _MAKERS
            )
            for target in node.targets:
                assert isinstance(target, ast.Name)
                bound[target.id] = bound.get(target.id, True) and new and len(node.targets) == 1
        elif isinstance(node, ast.AugAssign):
            simple.add(id(node.target))
        elif isinstance(node, ast.arg):
            bound[node.arg] = False
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in simple:
            bound[node.id] = False
    return (name for name, new in bound.items() if new)
