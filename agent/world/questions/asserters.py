"""Assertion methods and functions by name: unittest's, nose's and numpy's, as predicates.

``assert_is_none`` is read as ``assertIsNone``. Rules of tolerance are those of the libraries:
unittest rounds the difference to ``places`` (7) or compares it with ``delta``; numpy's ``assert_allclose``
asks ``abs(a - b) <= atol + rtol * abs(b)``, ``assert_almost_equal`` ``abs(a - b) < 1.5 * 10**-decimal``.
"""

from __future__ import annotations

import ast
import re

from agent.world.questions.conditions import Conditions
from agent.world.questions.dataflow import LITERAL, last_name
from agent.world.questions.operands import Assertion, called

RAISES = {
    "assertRaises", "assertRaisesRegex", "assertRaisesRegexp", "assertRaisesMessage", "failUnlessRaises",
    "raises", "RaisesGroup",
}  # fmt: skip
WARNS = {"assertWarns", "assertWarnsRegex", "assertWarnsMessage", "warns", "deprecated_call"}
_RELATIONS: dict[str, type[ast.cmpop]] = {
    "assertEqual": ast.Eq, "assertEquals": ast.Eq, "failUnlessEqual": ast.Eq, "assertListEqual": ast.Eq,
    "assertDictEqual": ast.Eq, "assertTupleEqual": ast.Eq, "assertSetEqual": ast.Eq,
    "assertMultiLineEqual": ast.Eq, "assertStringEqual": ast.Eq,
    "assertIdentical": ast.Eq, "eq_": ast.Eq, "assertNotEqual": ast.NotEq, "assertNotEquals": ast.NotEq,
    "failIfEqual": ast.NotEq, "assertIs": ast.Is, "assertIsNot": ast.IsNot, "assertIn": ast.In,
    "assertNotIn": ast.NotIn, "assertGreater": ast.Gt, "assertGreaterEqual": ast.GtE, "assertLess": ast.Lt,
    "assertLessEqual": ast.LtE, "assertIsNone": ast.Is, "assertIsNotNone": ast.IsNot,
}  # fmt: skip
_TRUE, _FALSE = {"assertTrue", "assert_", "failUnless", "ok_"}, {"assertFalse", "failIf"}
_ARRAYS = {"assertArrayEqual", "assertFrameEqual", "assertSeriesEqual", "assertIndexEqual"}
_PARAMETERS = {
    "first": 0, "second": 1, "member": 0, "container": 1, "expr1": 0, "expr2": 1, "expr": 0, "obj": 0,
    "cls": 1, "a": 0, "b": 1, "list1": 0, "list2": 1, "d1": 0, "d2": 1, "set1": 0, "set2": 1,
    "tuple1": 0, "tuple2": 1,
    "seq1": 0, "seq2": 1, "text": 0, "expected_regex": 1, "unexpected_regex": 1, "actual": 0, "desired": 1,
    "x": 0, "y": 1,
}  # fmt: skip
_CALLS = {
    "assert_called": (ast.GtE, 1), "assert_called_once": (ast.Eq, 1), "assert_not_called": (ast.Eq, 0),
    "assert_awaited": (ast.GtE, 1), "assert_awaited_once": (ast.Eq, 1), "assert_not_awaited": (ast.Eq, 0),
}  # fmt: skip


def is_asserter(name: str) -> bool:
    """Whether a function is an assertion by its name: ``assertX``, ``assert_x``, ``failUnless``, ``eq_``."""
    return bool(
        re.match(
            r"assert(?!ion)|_assert|fail(Unless|If)|(eq|ok)_$|(no_)?(fn|re_)match_lines?(_random)?$", name
        )
    )


def canonical(name: str) -> str:
    """unittest's spelling: ``assertIsNone`` for ``assert_is_none``."""
    if name == "assert_" or not name.startswith("assert_"):
        return name
    spelled = "assert" + "".join(part.title() for part in name.removeprefix("assert_").split("_") if part)
    return {"assertQuantityAllclose": "assertAllclose"}.get(spelled, spelled)


def asserted(call: ast.Call, made: Assertion, conditions: Conditions) -> ast.expr | None:
    """The predicate of an assertion method's call; None where it is not understood, and not asked about.

    Operands are asked for as a side effect on ``made``.
    """
    name = last_name(call.func)
    if name in _CALLS and isinstance(call.func, ast.Attribute):
        op, times = _CALLS[name]
        counter = "await_count" if "await" in name else "call_count"
        # There is no such expression in the test: it has no line to be recorded on.
        asked = conditions.ask(ast.Attribute(call.func.value, counter, ast.Load()), made)
        return ast.Compare(asked, [op()], [ast.Constant(times)])
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return None
    arguments: list[ast.expr | None] = [*call.args]
    options: dict[str, ast.expr] = {}
    for keyword in call.keywords:
        index = _PARAMETERS.get(keyword.arg or "")
        if index is None or index < len(call.args):
            options[keyword.arg or "**"] = keyword.value
        else:
            arguments += [None] * (index + 1 - len(arguments))
            arguments[index] = keyword.value
    parts = [argument for argument in arguments if argument is not None]
    if len(parts) < len(arguments) or not parts or "**" in options:
        return None
    return _predicate(canonical(name), parts, options, made, conditions)


