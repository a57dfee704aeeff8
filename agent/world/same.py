"""Whether two texts of values are one value: compared as values, as far as the texts tell."""

from __future__ import annotations

import ast
import builtins
import datetime
import decimal
import fractions
import math
import re
from collections.abc import Callable
from typing import Any

from agent.world.values import Opaque, read_value

MAX_SET = 200
"""Items of a set that are compared each with each."""
_CUT = re.compile(r"(?s)(.*?),? ?\.\.\.\(\+(\d+)\)([\])]?)$")
_BIG = re.compile(r"<int of (\d+) bits, ([<>]) 0>$")
_NUMBERS = (int, float, complex)


def same_value(a: str, b: str) -> bool | None:
    """Whether two ``repr`` texts are one value; None where their texts don't tell.

    Literals compare as values: order of dicts and sets aside, floats within 1e-9, ``nan`` as itself, ``1``
    and ``1.0`` alike. Of a value that was cut short only what is left is compared, so it can differ but
    not be the same, unless the two texts are. ``<Foo>`` is any value of that type.
    """
    if a.strip() == b.strip():
        return True
    return same(read_value(a), read_value(b))


def same(left: Any, right: Any) -> bool | None:
    """The same for values as ``read_value`` gives them."""
    if isinstance(left, Opaque) and isinstance(right, Opaque):
        return _both_opaque(left, right)
    if isinstance(left, Opaque):
        return _opaque(left, right)
    if isinstance(right, Opaque):
        return _opaque(right, left)
    try:
        return _equal(left, right)
    except RecursionError:
        return None


def _opaque(text: Opaque, literal: Any) -> bool | None:
    big = _BIG.match(text.text)
    if big is not None and isinstance(literal, int):
        if literal.bit_length() != int(big[1]) or (literal > 0) != (big[2] == ">"):
            return False
        return None
    if literal is None and text.type_name:
        # None is None and nothing else, but `<defaultdict>` may well have been written as `{...}`.
        return False
    cut = _cut(text)
    if cut is None or not isinstance(literal, (str, bytes, list, tuple)):
        return None
    start, length = cut
    if type(start) is not type(literal) or len(literal) != length:
        return False
    return None if _equal(start, literal[: len(start)]) else False


def _both_opaque(left: Opaque, right: Opaque) -> bool | None:
    if left.text == right.text:
        return True
    if left.masked or right.masked:
        if not (left.type_name and right.type_name):
            return None
        kinds = (set(re.findall(r"\w+", left.text)), set(re.findall(r"\w+", right.text)))
        if left.type_name != right.type_name and (left.type_name in kinds[1] or right.type_name in kinds[0]):
            return None  # `<function>` may be `<function f>`
        return left.type_name == right.type_name
    first, second = _cut(left), _cut(right)
    if first is not None and second is not None:
        shown = min(len(first[0]), len(second[0]))
        alike = type(first[0]) is type(second[0]) and first[1] == second[1]
        return None if alike and _equal(first[0][:shown], second[0][:shown]) else False
    return None if left.cut or right.cut else _constructed(left.text, right.text)


def _cut(value: Opaque) -> tuple[Any, int] | None:
    """What is left of a text or sequence that was cut, as ``[1, 2, ...(+3)]``, and how long it was."""
    found = _CUT.match(value.text)
    if found is None:
        return None
    start = read_value(
        (found[1] or ("[" if found[3] == "]" else "(")) + ("," if found[3] == ")" else "") + found[3]
    )
    plain = isinstance(start, (str, bytes) if not found[3] else (list, tuple))
    return (start, len(start) + int(found[2])) if plain else None


def _constructed(a: str, b: str) -> bool | None:
    """Calls that build values: by spelling, and for some classes by what is built."""
    try:
        left, right = ast.parse(a, mode="eval").body, ast.parse(b, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if ast.dump(left) == ast.dump(right):
        return True
    if not (isinstance(left, ast.Call) and isinstance(right, ast.Call)):
        return None
    names = [ast.unparse(call.func).rpartition(".")[2] for call in (left, right)]
    kinds = [getattr(builtins, name, None) for name in names]
    if all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        return False if names[0] != names[1] else None
    if names[0] not in _BUILT or names[1] not in _BUILT:
        return None
    if names[0] != names[1]:
        return False
    try:
        arguments = [[ast.literal_eval(one) for one in call.args] for call in (left, right)]
        if left.keywords or right.keywords:
            return None
        made = [_BUILT[names[0]](*one) for one in arguments]
        return bool(_equal(made[0], made[1]))
    except (ValueError, TypeError, ArithmeticError, SyntaxError, RecursionError, MemoryError):
        return None


def _fraction(*parts: Any) -> fractions.Fraction:
    if not all(isinstance(part, int) for part in parts):
        raise ValueError("a text may ask for a power of any size")
    return fractions.Fraction(*parts)


_BUILT: dict[str, Callable[..., Any]] = {
    "Decimal": lambda text: decimal.Decimal(text) if len(str(text)) < 100 else text,
    "Fraction": _fraction,
    "date": datetime.date,
    "datetime": datetime.datetime,
    "time": datetime.time,
    "deque": lambda items=(), *rest: list(items),
    "Counter": lambda items=(): dict(items),
    "OrderedDict": lambda items=(): list(dict(items).items()),
    "range": range,
}
"""Classes whose values follow from what their ``repr`` shows."""


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, _NUMBERS) and isinstance(b, _NUMBERS):
        return _equal_numbers(a, b)
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        if a.keys() == b.keys():
            return all(_equal(a[key], b[key]) for key in a)
        return _equal(set(a), set(b)) and all(_equal(a[x], b[y]) for x in a for y in b if _equal(x, y))
    if isinstance(a, (set, frozenset)) and a != b and len(a) == len(b) <= MAX_SET:
        rest = list(b)
        for item in a:
            found = next((index for index, other in enumerate(rest) if _equal(item, other)), None)
            if found is None:
                return False
            del rest[found]
        return True
    return bool(a == b)


def _equal_numbers(a: Any, b: Any) -> bool:
    if isinstance(a, complex) or isinstance(b, complex):
        a, b = complex(a), complex(b)
        return _equal_numbers(a.real, b.real) and _equal_numbers(a.imag, b.imag)
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    try:
        return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9)
    except OverflowError:  # a whole number beyond any float
        return bool(a == b)
