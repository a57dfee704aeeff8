"""Predicates: restricted Python expressions over plain values, judged without running anyone's code.

Allowed: literals, names, ``and or not``, comparisons, arithmetic, indexing, conditional expressions,
and the functions in ``FUNCTIONS``. No attributes, no other calls, no comprehensions. Logic has three
values: what cannot be told (a name without a value, a value that is no literal) is ``UNKNOWN``.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.world.regex import search
from agent.world.same import same as same_values
from agent.world.values import Opaque, array_items

MAX_NODES = 2000
MAX_TEXT = 20_000
MAX_ITEMS = 2_000
"""Items that are compared each with each."""
MAX_DIGITS = 400
"""Decimal places that a number may be rounded to."""
MAX_MADE = 400_000
"""Items that an expression may put together in all."""
MAX_SIZE = 100_000
"""Items of a sequence and bits of an integer that an expression may make."""


class PredicateError(ValueError):
    """The text is no predicate: it does not parse, or uses what is not allowed."""


class PredicateRaised(Exception):
    """On these values the expression raises, as it would in Python (``None < 3``)."""


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        raise TypeError("UNKNOWN is neither true nor false")


UNKNOWN = _Unknown()


@dataclass(frozen=True, eq=False)
class Approx:
    """``pytest.approx``: numbers, and lists, tuples and dicts of them (default 1e-6 relative, 1e-12
    absolute). It equals what is close enough, also within a container."""

    expected: Any
    rel: float | None = None
    abs: float | None = None
    nan_ok: bool = False

    def matches(self, value: Any) -> bool:
        """Whether a value is close enough, item by item."""
        return _close(value, self.expected, self.rel, self.abs, self.nan_ok)

    def __eq__(self, other: object) -> bool:
        return self.matches(other)

    __hash__ = None  # type: ignore[assignment]


def _close(value: Any, expected: Any, rel: float | None, absolute: float | None, nan_ok: bool) -> bool:
    if isinstance(expected, (list, tuple)):
        return (
            isinstance(value, (list, tuple))
            and len(value) == len(expected)
            and all(_close(a, b, rel, absolute, nan_ok) for a, b in zip(value, expected, strict=True))
        )
    if isinstance(expected, dict):
        return (
            isinstance(value, dict)
            and value.keys() == expected.keys()
            and all(_close(value[key], expected[key], rel, absolute, nan_ok) for key in expected)
        )
    numbers = (int, float, complex)
    if not isinstance(value, numbers) or not isinstance(expected, numbers) or isinstance(expected, bool):
        return bool(value == expected)
    if value == expected:
        return True
    if value != value and expected != expected:
        return nan_ok
    # pytest: with only `abs` given, the relative tolerance is not used at all.
    relative = 0.0 if rel is None and absolute is not None else abs(expected) * (1e-6 if rel is None else rel)
    tolerance = max(relative, 1e-12 if absolute is None else absolute)
    return bool(abs(value - expected) <= tolerance)


TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, object)
}


def _same_items(left: Any, right: Any) -> Any:
    """``assertCountEqual``: the same items as often, in any order."""
    rest = list(right)
    if len(rest) > MAX_ITEMS or len(left) > MAX_ITEMS:
        return UNKNOWN
    for item in left:
        if item not in rest:
            return False
        rest.remove(item)
    return not rest


def _isclose(a: Any, b: Any, rel_tol: float = 1e-9, abs_tol: float = 0.0) -> bool:
    return math.isclose(a, b, rel_tol=rel_tol, abs_tol=abs_tol)


def _allclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
    """numpy's rule: abs(a - b) <= atol + rtol * abs(b), item by item."""
    if isinstance(a, (list, tuple)) or isinstance(b, (list, tuple)):
        many = a if isinstance(a, (list, tuple)) else [a] * len(b)
        others = b if isinstance(b, (list, tuple)) else [b] * len(many)
        return len(many) == len(others) and all(
            _allclose(x, y, rtol, atol) for x, y in zip(many, others, strict=True)
        )
    return bool(abs(a - b) <= atol + rtol * abs(b))


def _round(number: Any, digits: Any = None) -> Any:
    if isinstance(digits, int) and abs(digits) > MAX_DIGITS:
        return UNKNOWN  # 10**digits is worked out for a whole number
    return round(number) if digits is None else round(number, digits)


