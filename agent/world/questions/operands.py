"""Operands of an assertion: what has to be run is asked for, what is constant is expected and never shown."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.world.questions.dataflow import BUILT, COMPUTED, LITERAL, Flow, TooLarge, call_name, last_name


@dataclass
class Asked:
    """One operand to ask about. ``lazy``: it is only evaluated if what stands before it lets it."""

    id: str
    node: ast.expr
    lazy: bool = False


@dataclass
class Assertion:
    """One assertion of a test.

    ``asked`` are the operands to ask about, in the order in which they are evaluated; ``predicate``
    is over their ids, or empty where the assertion can't be judged. ``cases``: how many values the
    predicate takes in turn (``[case]``), 0 for one.
    """

    node: ast.stmt | ast.withitem
    statement: ast.stmt
    asked: list[Asked] = field(default_factory=list)
    predicate: str = ""
    cases: int = 0
    loop: ast.GeneratorExp | ast.ListComp | None = None
    """``all(... for ...)``: the comprehension in which the operands are evaluated."""
    kind: str = "condition"
    """``condition``; ``raises`` and ``warns`` (a block or a call); ``never`` (a line that must not be
    reached)."""
    call: ast.Call | None = None
    """``raises(E, f, 1)``: what is called in its place, ``f(1)``."""
    leaks: list[str] = field(default_factory=list)
    """What stays in sight and may give the expected value away."""
    unjudged: list[str] = field(default_factory=list)
    """Why the harness can't judge it, where it can't. Nothing is in sight."""


class Operands:
    """Asks about operands, numbering the questions ``p1``, ``p2``, ... in order."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.count = 0
        self._lazy = 0

    def ask(self, node: ast.expr, made: Assertion) -> ast.expr:
        """Ask about an expression: the name that stands for its value."""
        self.count += 1
        made.asked.append(Asked(f"p{self.count}", node, bool(self._lazy)))
        return ast.Name(f"p{self.count}", ast.Load())

    def expected(self, node: ast.expr) -> ast.expr:
        """A constant as the predicate says it: a literal, or the text of what builds a value."""
        if self.flow.rank(node) == LITERAL:
            try:
                return self.flow.literal(node)
            except (TooLarge, RecursionError):
                return ast.Name("unknown", ast.Load())
        binding = self.flow.binding(node)
        shown = binding.nodes[0] if binding is not None and not binding.group else node
        return called("text", ast.Constant(ast.unparse(shown)))

    def operands(self, operands: Sequence[ast.expr], made: Assertion) -> list[ast.expr]:
        """Ask for what has to be run; what is constant is the expected side and is kept from sight."""
        ranks = [self.flow.rank(operand) for operand in operands]
        most = max(ranks)
        if most == LITERAL:
            return [self.expected(operand) for operand in operands]
        asking = [operand for operand, rank in zip(operands, ranks, strict=True) if rank == most]
        result = []
        for operand, rank in zip(operands, ranks, strict=True):
            if rank < most or (
                most == BUILT
                and len(asking) > 1
                and _is_constructor(operand)
                and not all(_is_constructor(other) for other in asking)
            ):
                result.append(self.expected(operand))
            else:
                if most == BUILT and len(asking) > 1:
                    made.leaks.append(f"`{ast.unparse(operand)}` may be the expected side")
                result.append(self.operand(operand, made, alone=len(asking) == 1, first=operand is asking[0]))
        return result

    def operand(self, node: ast.expr, made: Assertion, *, alone: bool, first: bool) -> ast.expr:
        """Ask for an operand; of ``abs(f(x) - 3.14)`` only for ``f(x)``, since the number is expected.

        Where more than one operand has to be run, what only puts values together (``[y, 3]``, ``y + 1``)
        is asked for in parts.
        """
        if isinstance(node, ast.BinOp) and not isinstance(node.op, (ast.MatMult, ast.LShift, ast.RShift)):
            ranks = (self.flow.rank(node.left), self.flow.rank(node.right))
            if not alone or (min(ranks) == LITERAL and max(ranks) == COMPUTED):
                left, right = (self._part(part, made, alone=alone) for part in (node.left, node.right))
                return self._put_together(node, ast.BinOp(left, node.op, right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            return ast.UnaryOp(node.op, self.operand(node.operand, made, alone=alone, first=first))
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)) and not alone and not _is_starred(node):
            parts = [self._part(item, made, alone=False) for item in node.elts]
            whole: ast.expr = ast.Set(parts) if isinstance(node, ast.Set) else type(node)(parts, ast.Load())
            return self._put_together(node, whole)
        if not alone and isinstance(node, ast.Dict) and all(node.keys):
            pairs = [
                (self._part(key, made, alone=False), self._part(value, made, alone=False))
                for key, value in zip(node.keys, node.values, strict=True)
                if key
            ]
            return self._put_together(node, ast.Dict([k for k, _ in pairs], [v for _, v in pairs]))
        if not alone and isinstance(node, ast.JoinedStr) and _is_simple_text(node):
            values: list[ast.expr] = [
                ast.FormattedValue(self._part(v.value, made, alone=False), v.conversion, v.format_spec)
                if isinstance(v, ast.FormattedValue)
                else v
                for v in node.values
            ]
            return ast.JoinedStr(values)
        if isinstance(node, ast.Call) and not any(isinstance(a, ast.Starred) for a in node.args):
            known = self._known_operand(node, made)
            if known is not None:
                return known
        if not alone:
            self._note_side(node, made, first)
        return self.ask(node, made)

    def _part(self, node: ast.expr, made: Assertion, *, alone: bool) -> ast.expr:
        rank = self.flow.rank(node)
        if rank == LITERAL or (rank == BUILT and not alone):
            return self.expected(node)
        walrus = any(isinstance(n, ast.NamedExpr) for n in ast.walk(made.statement))
        if isinstance(node, ast.Name) and not walrus:
            for asked in made.asked:  # a name has one value within an assertion
                if isinstance(asked.node, ast.Name) and asked.node.id == node.id and not asked.lazy:
                    return ast.Name(asked.id, ast.Load())
        return self.operand(node, made, alone=alone, first=True)

    def _put_together(self, node: ast.expr, found: ast.expr) -> ast.expr:
        """What an expression is of its parts' values; its text, for values that are known by text only."""
        return called("text", ast.Constant(ast.unparse(node)), found)

    def _note_side(self, node: ast.expr, made: Assertion, first: bool) -> None:
        """The second operand is the expected one, as a rule: the constants of a call in it stay in sight."""
        inside = {str(c.value) for c in constants(node) if not is_plain(c)}
        built = self.flow.assigned(node) if isinstance(node, ast.Name) else []
        if not first and any(self.flow.rank(value) < COMPUTED for value in built):
            made.leaks.append(f"`{ast.unparse(node)}` is built in sight")
        seen = {str(c.value) for a in made.asked for c in ast.walk(a.node) if isinstance(c, ast.Constant)}
        if not first and inside - seen:
            made.leaks.append(f"`{ast.unparse(node)}` is asked for with its constants in sight")

    def _known_operand(self, node: ast.Call, made: Assertion) -> ast.expr | None:
        """``abs(f(x) - 3)``, ``round(...)`` and ``approx(g(y), rel=1e-3)``, taken apart."""
        rest = [*node.args[1:], *(keyword.value for keyword in node.keywords)]
        if not node.args or any(self.flow.rank(option) != LITERAL for option in rest):
            return None
        options = [self.expected(argument) for argument in node.args[1:]]
        whole = node.args[0]
        simple = isinstance(node.func, ast.Name) and node.func.id in ("abs", "round") and not node.keywords
        if simple and isinstance(whole, ast.BinOp):
            return called(last_name(node.func), self.operand(whole, made, alone=True, first=True), *options)
        if call_name(node) == "approx" and all(keyword.arg for keyword in node.keywords):
            keywords = [ast.keyword(k.arg, self.expected(k.value)) for k in node.keywords]
            value = self._part(whole, made, alone=False)
            return ast.Call(ast.Name("approx", ast.Load()), [value, *options], keywords)
        return None


def called(name: str, *arguments: ast.expr) -> ast.expr:
    """A call in a predicate."""
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def is_plain(node: ast.AST) -> bool:
    """Constants that tell nothing: None, truth values, empty texts and containers."""
    if isinstance(node, ast.Constant):
        return node.value is None or isinstance(node.value, bool) or node.value in ("", b"")
    return isinstance(node, (ast.List, ast.Tuple, ast.Dict)) and not list(ast.iter_child_nodes(node))[1:]


def constants(node: ast.AST) -> list[ast.Constant]:
    """All constants in a node."""
    return [child for child in ast.walk(node) if isinstance(child, ast.Constant)]


def _is_starred(node: ast.List | ast.Tuple | ast.Set) -> bool:
    return any(isinstance(item, ast.Starred) for item in node.elts)


def _is_constructor(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and last_name(node.func)[:1].isupper()


def _is_simple_text(node: ast.JoinedStr) -> bool:
    return all(
        isinstance(v, ast.Constant) or (isinstance(v, ast.FormattedValue) and v.format_spec is None)
        for v in node.values
    )
