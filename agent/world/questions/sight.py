"""What an assertion is known to compare with, though the blind text shows it: said, so that no simulation
counts as blind that is not."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from agent.world.questions.asserters import is_asserter
from agent.world.questions.dataflow import BUILT, COMPUTED, Flow, last_name
from agent.world.questions.operands import Assertion
from agent.world.questions.origins import Origins

_TRUTHS = {"assertTrue", "assertFalse", "assert_", "failUnless", "failIf", "ok_"}


def in_sight(made: Assertion, flow: Flow, origins: Origins) -> Iterator[str]:
    """The operands that are made of constants in sight, and the truth values that come of comparing with
    one."""
    if made.kind != "condition":
        return
    compared = list(_compared(made))
    for operands in compared:
        ranks = [flow.rank(operand) for operand in operands]
        asking = [o for o, rank in zip(operands, ranks, strict=True) if rank == COMPUTED]
        for number, operand in enumerate(asking if len(asking) > 1 else ()):
            parts = {id(part) for part in ast.walk(operand)}
            found = [origins.of(a.node, asking[:number]) for a in made.asked if id(a.node) in parts]
            elsewhere = any(origin.elsewhere for origin in found)
            # The second one is the expected one, as a rule; the first where no code out of sight makes it.
            if any(origin.constants for origin in found) and (number or not elsewhere):
                yield f"`{ast.unparse(operand)}` is made of constants in sight"
        for operand, rank in zip(operands, ranks, strict=True):
            if rank == BUILT:
                yield from _of_classes(operand, flow)
    inside = {id(child) for operands in compared for operand in operands for child in ast.walk(operand)}
    for asked in made.asked:
        node = asked.node
        called = isinstance(node, ast.Call) and last_name(node.func) == "eval"
        if id(node) not in inside and (called or origins.of(node).compared):
            yield f"the truth of `{ast.unparse(node)}` comes of a comparison in sight"


def _compared(made: Assertion) -> Iterator[Sequence[ast.expr]]:
    """The operands of each comparison in an assertion, of its methods too."""
    statement = made.statement
    roots: list[ast.AST] = [statement.test] if isinstance(statement, (ast.Assert, ast.If)) else []
    if isinstance(statement, ast.Expr):
        call = statement.value.value if isinstance(statement.value, ast.Await) else statement.value
        roots.append(call)
        if isinstance(call, ast.Call) and is_asserter(last_name(call.func)):
            named = [keyword.value for keyword in call.keywords if keyword.arg != "msg"]
            if last_name(call.func) not in _TRUTHS:
                yield [*call.args, *named][:2]
    for node in (child for root in roots for child in ast.walk(root)):
        if isinstance(node, ast.Compare):
            yield [node.left, *node.comparators]


def _of_classes(node: ast.expr, flow: Flow) -> Iterator[str]:
    """Attributes of classes that the file defines: all but enumerations, whose names tell nothing."""
    classes = {n.name: n for n in flow.nodes if isinstance(n, ast.ClassDef)}
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in classes:
            bases = " ".join(map(ast.unparse, classes[part.value.id].bases))
            if "Enum" not in bases and "Flag" not in bases:
                yield f"`{ast.unparse(part)}` is in sight"