def _sum(items: Any, start: Any = 0) -> Any:
    """``sum`` of numbers; of lists it would take a time that grows with the square of their number."""
    whole = list(items)
    if not all(isinstance(item, (int, float, complex)) for item in [*whole, start]):
        return UNKNOWN
    return sum(whole, start)


def _is_small(value: Any) -> bool:
    """Whether a value holds at most MAX_SIZE items, characters or bits, counted through what it holds."""
    waiting, size = [value], 0
    while waiting:
        current = waiting.pop()
        if isinstance(current, int):
            size += current.bit_length()
        elif isinstance(current, (str, bytes, bytearray)):
            size += len(current)
        elif isinstance(current, (list, tuple, set, frozenset, dict)):
            size += len(current)
            if size <= MAX_SIZE:
                waiting += [*current, *current.values()] if isinstance(current, dict) else current
        if size > MAX_SIZE:
            return False
    return True


def _matches(text: Any, pattern: Any) -> Any:
    """``re.search`` in bounded time."""
    if not isinstance(text, str) or not isinstance(pattern, str):
        return UNKNOWN
    found = search(pattern, text)
    return UNKNOWN if found is None else found


def _typed(kind: type) -> Callable[..., Any]:
    return lambda *values: kind(*values)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "len": len,
    "max": max,
    "min": min,
    "round": _round,
    "sorted": sorted,
    "sum": _sum,
    "str": str,
    "repr": repr,
    "approx": Approx,
    "isclose": _isclose,
    "allclose": _allclose,
    "same_items": _same_items,
    "matches": _matches,
    "issubset": lambda some, others: set(some).issubset(others),
    "issuperset": lambda some, others: set(some).issuperset(others),
    "isdisjoint": lambda some, others: set(some).isdisjoint(others),
    "startswith": lambda text, start: text.startswith(start),
    "endswith": lambda text, end: text.endswith(end),
    **{
        name: _typed(TYPES[name])
        for name in ("bool", "int", "float", "list", "tuple", "dict", "set", "frozenset")
    },
}

BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_SPECIAL = ("isinstance", "is_type", "raises", "warns", "never", "any", "text", "items")

_NODES = (
    ast.Constant,
    ast.Name,
    ast.Tuple,
    ast.List,
    ast.Set,
    ast.Dict,
    ast.BoolOp,
    ast.UnaryOp,
    ast.BinOp,
    ast.Compare,
    ast.IfExp,
    ast.Subscript,
    ast.Slice,
    ast.Call,
    ast.keyword,
    ast.JoinedStr,
    ast.FormattedValue,
    ast.boolop,
    ast.unaryop,
    ast.operator,
    ast.cmpop,
    ast.expr_context,
)


def parse_predicate(text: str) -> ast.expr:
    """Parse and check a predicate. Raises PredicateError with the reason."""
    if len(text) > MAX_TEXT:
        raise PredicateError(f"it has {len(text)} characters; {MAX_TEXT} are allowed")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise PredicateError(f"it is no Python expression: {error}") from error
    check_predicate(tree)
    return tree


def check_predicate(tree: ast.expr) -> None:
    """Raises PredicateError where an expression uses more than predicates may."""
    for count, node in enumerate(ast.walk(tree)):
        if count > MAX_NODES:
            raise PredicateError(f"it has more than {MAX_NODES} parts")
        if not isinstance(node, _NODES) or isinstance(node, (ast.MatMult, ast.LShift, ast.RShift)):
            raise PredicateError(f"it uses {type(node).__name__}, which predicates may not")
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            if name not in FUNCTIONS and name not in _SPECIAL:
                raise PredicateError(
                    f"it calls `{ast.unparse(node.func)}`; {', '.join(sorted(FUNCTIONS))} are allowed"
                )
            if any(keyword.arg is None for keyword in node.keywords):
                raise PredicateError("it calls with **")
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
            raise PredicateError("it formats a value, which predicates may not")


def evaluate(tree: ast.expr, names: Mapping[str, Any]) -> Any:
    """The value of a checked predicate, UNKNOWN where it can't be told.

    Values of names are plain values or Opaque. Raises PredicateRaised where Python would raise.
    """
    try:
        return _Evaluator(names).value(tree)
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise PredicateRaised(f"{type(error).__name__}: {error}") from error
    except (RecursionError, MemoryError):
        return UNKNOWN


