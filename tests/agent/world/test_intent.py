"""Expectations: what is taken, what is dropped, and how the rest is judged."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.world.intent import (
    MAX_EXPECTATIONS,
    Expectation,
    Point,
    evaluate,
    from_probes,
    parse_expectations,
    without_contradictions,
)
from agent.world.predicate import PredicateError, PredicateRaised, parse_predicate, truth
from agent.world.predicate import evaluate as value_of
from agent.world.questions.exceptions import own_exceptions
from agent.world.questions.probes import probe_test
from agent.world.regex import search
from agent.world.trace import Frame, Outcome, Trace

GOOD = {"function": "price", "call": 2, "event": "return", "predicate": "value == 4", "why": "w"}


def _parsed(**changes: object) -> tuple[list[Expectation], int]:
    return parse_expectations(json.dumps({"expectations": [{**GOOD, **changes}]}))


@pytest.mark.parametrize(
    "changes",
    [
        {"predicate": "value.__class__"},
        {"predicate": "value.x == 1"},
        {"function": " "},
        {"predicate": "getattr(value, 'x')"},
        {"predicate": "(lambda: 1)()"},
        {"predicate": "[v for v in value]"},
        {"predicate": "value := 3"},
        {"predicate": "f'{value:>99999999}' == ''"},
        {"predicate": "value @ value"},
        {"predicate": "1 << 99999999"},
        {"predicate": "value == 4; import os"},
        {"predicate": "("},
        {"predicate": ""},
        {"predicate": "(" * 5000 + ")" * 5000},
        {"predicate": "-" * 5000 + "1"},
        {"predicate": "1+" * 20000 + "1"},
        {"predicate": 4},
        {"predicate": None},
        {"predicate": ["value"]},
        {"predicate": "never()"},
        {"predicate": "not raises(ValueError)"},
        {"predicate": "max(*value)"},
        {"predicate": "max(**value)"},
        {"predicate": "value == 'a\0b'\0"},
        {"function": ""},
        {"function": 3},
        {"event": "probe"},
        {"event": ["return"]},
        {"event": "line"},
        {"event": "line", "line": True},
        {"event": "line", "line": "3"},
        {"event": "line", "line": -1},
        {"call": 0},
        {"call": True},
        {"call": "2"},
        {"call": 1.5},
    ],
)
def test_what_is_malformed_is_dropped_and_counted(changes: dict[str, object]) -> None:
    """Catches a predicate that reaches attributes, calls or memory, and points that can't be."""
    assert _parsed(**changes) == ([], 1)


def test_what_is_well_formed_is_kept() -> None:
    """Catches good expectations that are dropped with the bad, and more of them than are allowed."""
    kept, dropped = parse_expectations(json.dumps({"expectations": [GOOD, 3, GOOD, *([GOOD] * 20)]}))
    assert (len(kept), dropped) == (MAX_EXPECTATIONS, 23 - MAX_EXPECTATIONS)
    assert _parsed(event="line", line=3, predicate="n + 1 == len(found)")[0][0].point.line == 3
    assert _parsed(event="exception", predicate="raises(ValueError)")[1] == 0
    for nothing in ("", "none", "[]", "{}", '{"expectations": 3}', '{"expectations": null}'):
        assert parse_expectations(nothing)[0] == []
    for alone in ([GOOD, GOOD | {"predicate": "value.x"}], {"expectations": GOOD}):
        assert [e.predicate for e in parse_expectations(json.dumps(alone))[0]] == ["value == 4"]
    assert parse_expectations('{"expectations": "value == 4"}') == ([], 1)


@pytest.mark.parametrize(
    "predicate",
    [
        "2 ** 99999999 == value",
        "9 ** 9 ** 9 == value",
        "'a' * 999999999 == value",
        "[[[['a'] * 999] * 999] * 999] * 999 == value",
        "str([[['a'] * 300] * 300] * 300) == value",
        "str([" + "[0] * 99999, " * 300 + "]) == value",
        "round(5, -999999999) == value",
        "sum([[1]] * 99999, []) == value",
        "same_items([1] * 99999, [2] * 99999)",
        "'%999999999d' % 3 == value",
        "matches('a' * 5000, '(a+)+b')",
        "matches('a' * 5000, '(a|aa)+b')",
        "matches('a' * 400, 'a*a*a*a*b')",
        "matches('x', '(')",
        "unknown_name == 3",
        "value[0] == unknown_name",
    ],
)
def test_predicates_are_judged_in_bounded_time(predicate: str) -> None:
    """Catches a predicate that takes all memory or never ends: it can't be told."""
    assert _judged(predicate, "3") == "unknown"


