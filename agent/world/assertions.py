"""What a test asserts: which expressions to ask about, and the predicate that their values must meet."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from agent.world.dataflow import BUILT, COMPUTED, LITERAL, Flow, call_name, last_name
from agent.world.predicate import TYPES, PredicateError, check_predicate


@dataclass
class Assertion:
    """One assertion of a test.

    ``asked`` are the operands to ask about, in the order in which they are evaluated; ``predicate``
    is over their ids, or empty where the assertion can't be put as a question. ``cases``: how many
    values the predicate takes in turn (``[case]``), 0 for one.
    """

    node: ast.stmt | ast.withitem
    statement: ast.stmt
    asked: list[tuple[str, ast.expr]] = field(default_factory=list)
    predicate: str = ""
    cases: int = 0
    loop: ast.GeneratorExp | ast.ListComp | None = None
    """``all(... for ...)``: the comprehension in which the operands are evaluated."""
    raises: bool = False
    notes: list[str] = field(default_factory=list)


_FAILS = {"fail", "AssertionError"}
_RELATIONS: dict[str, type[ast.cmpop]] = {
    "assertEqual": ast.Eq,
    "assertEquals": ast.Eq,
    "failUnlessEqual": ast.Eq,
    "assertListEqual": ast.Eq,
    "assertDictEqual": ast.Eq,
    "assertTupleEqual": ast.Eq,
    "assertSetEqual": ast.Eq,
    "assertSequenceEqual": ast.Eq,
    "assertMultiLineEqual": ast.Eq,
    "assertNotEqual": ast.NotEq,
    "assertNotEquals": ast.NotEq,
    "assertIs": ast.Is,
    "assertIsNot": ast.IsNot,
    "assertIn": ast.In,
    "assertNotIn": ast.NotIn,
    "assertGreater": ast.Gt,
    "assertGreaterEqual": ast.GtE,
    "assertLess": ast.Lt,
    "assertLessEqual": ast.LtE,
    "assertIsNone": ast.Is,
    "assertIsNotNone": ast.IsNot,
    "assert_equal": ast.Eq,
    "assert_array_equal": ast.Eq,
}
_PARAMETERS = {
    "first": 0,
    "second": 1,
    "member": 0,
    "container": 1,
    "expr1": 0,
    "expr2": 1,
    "expr": 0,
    "obj": 0,
    "cls": 1,
    "a": 0,
    "b": 1,
    "list1": 0,
    "list2": 1,
    "d1": 0,
    "d2": 1,
    "actual": 0,
    "desired": 1,
    "x": 0,
    "y": 1,
}
_CLOSE = {"assertAlmostEqual", "assertAlmostEquals", "assertNotAlmostEqual"}
_ALLCLOSE = {"assert_allclose", "assert_almost_equal", "assert_array_almost_equal"}
_RAISES = {"assertRaises", "assertRaisesRegex", "assertRaisesMessage", "failUnlessRaises", "raises"}


class Reader:
    """Reads the assertions of a file, numbering the questions ``p1``, ``p2``, ... in order."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.count = 0

    def read(self, body: Sequence[ast.stmt]) -> Iterator[Assertion]:
        """The assertions in a body and in the blocks and functions nested in it, in order."""
        for statement in body:
            found = self._statement(statement)
            if found is not None:
                yield found
                if not isinstance(statement, (ast.With, ast.AsyncWith)):
                    continue
            if isinstance(statement, (ast.With, ast.AsyncWith)):
                for item in statement.items:
                    raises = self._raises_block(item, statement)
                    if raises is not None:
                        yield raises
            for blocks in ("body", "orelse", "finalbody"):
                yield from self.read(getattr(statement, blocks, []))
            for handler in [*getattr(statement, "handlers", []), *getattr(statement, "cases", [])]:
                yield from self.read(handler.body)

    # -- statements

    def _statement(self, node: ast.stmt) -> Assertion | None:
        made: Assertion | None = None
        if isinstance(node, ast.Assert):
            made = self._of_truth(node, node.test)
        elif (
            isinstance(node, ast.If) and not node.orelse and len(node.body) == 1 and is_failure(node.body[0])
        ):
            if not is_failure_name(node.test):
                made = self._of_truth(node, ast.UnaryOp(ast.Not(), node.test))
        elif isinstance(node, ast.Expr):
            call = node.value.value if isinstance(node.value, ast.Await) else node.value
            if isinstance(call, ast.Call):
                made = self._call(node, call)
        return made

    def _of_truth(self, node: ast.stmt, test: ast.expr) -> Assertion:
        made = Assertion(node, node)
        return self._finish(made, self._truth(test, made))

    def _finish(self, made: Assertion, predicate: ast.expr) -> Assertion:
        try:
            ast.fix_missing_locations(ast.Expression(predicate))
            check_predicate(predicate)
            made.predicate = ast.unparse(predicate)
        except (PredicateError, ValueError, RecursionError) as error:
            made.notes.append(f"its condition is not one that the harness can judge: {error}")
        return made

    def _call(self, node: ast.stmt, call: ast.Call) -> Assertion | None:
        name = last_name(call.func)
        made = Assertion(node, node)
        if name in _RAISES and len(call.args) >= 2:
            return self._raising(made, call.args[0])
        if not re.match(r"assert|fail(Unless|If)", name):
            return None
        if name in ("assert_that", "assertLogs", "assertWarns", "assertNumQueries"):
            return Assertion(node, node, notes=[f"`{name}` is not understood"])
        arguments: list[ast.expr | None] = [*call.args]
        if any(isinstance(argument, ast.Starred) for argument in call.args):
            return Assertion(node, node, notes=[f"`{name}` with * is not understood"])
        options: dict[str, ast.expr] = {}
        for keyword in call.keywords:
            index = _PARAMETERS.get(keyword.arg or "")
            if index is None:
                options[keyword.arg or "**"] = keyword.value
            else:
                arguments += [None] * (index + 1 - len(arguments))
                arguments[index] = keyword.value
        parts = [argument for argument in arguments if argument is not None]
        if len(parts) < len(arguments) or not parts:
            return Assertion(node, node, notes=[f"`{name}` is not understood"])
        predicate = self._unittest(name, parts, options, made)
        if predicate is None:
            return Assertion(node, node, notes=[f"`{name}` is not understood"])
        return self._finish(made, predicate)

    def _unittest(
        self, name: str, parts: list[ast.expr], options: dict[str, ast.expr], made: Assertion
    ) -> ast.expr | None:
        if name in ("assertTrue", "assert_", "failUnless"):
            return self._truth(parts[0], made)
        if name in ("assertFalse", "failIf"):
            return ast.UnaryOp(ast.Not(), self._truth(parts[0], made))
        if name in ("assertIsNone", "assertIsNotNone"):
            parts = [parts[0], ast.Constant(None)]
        if len(parts) < 2:
            return None
        if name in _RELATIONS:
            return self._comparison(parts[:2], [_RELATIONS[name]()], made)
        if name in ("assertIsInstance", "assertNotIsInstance"):
            inside = self._isinstance(parts[0], parts[1], made)
            return ast.UnaryOp(ast.Not(), inside) if "Not" in name else inside
        if name in _CLOSE:
            left, right = self._operands(parts[:2], made)
            gap: ast.expr = _called("abs", ast.BinOp(left, ast.Sub(), right))
            delta = options.get("delta") or (parts[3] if len(parts) > 3 else None)
            places = options.get("places") or (parts[2] if len(parts) > 2 else ast.Constant(7))
            if delta is not None:
                close: ast.expr = ast.Compare(gap, [ast.LtE()], [self._literal(delta, made)])
            else:
                rounded = _called("round", gap, self._literal(places, made))
                close = ast.Compare(rounded, [ast.Eq()], [ast.Constant(0)])
            return ast.UnaryOp(ast.Not(), close) if "Not" in name else close
        if name in _ALLCLOSE:
            left, right = self._operands(parts[:2], made)
            if name == "assert_allclose":
                relative = self._literal(options.get("rtol", ast.Constant(1e-7)), made)
                absolute = self._literal(options.get("atol", ast.Constant(0)), made)
            else:
                decimal = options.get("decimal") or (parts[2] if len(parts) > 2 else ast.Constant(7))
                relative = ast.Constant(0)
                power = ast.BinOp(
                    ast.Constant(10.0), ast.Pow(), ast.UnaryOp(ast.USub(), self._literal(decimal, made))
                )
                absolute = ast.BinOp(ast.Constant(1.5), ast.Mult(), power)
            return _called("allclose", left, right, relative, absolute)
        if name in ("assertCountEqual", "assertItemsEqual"):
            return _called("same_items", *self._operands(parts[:2], made))
        return None

    def _raises_block(self, item: ast.withitem, statement: ast.stmt) -> Assertion | None:
        call = item.context_expr
        if not (isinstance(call, ast.Call) and last_name(call.func) in _RAISES and call.args):
            return None
        return self._raising(Assertion(item, statement), call.args[0])

    def _raising(self, made: Assertion, kinds: ast.expr) -> Assertion:
        made.raises = True
        made.asked.append((self._id(), kinds))
        names = [last_name(kind) for kind in (kinds.elts if isinstance(kinds, ast.Tuple) else [kinds])]
        made.predicate = f"raises({', '.join(names)})" if all(names) else ""
        return made

    # -- conditions

    def _id(self) -> str:
        self.count += 1
        return f"p{self.count}"

    def _ask(self, node: ast.expr, made: Assertion) -> ast.expr:
        name = self._id()
        made.asked.append((name, node))
        return ast.Name(name, ast.Load())

    def _literal(self, node: ast.expr, made: Assertion) -> ast.expr:
        """An expected expression, as the predicate says it: a literal, or the text of what builds a value."""
        rank = self.flow.rank(node)
        if rank == LITERAL:
            value, cases = self.flow.literal(node)
            if cases and made.cases not in (0, cases):
                made.notes.append("values of different loops meet in it")
            made.cases = max(made.cases, cases)
            return value
        shown = node
        binding = self.flow.binding(node) if isinstance(node, ast.Name) else None
        if binding is not None and not binding.group:
            shown = binding.nodes[0]
        return _called("text", ast.Constant(ast.unparse(shown)))

    def _truth(self, node: ast.expr, made: Assertion) -> ast.expr:
        if isinstance(node, ast.BoolOp):
            return ast.BoolOp(node.op, [self._truth(value, made) for value in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ast.UnaryOp(ast.Not(), self._truth(node.operand, made))
        if isinstance(node, ast.Compare):
            return self._comparison([node.left, *node.comparators], node.ops, made)
        if isinstance(node, ast.Call):
            special = self._known_call(node, made)
            if special is not None:
                return special
        if self.flow.rank(node) == LITERAL:
            return self._literal(node, made)
        if not isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)) and _constants(self.flow, node):
            self._note_seen(node, made)
        return self._ask(node, made)

    def _note_seen(self, node: ast.expr, made: Assertion) -> None:
        """A call that gives a truth value and has constants beside a call to judge: they may be the
        answer."""
        inner = [
            child
            for child in ast.walk(node)
            if isinstance(child, (ast.Call, ast.Await)) and child is not node
        ]
        if inner or (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            made.notes.append(f"the truth of `{ast.unparse(node)}` is asked for with its constants in sight")

    def _known_call(self, node: ast.Call, made: Assertion) -> ast.expr | None:
        name = last_name(node.func)
        if name in ("all", "any") and isinstance(node.func, ast.Name) and len(node.args) == 1:
            return self._quantified(name, node, made)
        if name == "isinstance" and isinstance(node.func, ast.Name) and len(node.args) == 2:
            return self._isinstance(node.args[0], node.args[1], made)
        if (
            name in ("startswith", "endswith")
            and isinstance(node.func, ast.Attribute)
            and len(node.args) == 1
            and self.flow.rank(node.args[0]) == LITERAL
            and self.flow.rank(node.func.value) == COMPUTED
        ):
            return _called(name, self._ask(node.func.value, made), self._literal(node.args[0], made))
        if name in ("isclose", "allclose", "array_equal") and len(node.args) >= 2:
            options = {keyword.arg: keyword.value for keyword in node.keywords}
            known = {"isclose": ("rel_tol", "abs_tol"), "allclose": ("rtol", "atol"), "array_equal": ()}[name]
            if all(arg in known and self.flow.rank(value) == LITERAL for arg, value in options.items()):
                left, right = self._operands(node.args[:2], made)
                if name == "array_equal":
                    return ast.Compare(left, [ast.Eq()], [right])
                keywords = [ast.keyword(arg, self._literal(value, made)) for arg, value in options.items()]
                numpy = name == "isclose" and call_name(node) != "isclose"
                return ast.Call(ast.Name("allclose" if numpy else name, ast.Load()), [left, right], keywords)
        return None

    def _quantified(self, name: str, node: ast.Call, made: Assertion) -> ast.expr | None:
        loop = node.args[0]
        alone = not made.asked and isinstance(made.node, (ast.Assert, ast.Expr))
        simple = isinstance(loop, (ast.GeneratorExp, ast.ListComp)) and isinstance(
            loop.elt, (ast.Compare, ast.Call)
        )
        if name == "all" and alone and simple and _whole(made.node) is node:
            assert isinstance(loop, (ast.GeneratorExp, ast.ListComp))
            if not any(isinstance(child, (ast.Await, ast.Yield)) for child in ast.walk(loop)):
                made.loop = loop
                return self._truth(loop.elt, made)
        if isinstance(loop, (ast.GeneratorExp, ast.ListComp)) and _constants(self.flow, loop.elt):
            made.notes.append(f"the truth of `{ast.unparse(node)}` is asked for with its constants in sight")
            return self._ask(node, made)
        return None

    def _isinstance(self, value: ast.expr, kind: ast.expr, made: Assertion) -> ast.expr:
        kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
        names = [last_name(item) for item in kinds]
        if not all(names) or any(
            name in TYPES and not isinstance(k, ast.Name) for name, k in zip(names, kinds, strict=True)
        ):
            made.notes.append(f"the type `{ast.unparse(kind)}` is not known to the harness")
            return ast.Name("unknown", ast.Load())
        types: list[ast.expr] = [ast.Name(name, ast.Load()) for name in names]
        shown = types[0] if len(types) == 1 else ast.Tuple(types, ast.Load())
        return _called("isinstance", self._ask(value, made), shown)

    def _comparison(self, operands: list[ast.expr], ops: list[ast.cmpop], made: Assertion) -> ast.expr:
        values = self._operands(operands, made)
        return ast.Compare(values[0], ops, values[1:])

    def _operands(self, operands: Sequence[ast.expr], made: Assertion) -> list[ast.expr]:
        """Ask for what has to be run; what is constant is the expected side and is kept from sight."""
        ranks = [self.flow.rank(operand) for operand in operands]
        asked_rank = max(ranks)
        if asked_rank == LITERAL:
            return [self._literal(operand, made) for operand in operands]
        result = []
        for operand, rank in zip(operands, ranks, strict=True):
            if rank < asked_rank:
                result.append(self._literal(operand, made))
                continue
            if asked_rank == BUILT and sum(rank == BUILT for rank in ranks) > 1:
                made.notes.append(f"`{ast.unparse(operand)}` may be the expected side")
            elif len(result) and ranks.count(asked_rank) > 1 and _is_formula(operand):
                made.notes.append(f"`{ast.unparse(operand)}` is asked for with its constants in sight")
            result.append(self._operand(operand, made))
        return result

    def _operand(self, node: ast.expr, made: Assertion) -> ast.expr:
        """Ask for an operand; of ``abs(f(x) - 3.14)`` only for ``f(x)``, since the number is expected."""
        if isinstance(node, ast.BinOp) and not isinstance(node.op, (ast.MatMult, ast.LShift, ast.RShift)):
            ranks = (self.flow.rank(node.left), self.flow.rank(node.right))
            if min(ranks) == LITERAL and max(ranks) == COMPUTED:
                parts = [
                    self._literal(part, made) if rank == LITERAL else self._operand(part, made)
                    for part, rank in zip((node.left, node.right), ranks, strict=True)
                ]
                return ast.BinOp(parts[0], node.op, parts[1])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return ast.UnaryOp(node.op, self._operand(node.operand, made))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            plain = [argument for argument in node.args if not isinstance(argument, ast.Starred)]
            if (
                node.func.id in ("abs", "round")
                and len(plain) == len(node.args)
                and plain
                and isinstance(plain[0], ast.BinOp)
                and all(self.flow.rank(rest) == LITERAL for rest in plain[1:])
            ):
                rest = [self._literal(argument, made) for argument in plain[1:]]
                return _called(node.func.id, self._operand(plain[0], made), *rest)
        if (
            isinstance(node, ast.Call)
            and call_name(node) == "approx"
            and node.args
            and all(self.flow.rank(k.value) == LITERAL for k in node.keywords)
        ):
            keywords = [ast.keyword(k.arg, self._literal(k.value, made)) for k in node.keywords]
            return ast.Call(ast.Name("approx", ast.Load()), [self._ask(node.args[0], made)], keywords)
        return self._ask(node, made)


def is_failure(node: ast.stmt) -> bool:
    """Whether a statement does nothing but fail the test: ``raise AssertionError``, ``pytest.fail(...)``."""
    if isinstance(node, ast.Raise) and node.exc is not None:
        what = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return last_name(what) in _FAILS
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and last_name(node.value.func) == "fail"
    )


def is_failure_name(test: ast.expr) -> bool:
    """``if __name__ == ...`` and flags of the test itself are no assertions."""
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _whole(node: ast.stmt | ast.withitem) -> ast.expr | None:
    if isinstance(node, ast.Assert):
        return node.test
    if (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and last_name(node.value.func) == "assertTrue"
    ):
        return node.value.args[0] if node.value.args else None
    return None


def _constants(flow: Flow, node: ast.AST) -> bool:
    return any(isinstance(child, ast.Constant) and child.value is not None for child in ast.walk(node))


def _is_formula(node: ast.expr) -> bool:
    simple = (ast.Call, ast.Name, ast.Attribute, ast.Subscript, ast.Await)
    return not isinstance(node, simple) and any(isinstance(child, ast.Constant) for child in ast.walk(node))


def _called(name: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])