def truth(value: Any) -> bool | None:
    """True, False, or None for what can't be told."""
    if value is UNKNOWN or isinstance(value, (Opaque, Approx)):
        return None
    return bool(value)


class _Evaluator:
    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = names
        self.made = 0

    def value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self.names.get(node.id, UNKNOWN)
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            items = [self.value(item) for item in node.elts]
            kind = {ast.Tuple: tuple, ast.List: list, ast.Set: set}[type(node)]
            return UNKNOWN if _vague(items) or not _is_small(items) else kind(items)
        if isinstance(node, ast.Dict):
            if any(key is None for key in node.keys):
                return UNKNOWN
            keys = [self.value(key) for key in node.keys if key]
            values = [self.value(value) for value in node.values]
            whole = [*keys, *values]
            return UNKNOWN if _vague(whole) or not _is_small(whole) else dict(zip(keys, values, strict=True))
        if isinstance(node, ast.BoolOp):
            return self._logic(node)
        if isinstance(node, ast.UnaryOp):
            inner = self.value(node.operand)
            if isinstance(node.op, ast.Not):
                known = truth(inner)
                return UNKNOWN if known is None else not known
            return UNKNOWN if _vague([inner]) else UNARY[type(node.op)](inner)
        if isinstance(node, ast.BinOp):
            return self._binary(node.op, self.value(node.left), self.value(node.right))
        if isinstance(node, ast.Compare):
            return self._compare(node)
        if isinstance(node, ast.IfExp):
            known = truth(self.value(node.test))
            return UNKNOWN if known is None else self.value(node.body if known else node.orelse)
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.JoinedStr):
            return self._text(node)
        return UNKNOWN

    def _text(self, node: ast.JoinedStr) -> Any:
        result = ""
        for part in node.values:
            value = self.value(part.value if isinstance(part, ast.FormattedValue) else part)
            if _vague([value]):
                return UNKNOWN
            plain = isinstance(part, ast.FormattedValue) and part.conversion in (ord("r"), ord("a"))
            result += repr(value) if plain else str(value)
            if len(result) > MAX_SIZE:
                return UNKNOWN
        return result

    def _logic(self, node: ast.BoolOp) -> Any:
        """Kleene's logic: one false makes an `and` false, whatever else is unknown."""
        deciding = isinstance(node.op, ast.Or)
        last: Any = UNKNOWN
        vague = False
        for part in node.values:
            last = self.value(part)
            known = truth(last)
            if known is deciding:
                return last if not vague else deciding
            vague = vague or known is None
        return UNKNOWN if vague else last

    def _binary(self, op: ast.operator, left: Any, right: Any) -> Any:
        if _vague([left, right]):
            return UNKNOWN
        if isinstance(op, ast.Pow):
            numbers = isinstance(left, (int, float, complex)) and isinstance(right, (int, float, complex))
            bits = left.bit_length() if isinstance(left, int) else 1
            if numbers and isinstance(left, int) and isinstance(right, int) and bits * abs(right) > MAX_SIZE:
                return UNKNOWN
        if isinstance(op, ast.Mult):
            for many, times in ((left, right), (right, left)):
                if hasattr(many, "__len__") and isinstance(times, int) and len(many) * times > MAX_SIZE:
                    return UNKNOWN
        if isinstance(op, (ast.Mult, ast.Add)):
            self.made += sum(len(side) for side in (left, right) if hasattr(side, "__len__")) * (
                max(1, right if isinstance(right, int) else left if isinstance(left, int) else 1)
            )
            if self.made > MAX_MADE:
                return UNKNOWN
            made = BINARY[type(op)](left, right)
            return made if _is_small(made) else UNKNOWN
        if isinstance(op, ast.Mod) and isinstance(left, (str, bytes)):
            return UNKNOWN  # a format can ask for a field of any width
        return BINARY[type(op)](left, right)

    def _compare(self, node: ast.Compare) -> Any:
        left = self.value(node.left)
        vague = False
        for op, comparator in zip(node.ops, node.comparators, strict=True):
            right = self.value(comparator)
            known = compare(op, left, right)
            if known is False:
                return False
            vague = vague or known is None
            left = right
        return UNKNOWN if vague else True

    def _subscript(self, node: ast.Subscript) -> Any:
        whole = self.value(node.value)
        if isinstance(node.slice, ast.Slice):
            parts = [
                None if p is None else self.value(p)
                for p in (node.slice.lower, node.slice.upper, node.slice.step)
            ]
            return UNKNOWN if _vague([whole, *parts]) else whole[slice(*parts)]
        index = self.value(node.slice)
        return UNKNOWN if _vague([whole, index]) else whole[index]

    def _call(self, node: ast.Call) -> Any:
        assert isinstance(node.func, ast.Name)
        name = node.func.id
        if name == "isinstance":
            return self._isinstance(node)
        if name == "text":
            known = self.value(node.args[1]) if len(node.args) > 1 else UNKNOWN
            source = node.args[0] if node.args else None
            spelled = Opaque(str(source.value)) if isinstance(source, ast.Constant) else UNKNOWN
            return spelled if _vague([known]) else known
        if name == "items":
            value = self.value(node.args[0]) if node.args else UNKNOWN
            inner = array_items(value.text) if isinstance(value, Opaque) else None
            return value if inner is None else inner
        if name == "any":
            return self.value(node.args[0]) if node.args else UNKNOWN
        if name in ("raises", "warns", "never"):
            return UNKNOWN  # judged where exceptions are known: intent.py
        if name == "is_type":
            return self._is_type(node)
        values = [self.value(argument) for argument in node.args]
        keywords = {k.arg: self.value(k.value) for k in node.keywords if k.arg}
        if _vague([*values, *keywords.values()]):
            return UNKNOWN
        return FUNCTIONS[name](*values, **keywords)

    def _isinstance(self, node: ast.Call) -> Any:
        if len(node.args) != 2:
            raise TypeError("isinstance takes a value and a type")
        value = self.value(node.args[0])
        kinds = node.args[1].elts if isinstance(node.args[1], ast.Tuple) else [node.args[1]]
        names = [kind.id if isinstance(kind, ast.Name) else "" for kind in kinds]
        if value is UNKNOWN:
            return UNKNOWN
        if isinstance(value, Opaque):
            return True if "object" in names or (value.type_name and value.type_name in names) else UNKNOWN
        if any(isinstance(value, TYPES[name]) for name in names if name in TYPES):
            return True
        return False if all(name in TYPES for name in names) else UNKNOWN

    def _is_type(self, node: ast.Call) -> Any:
        value = self.value(node.args[0]) if len(node.args) == 2 else UNKNOWN
        wanted = node.args[1].id if len(node.args) == 2 and isinstance(node.args[1], ast.Name) else ""
        if value is UNKNOWN or not wanted:
            return UNKNOWN
        if isinstance(value, Opaque):
            return True if value.type_name == wanted else UNKNOWN
        return type(value).__name__ == wanted


