"""Predicted and observed traces laid side by side, and values compared as values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.world.compare import MAX_VALUE, first_divergence
from agent.world.same import same_value
from agent.world.trace import Frame, Outcome, Trace
from prompts import render
from tests.agent.world.recording import record

PROGRAMS = [
    "def add(n):\n    t = 0\n    for i in range(n):\n        if i % 2:\n            t += i\n        else:\n"
    "            t -= 1\n    return t\ndef main():\n    a = add(3)\n    b = add(4)\n    return a + b\n",
    "def fib(n):\n    if n < 2:\n        return n\n    return fib(n - 1) + fib(n - 2)\n"
    "def main():\n    return fib(4)\n",
    "def gen(n):\n    for i in range(n):\n        yield i * i\ndef main():\n    s = 0\n    for x in gen(3):\n"
    "        s += x\n    return list(gen(2))\n",
    "def risky(n):\n    if n:\n        raise ValueError(n)\n    return n\ndef main():\n    found = []\n"
    "    for n in (0, 1, 2):\n        try:\n            found.append(risky(n))\n"
    "        except ValueError as e:\n            found.append(str(e))\n    return found\n",
]
TRACES = [record(program) for program in PROGRAMS]
RUNS = [
    Trace(
        (*t.frames, *(replace(f, run=2) for f in t.frames)),
        outcomes=(Outcome(1, "passed"), Outcome(2, "passed")),
    )
    for t in TRACES
]
TRACE = st.sampled_from([*TRACES, *RUNS])


@given(TRACE)
def test_a_trace_never_differs_from_itself(trace: Trace) -> None:
    """Catches loops, recursion, generators, exceptions and second runs that are laid to the wrong call."""
    assert first_divergence(trace, trace) is None
    assert first_divergence(trace, trace, dense=True) is None


@given(TRACE, st.data())
def test_what_a_prediction_leaves_out_is_no_divergence(trace: Trace, data: st.DataObject) -> None:
    """Catches a sparse prediction whose later visits are compared with earlier ones, and skipped calls."""
    kept = data.draw(st.lists(st.booleans(), min_size=len(trace.frames), max_size=len(trace.frames)))
    frames = tuple(frame for frame, keep in zip(trace.frames, kept, strict=True) if keep)
    assert first_divergence(replace(trace, frames=frames), trace) is None


@given(TRACE, st.data())
def test_one_changed_value_is_found_where_it_is(trace: Trace, data: st.DataObject) -> None:
    """Catches a divergence that is missed, or reported at another frame, or without both states."""
    index = data.draw(st.sampled_from([i for i, f in enumerate(trace.frames) if any(f.locals.values())]))
    frame = trace.frames[index]
    name = data.draw(st.sampled_from([name for name, value in frame.locals.items() if value is not None]))
    assume(same_value(frame.locals[name] or "", "'wrong'") is False)
    wrong = replace(frame, locals={**frame.locals, name: "'wrong'"})
    changed = replace(trace, frames=(*trace.frames[:index], wrong, *trace.frames[index + 1 :]))
    for dense in (False, True):
        found = first_divergence(changed, trace, dense=dense)
        assert found is not None
        assert (found.what, found.predicted, found.observed) == ("value", wrong, frame)
        assert f"{name} = 'wrong'" in found.text
        assert f"{name} = {frame.locals[name]}" in found.text


@given(TRACE, st.data())
def test_one_changed_line_is_found_where_it_is(trace: Trace, data: st.DataObject) -> None:
    """Catches another way through the code that is reported where its effects show."""
    index = data.draw(st.sampled_from([i for i, f in enumerate(trace.frames) if f.event == "line"]))
    frame = trace.frames[index]
    wrong = replace(frame, line=data.draw(st.integers(1, 99)))
    assume(wrong.line != frame.line)
    changed = replace(trace, frames=(*trace.frames[:index], wrong, *trace.frames[index + 1 :]))
    found = first_divergence(changed, trace, dense=True)
    assert found is not None
    assert (found.what, found.predicted, found.observed) == ("line", wrong, frame)


def test_calls_that_are_counted_otherwise_are_found() -> None:
    """Catches the second call of a function, told as the first because the first was not told at all."""
    observed = TRACES[0]
    second = [replace(f, visit=1) for f in observed.frames if f.function == "add" and f.visit == 2]
    assert first_divergence(Trace(tuple(second)), observed) is None
    wrong = [replace(f, value="99") if f.event == "return" else f for f in second]
    assert first_divergence(Trace(tuple(wrong)), observed) is not None


def test_a_call_that_is_left_out_between_others_is_no_divergence() -> None:
    """Catches calls that are laid to the wrong ones behind a call that was not told, each numbered one less;
    and a wrong one among them that passes."""
    made = [Frame("return", "f", "m.py", 3, visit=n, value=str(n * n)) for n in range(1, 6)]
    observed = Trace((Frame("call", "main", "m.py", 9), *made))
    told = [replace(frame, visit=n) for n, frame in enumerate((made[0], made[2], made[4]), 1)]
    assert first_divergence(Trace(tuple(told)), observed) is None
    assert first_divergence(Trace((*told[:2], replace(told[2], value="16"))), observed) is None
    assert first_divergence(Trace((*told[:2], replace(told[2], value="4"))), observed) is not None
    assert first_divergence(Trace(tuple(told)), observed, dense=True) is not None


def test_a_call_that_never_happened_is_said() -> None:
    """Catches a call too many that passes; where the trace was cut it may have happened."""
    observed = TRACES[0]
    third = tuple(replace(f, visit=3) for f in observed.frames if f.function == "add" and f.visit == 2)
    more = Trace((*observed.frames, *third))
    found = first_divergence(more, observed)
    assert found is not None
    assert (found.what, "call 3 of add never happened" in found.text) == ("call", True)
    assert first_divergence(more, replace(observed, limits={"frames": "the cap"})) is None


def test_a_divergence_fits_on_a_screen() -> None:
    """Catches values of thousands of characters in what the agent is told."""
    long = repr("x" * 5000)
    names = {f"name{i}": long for i in range(50)}
    observed = Trace(
        (Frame("call", "f", "m.py", 1, locals=names), Frame("return", "f", "m.py", 2, value=long))
    )
    predicted = replace(observed, frames=(observed.frames[0], replace(observed.frames[1], value="1")))
    found = first_divergence(predicted, observed)
    assert found is not None
    assert len(found.text) < 30 * MAX_VALUE


def test_feedback_fits_on_a_screen() -> None:
    """Catches a run whose many reasons, neighbours or lines of output bury the line to read."""
    said = {
        "headline": "Observed: broken. " + "reason; " * 500,
        "outcomes": ("failed", "failed"),
        "broken_neighbours": [f"tests/test_m.py::test_{i}" for i in range(300)],
        "predicted": "holds",
        "divergence": "m.py:3 in f: predicted x = 1; observed x = 2",
        "output": "line\n" * 4000 + "E  last line",
        "rounds_left": 2,
    }
    text = render("feedback.md.j2", **said)
    assert len(text) < 4500
    for kept in ("Observed: broken", "test_7", "292 more", "m.py:3 in f", "E  last line", "Rounds left: 2"):
        assert kept in text
    short = render("feedback.md.j2", **{**said, "broken_neighbours": ["a"], "output": "all of it"})
    assert "more" not in short.partition("Simulated")[0]
    assert "<output>\nall of it\n</output>" in short


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("{'a': [1, (2.0,)]}", "{'a': [1.0, (2,)]}", True),
        ("{0.30000000000000004, 1}", "{1, 0.3}", True),
        ("{1, 2}", "{1, 3}", False),
        ("nan", "nan", True),
        ("[nan, -0.0]", "[nan, 0.0]", True),
        ("inf", "-inf", False),
        ("1e400", "inf", True),
        ("0x10", "16", True),
        ('"it\'s"', "'it\\'s'", True),
        ("True", "1", True),
        ("(1+2j)", "complex(1, 2)", None),
        ("None", "0", False),
        ("None", "<Foo>", False),
        ("<Foo object at 0x7f00>", "<Foo object at 0x8f11>", True),
        ("<function f at 0x1>", "<function g at 0x1>", False),
        ("[1, 2, ...(+3)]", "[1, 3, 3, 4, 5]", False),
        ("[1, 2, ...(+3)]", "[1, 2, 3]", False),
        ("[1, 2, ...(+3)]", "[1, 2, ...(+4)]", False),
        ("'ab'...(+3)", "'abcde'", None),
        ("'ab'...(+3)", "'axcde'", False),
        ("<int of 100 bits, > 0>", "5", False),
        ("<int of 3 bits, > 0>", "5", None),
        ("Decimal('1.0')", "Decimal('1')", True),
        ("Decimal('1')", "Decimal('2')", False),
        ("datetime.date(2020,1,2)", "date(2020, 1, 2)", True),
        ("deque([1])", "deque([2])", False),
        ("OrderedDict({'a': 1})", "OrderedDict([('a', 1)])", True),
        ("Foo(1)", "Foo(2)", None),
        ("range(3)", "range(0, 3)", True),
        ("range(3)", "range(4)", False),
        ("<function>", "<function f at 0x1>", None),
        ("Fraction('1e99999999')", "Fraction(1, 2)", None),
        ("Foo( 1 )", "Foo(1)", True),
        ("ValueError('x')", "KeyError('x')", False),
        ("ValueError('x')", "ValueError('y')", None),
        ("[" * 150 + "]" * 150, "[]", False),
        ("9" * 400, "1.0", False),
    ],
)
def test_texts_of_values(a: str, b: str, same: bool | None) -> None:
    """Catches values told apart by their notation, cut ones taken as whole, types that are passed over."""
    assert same_value(a, b) is same
    assert same_value(b, a) is same


VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=3)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        st.frozensets(st.integers(), max_size=3).map(set),
    ),
    max_leaves=8,
)


@given(VALUES)
def test_every_plain_value_is_the_same_as_itself(value: object) -> None:
    """Catches a ``repr`` that is not read back: ``nan`` in a list, an empty set, bytes."""
    text = repr(value)
    assert same_value(text, f" {text} ") is True
    assert same_value(f"[{text}]", f"[ {text}, ]") is True
    assert same_value(text, "'another value'") is not True