@pytest.mark.parametrize(
    ("predicate", "value", "judgement"),
    [
        ("value == 4", "4", "holds"),
        ("value == 4", "4.0", "holds"),
        ("value == 4", "5", "broken"),
        ("value == 4", "<Money>", "unknown"),
        ("value == approx(0.3)", "0.30000000000000004", "holds"),
        ("len(value) == 3 and value[0] > 1", "[2, 1, 1]", "holds"),
        ("value is None or value > 3", "None", "holds"),
        ("value > 3", "None", "unknown"),
        ("isinstance(value, (int, float))", "'4'", "broken"),
        ("isinstance(value, Money)", "Money(4)", "holds"),
        ("is_type(value, int)", "True", "broken"),
        ("n == 1", "4", "holds"),
        ("n == 2", "4", "broken"),
        ("matches(value, 'a+b')", "'xaab'", "holds"),
        ("f'{value}!' == '4!'", "4", "holds"),
        ("1 < value <= 4 != 7", "4", "holds"),
        ("value in {'a': 1}", "'a'", "holds"),
    ],
)
def test_predicates_are_judged(predicate: str, value: str, judgement: str) -> None:
    """Catches values compared as texts, guesses where there is no telling, a raise taken for an answer."""
    assert _judged(predicate, value) == judgement


def _judged(predicate: str, value: str) -> str:
    parse_predicate(predicate)
    expectation = Expectation("i1", Point(function="price", event="return"), predicate, "issue", "w")
    frames = (
        Frame("call", "price", "m.py", 1, locals={"n": "1"}),
        Frame("return", "price", "m.py", 2, value=value),
    )
    return evaluate(expectation, Trace(frames), 1)


def test_points_that_are_not_reached_are_unknown() -> None:
    """Catches a pass for a call, line or function that never was, and a name that two functions have."""
    frames = (
        Frame("return", "A.get", "m.py", 2, value="4"),
        Frame("return", "B.get", "m.py", 5, value="5"),
        Frame("line", "A.put", "m.py", 8, locals={"n": "1"}),
    )
    trace = Trace(frames)

    def judged(predicate: str, **point: object) -> str:
        return evaluate(Expectation("i", Point(**point), predicate, "issue", ""), trace, 1)  # type: ignore[arg-type]

    assert judged("value == 4", function="A.get", event="return") == "holds"
    assert judged("value == 4", function="A.get", event="return", call=2) == "unknown"
    assert judged("value == 4", function="get", event="return") == "unknown"
    assert judged("value == 4", function="missing", event="return") == "unknown"
    assert judged("n == 1", function="put", event="line", line=8) == "holds"
    assert judged("n == 1", function="put", event="line", line=9) == "unknown"


def test_contradictions_are_dropped_and_counted() -> None:
    """Catches an expectation from a report that no patch can meet together with the test."""
    probed = probe_test("t.py", "def test_a():\n    assert shop.price(1) == 4\n", "t.py::test_a")
    rows = [
        {**GOOD, "call": None, "predicate": "value == 5"},
        {**GOOD, "call": None, "predicate": "value > 3"},
        {**GOOD, "predicate": "value == 3"},
        {**GOOD, "predicate": "value == 7"},
        {**GOOD, "call": None, "event": "call", "predicate": "name == 'x'"},
    ]
    drawn, _ = parse_expectations(json.dumps({"expectations": rows}))
    kept, dropped = without_contradictions(drawn, probed)
    assert ([e.predicate for e in kept], dropped) == (["value > 3", "value == 3", "name == 'x'"], 2)


PROGRAM = """
class Base(Exception): pass
class Mine(Base, KeyError): pass
class Other(library.Error): pass
class Plain: pass
"""