def compare(op: ast.cmpop, left: Any, right: Any) -> bool | None:
    """One comparison; None where it can't be told from the texts of the values."""
    if left is UNKNOWN or right is UNKNOWN:
        return None
    if isinstance(op, ast.NotEq):
        same = compare(ast.Eq(), left, right)
        return None if same is None else not same
    if isinstance(op, ast.IsNot):
        same = compare(ast.Is(), left, right)
        return None if same is None else not same
    if isinstance(op, ast.NotIn):
        inside = compare(ast.In(), left, right)
        return None if inside is None else not inside
    if isinstance(op, ast.Is):
        for value, other in ((left, right), (right, left)):
            if value is None or isinstance(value, bool):
                return None if isinstance(other, Opaque) and not other.type_name else value is other
        return None
    if isinstance(left, Opaque) or isinstance(right, Opaque):
        if not isinstance(op, ast.Eq) or getattr(left, "masked", False) or getattr(right, "masked", False):
            return None
        if isinstance(left, Opaque) and isinstance(right, Opaque) and left.cut and left.text == right.text:
            return None
        return same_values(left, right)
    if isinstance(op, ast.Eq):
        for value, other in ((left, right), (right, left)):
            if isinstance(other, Approx):
                return other.matches(value)
        return bool(left == right)
    if isinstance(op, ast.In):
        return bool(left in right)
    return bool(_COMPARE[type(op)](left, right))


def _vague(values: Sequence[Any]) -> bool:
    return any(value is UNKNOWN or isinstance(value, Opaque) for value in values)
