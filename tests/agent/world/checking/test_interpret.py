"""The restricted interpreter: Python's own answers where it gives one, and none of anyone's code run."""

from __future__ import annotations

import ast
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.world.checking.interpret import BUILTINS, MODULES, CannotTell, Interpreter, Module, Raised

STATE: dict[str, Any] = {
    "n": 3,
    "f": 2.5,
    "s": "a,Bc,d",
    "l": [3, 1, 2],
    "d": {"a": 1, "b": [2]},
    "t": (1, "x"),
    "z": {1, 2},
    "e": "",
}


def evaluate(text: str, state: dict[str, Any] | None = None) -> Any:
    names = {name: repr(value) for name, value in (state or STATE).items()}
    outside = {**BUILTINS, **{name: Module(name) for name in MODULES}}

    def call(name: str, values: list[Any], named: dict[str, Any]) -> Any:
        raise CannotTell

    return Interpreter(names, outside, call).evaluate(ast.parse(text, mode="eval").body)


@pytest.mark.parametrize(
    "text",
    [
        "n * 2 ** n - 7 // 2 % 3",
        "s.split(',')[::-1]",
        "[x * 2 for x in l if x > 1]",
        "f'{n:>4}|{f:.1f}|{s!r}'",
        "{k: v for k, v in d.items()}",
        "sorted(l, key=lambda x: -x)",
        "''.join(c.upper() for c in s if c.isalpha())",
        "sum(x * y for x, y in zip(l, range(3)))",
        "max(d, key=len)",
        "any(x > 2 for x in l) and not e",
        "t[0] < n <= 3",
        "list(map(str, l)) + ['%03d' % n]",
        "'{} {}'.format(n, f)",
        "isinstance(n, (str, int)) and type(s) is str",
        "[(i, j) for i in range(3) for j in range(i)]",
        "bin(n)[2:].zfill(8)",
        "d.get('q', l)[-1]",
        "len(z | {5})",
        "{**d, 'c': 1}",
        "[*l, *t]",
        "1 in z",
        "round(f) if n else f",
        "math.sqrt(n)",
        "divmod(n, 2)",
        "list(reversed(l))",
        "dict.fromkeys(s, 0)",
        "s.partition(',')",
        "list(enumerate(l, 1))",
        "sorted(z)",
        "string.ascii_lowercase[n]",
    ],
)
def test_answers_are_pythons(text: str) -> None:
    """Would catch an operator, method or builtin that means something else here."""
    import math
    import string

    assert evaluate(text) == eval(text, {"math": math, "string": string, **STATE})


@pytest.mark.parametrize(
    "text",
    [
        "l[7]",
        "d['q']",
        "n / 0",
        "int('x')",
        "s + n",
        "l.index(9)",
        "None + 1",
        "len(n)",
        "[].pop()",
        "n.append(1)",
    ],
)
def test_errors_are_pythons(text: str) -> None:
    """Would catch a line that must raise being passed over, or blamed on the wrong exception."""
    try:
        eval(text, {}, dict(STATE))
    except Exception as error:
        expected = type(error).__name__
    with pytest.raises(Raised) as ours:
        evaluate(text)
    assert ours.value.kind == expected


@pytest.mark.parametrize(
    "text",
    [
        "().__class__.__bases__[0].__subclasses__()",
        "'{0.__class__}'.format(n)",
        "(lambda: 0).__globals__",
        "__import__('os')",
        "open('/etc/passwd')",
        "eval('1')",
        "getattr(n, 'real')",
        "f'{n.__class__}'",
        "type('X', (), {})",
        "str.__subclasses__()",
        "math.__loader__",
        "[c for c in ().__class__.__mro__]",
        "list(z)",
        "str(z)",
        "','.join({'a', 'b'})",
        "undefined",
        "hash(s)",
        "id(l)",
    ],
)
def test_what_is_not_listed_is_not_told(text: str) -> None:
    """Would catch a way out of the whitelist, and guesses about the order of a set."""
    with pytest.raises(CannotTell):
        evaluate(text)


@pytest.mark.parametrize(
    "text",
    [
        "sum([[1]] * 100000, [])",
        "('a' * 90000).translate({97: 'x' * 90000})",
        "[[0] * 99999 for i in range(40000)]",
        "[('x' * 99999)[:] for i in range(40000)]",
        "(lambda f, n: f(f, n))(lambda f, n: f(f, n - 1) + f(f, n - 1) if n else 1, 30)",
        "9 ** 9 ** 9",
        "'x' * 10 ** 10",
        "[0] * 10 ** 9",
        "list(range(10 ** 12))",
        "sum(range(10 ** 10))",
        "1 << 10 ** 9",
        "'x'.ljust(10 ** 9)",
        "f'{n:1000000000}'",
        "'%1000000000d' % n",
        "[i for i in range(99999) for j in range(99999)]",
        "pow(9, 10 ** 9)",
        "'a'.replace('', 'b' * 99999).replace('', 'c' * 99999)",
        "(lambda f: f(f))(lambda f: f(f))",
        "'{:>999999999}'.format(n)",
        "bytes(10 ** 10)",
    ],
)
def test_what_costs_too_much_is_not_told(text: str) -> None:
    """Would catch a prediction that makes checking hang or eat the memory."""
    began = time.monotonic()
    with pytest.raises(CannotTell):
        evaluate(text)
    assert time.monotonic() - began < 20


PIECES = st.recursive(
    st.sampled_from(["n", "f", "s", "l", "d", "t", "z", "(0)", "(1)", "(-2)", "'a'", "[]", "None", "True"]),
    lambda inner: st.one_of(
        st.tuples(
            inner, st.sampled_from(["+", "-", "*", "//", "%", "==", "<", "in", "and", "or"]), inner
        ).map(lambda parts: f"({' '.join(parts)})"),
        st.tuples(inner, inner).map(lambda p: f"{p[0]}[{p[1]}]"),
        st.tuples(st.sampled_from(["len", "sum", "str", "sorted", "bool", "max", "abs", "list"]), inner).map(
            lambda p: f"{p[0]}({p[1]})"
        ),
        st.tuples(
            inner, st.sampled_from(["upper()", "split('a')", "get('a')", "count(1)", "strip()", "copy()"])
        ).map(".".join),
    ),
    max_leaves=8,
)


@given(PIECES)
@settings(max_examples=400, deadline=None)
def test_any_expression_is_pythons_or_not_told(text: str) -> None:
    """Would catch any difference from Python on plain values: result, type or exception."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected: Any = eval(text, {}, {**STATE, "l": [3, 1, 2]})
        except Exception as error:
            expected = type(error)
        try:
            found = evaluate(text)
        except CannotTell:
            return
        except Raised as raised:
            found = raised
    if isinstance(found, Raised):
        assert isinstance(expected, type), text
        assert found.kind == expected.__name__, text
    else:
        assert found == expected, text
        assert type(found) is type(expected), text