def _predicate(
    name: str, parts: list[ast.expr], options: dict[str, ast.expr], made: Assertion, conditions: Conditions
) -> ast.expr | None:
    if name in _TRUE or name in _FALSE:
        return conditions.truth(parts[0], made, negated=name in _FALSE)
    if name in ("assertIsNone", "assertIsNotNone"):
        parts = [parts[0], ast.Constant(None)]
    if len(parts) < 2:
        return None
    if name in _RELATIONS:
        return conditions.comparison(parts[:2], [_RELATIONS[name]()], made)
    if name == "assertSequenceEqual":  # of whatever types
        left, right = conditions.operands(parts[:2], made)
        return ast.Compare(called("list", left), [ast.Eq()], [called("list", right)])
    if name in _ARRAYS:
        left, right = conditions.operands(parts[:2], made)
        return ast.Compare(called("items", left), [ast.Eq()], [called("items", right)])
    if name in ("assertIsInstance", "assertNotIsInstance"):
        inside = conditions.instance(parts[0], parts[1], made)
        return ast.UnaryOp(ast.Not(), inside) if "Not" in name else inside
    if name in ("assertCountEqual", "assertItemsEqual"):
        return called("same_items", *conditions.operands(parts[:2], made))
    if name in ("assertRegex", "assertRegexpMatches", "assertNotRegex", "assertNotRegexpMatches"):
        if conditions.flow.rank(parts[1]) != LITERAL:
            return None
        found = called("matches", conditions.ask(parts[0], made), conditions.expected(parts[1]))
        return ast.UnaryOp(ast.Not(), found) if "Not" in name else found
    if name in ("assertStartsWith", "assertEndsWith"):
        operands = conditions.operands(parts[:2], made)
        return called("startswith" if name == "assertStartsWith" else "endswith", *operands)
    return _close(name, parts, options, made, conditions)


def _close(
    name: str, parts: list[ast.expr], options: dict[str, ast.expr], made: Assertion, conditions: Conditions
) -> ast.expr | None:
    extra = [*parts[2:], *options.values()]
    said = [
        option for key, option in options.items() if key in ("places", "delta", "rtol", "atol", "decimal")
    ]
    if any(conditions.flow.rank(option) != LITERAL for option in said):
        return None
    numpy = made.statement is not None and _is_function(made)
    if name in ("assertAlmostEqual", "assertAlmostEquals", "assertNotAlmostEqual") and not numpy:
        left, right = conditions.operands(parts[:2], made)
        delta = options.get("delta") or (parts[4] if len(parts) > 4 else None)
        places = options.get("places") or (parts[2] if len(parts) > 2 else ast.Constant(7))
        if isinstance(places, ast.Constant) and places.value is None:
            places = ast.Constant(7)
        difference = called("abs", ast.BinOp(left, ast.Sub(), right))
        if delta is not None:
            near: ast.expr = ast.Compare(difference, [ast.LtE()], [conditions.expected(delta)])
        else:
            rounded = called("round", difference, conditions.expected(places))
            near = ast.Compare(rounded, [ast.Eq()], [ast.Constant(0)])
        close = ast.BoolOp(ast.Or(), [ast.Compare(left, [ast.Eq()], [right]), near])
        return ast.UnaryOp(ast.Not(), close) if "Not" in name else close
    if name == "assertAllclose":
        if any(conditions.flow.rank(option) != LITERAL for option in extra):
            return None
        left, right = conditions.operands(parts[:2], made)
        relative = options.get("rtol") or (parts[2] if len(parts) > 2 else ast.Constant(1e-7))
        absolute = options.get("atol") or (parts[3] if len(parts) > 3 else ast.Constant(0))
        return called("allclose", left, right, conditions.expected(relative), conditions.expected(absolute))
    if name in ("assertAlmostEqual", "assertArrayAlmostEqual"):
        left, right = conditions.operands(parts[:2], made)
        default = ast.Constant(7 if name == "assertAlmostEqual" else 6)
        decimal = options.get("decimal") or (parts[2] if len(parts) > 2 else default)
        power = ast.BinOp(
            ast.Constant(10.0), ast.Pow(), ast.UnaryOp(ast.USub(), conditions.expected(decimal))
        )
        absolute = ast.BinOp(ast.Constant(1.5), ast.Mult(), power)
        return called("allclose", left, right, ast.Constant(0), absolute)
    return None


def _is_function(made: Assertion) -> bool:
    """``assert_almost_equal``: numpy's, unlike unittest's method."""
    value = made.statement.value if isinstance(made.statement, ast.Expr) else None
    return isinstance(value, ast.Call) and "_" in last_name(value.func).removeprefix("assert_")