@pytest.mark.parametrize(
    ("block", "came", "judgement"),
    [
        ("pytest.raises(ValueError)", "ValueError('x')", "holds"),
        ("pytest.raises(ValueError)", "UnicodeError('x')", "holds"),
        ("pytest.raises(ValueError)", "KeyError('x')", "broken"),
        ("pytest.raises(ValueError)", "None", "broken"),
        ("pytest.raises(ValueError)", "Strange('x')", "unknown"),
        ("pytest.raises(IOError)", "FileNotFoundError(2, 'no')", "holds"),
        ("pytest.raises(Base)", "Mine('x')", "holds"),
        ("pytest.raises(LookupError)", "program.Mine('x')", "holds"),
        ("pytest.raises(ValueError)", "Mine('x')", "broken"),
        ("pytest.raises(ValueError)", "Other('x')", "unknown"),
        ("pytest.raises(ValueError, match='a+ b')", "ValueError('so aa b!')", "holds"),
        ("pytest.raises(ValueError, match='a+ b')", "ValueError('so')", "broken"),
        ("pytest.raises(ValueError, match='a+ b')", "ValueError", "unknown"),
        ("pytest.raises(ValueError, match='a+ b')", "ValueError: aa b", "holds"),
        ("pytest.raises(KeyError, match=\"^'x'$\")", "KeyError('x')", "holds"),
        ("pytest.raises(Base, match='y')", "Base('x')", "unknown"),
        ("pytest.raises(ValueError, match=pattern)", "KeyError('x')", "broken"),
        ("pytest.raises(ValueError, match=pattern)", "ValueError('x')", "unknown"),
        ("self.assertRaisesMessage(ValueError, 'a.b')", "ValueError('so a.b')", "holds"),
        ("self.assertRaisesMessage(ValueError, 'a.b')", "ValueError('so axb')", "broken"),
        ("self.assertRaisesRegex(ValueError, 'a.b')", "ValueError('so axb')", "holds"),
        ("pytest.raises((ValueError, KeyError))", "KeyError('x')", "holds"),
        ("pytest.warns(UserWarning)", "[UserWarning('x')]", "holds"),
        ("pytest.warns(UserWarning, match='y')", "[UserWarning('x'), UserWarning('y')]", "holds"),
        ("pytest.warns(UserWarning)", "[]", "broken"),
        ("pytest.warns(UserWarning)", "[DeprecationWarning('x')]", "broken"),
        ("pytest.warns()", "UserWarning('x')", "holds"),
    ],
)
def test_exceptions_and_warnings_are_judged(block: str, came: str, judgement: str) -> None:
    """Catches subclasses that are not known for ones, messages that are not looked at, and guesses."""
    source = f"def test_a(self, pattern):\n    with {block}:\n        f()\n"
    probed = probe_test("t.py", source, "t.py::test_a")
    (expectation,) = from_probes(probed, {"program.py": PROGRAM})
    trace = Trace((Frame("probe", "", "t.py", 2, probe="p1", value=came),))
    assert evaluate(expectation, trace, 1) == judgement


def test_own_exceptions_are_known_with_all_their_ancestors() -> None:
    """Catches plain classes taken for exceptions, cycles that never end, and ancestors that are left out."""
    own = own_exceptions([PROGRAM, "class A(B): pass\nclass B(A): pass\n", "not python("])
    assert set(own) == {"Base", "Mine", "Other"}
    assert {"Base", "KeyError", "LookupError", "Exception"} <= set(own["Mine"])


def test_a_line_that_must_not_be_reached() -> None:
    """Catches `self.fail()` that is asked about but never judged."""
    source = "def test_a():\n    for x in f():\n        pytest.fail('x')\n"
    (expectation,) = from_probes(probe_test("t.py", source, "t.py::test_a"))
    reached = Frame("probe", "", "t.py", 3, probe="p1", value="'reached'")
    assert evaluate(expectation, Trace(()), 1) == "holds"
    assert evaluate(expectation, Trace((reached,)), 1) == "broken"


def test_cases_are_counted_off_only_where_that_is_certain() -> None:
    """Catches an answer laid to the wrong case of a loop because another was left out: a false alarm."""
    source = "def test_a():\n    for x, y in [(1, 2), (3, 4)]:\n        assert f(x) == y\n"
    (expectation,) = from_probes(probe_test("t.py", source, "t.py::test_a"))

    def judged(*values: str, ended: str = "passed") -> str:
        frames = tuple(Frame("probe", "", "t.py", 3, probe="p1", value=value) for value in values)
        return evaluate(expectation, Trace(frames, outcomes=(Outcome(1, ended),)), 1)

    assert judged("2", "4") == "holds"
    assert judged("2", "5") == "broken"
    assert judged("4") == "unknown"
    assert judged("3", ended="failed") == "broken"


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader_of_predicates(text: str) -> None:
    """Catches an exception other than the promised one for a predicate that a model wrote."""
    try:
        tree = parse_predicate(text)
    except PredicateError:
        return
    with suppress(PredicateRaised):
        truth(value_of(tree, {"value": 3}))


@given(st.text(alphabet="ab(|)*+?.[]{}1,^$\\", max_size=14), st.text(alphabet="ab", max_size=60))
def test_any_pattern_is_searched_in_bounded_time(pattern: str, text: str) -> None:
    """Catches a pattern that hangs the harness, or an error of `re` that comes out."""
    assert search(pattern, text) in (True, False, None)
