"""Traces on disk and as plain text: what is written is read back, whole, whatever is in it."""

from __future__ import annotations

import re
from typing import get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.world.text import read_text, render_text
from agent.world.trace import Event, Frame, Outcome, Trace, read_trace, write_trace
from sandbox.errors import TracingError

NASTY = st.sampled_from(
    [
        "", " ", "  ", "; ", " = ", "-> ", "-> 1", "# x", "  # x", "\\", '\\"', '"', "del x", "run 1", "[3] ",
        "a in b:3", "#2", "@p1", "..", "None", "null", "'a;  b'", "\n", "\r\n", "\x00", "\x1b[31m", "\x85",
        "\u2028", "\ufeff", "\ud800", "é日本", "a\u0301", "\u202e", "a b", "x" * 300,
    ]
)  # fmt: skip
TEXTS = st.one_of(
    NASTY, st.text(st.characters(), max_size=8), st.builds("".join, st.lists(NASTY, max_size=4))
)
NAMES = st.one_of(st.sampled_from(["x", "self", "total", "µ", "ⅷ"]), TEXTS)
INTS = st.integers(-3, 60)
FRAMES = st.builds(
    Frame, st.sampled_from(get_args(Event)), NAMES, NAMES, INTS, INTS, st.integers(-1, 3), st.integers(0, 3),
    st.dictionaries(NAMES, st.none() | TEXTS, max_size=3), st.none() | TEXTS, st.none(),
)  # fmt: skip
PROBES = st.builds(
    Frame, st.just("probe"), NAMES, NAMES, INTS, st.integers(0, 3), st.integers(1, 2), st.integers(1, 2),
    st.just({}), st.none() | TEXTS, TEXTS,
)  # fmt: skip
FRAMES = FRAMES.filter(lambda frame: frame.event != "probe") | PROBES
TRACES = st.builds(
    Trace,
    st.lists(FRAMES, max_size=8).map(tuple),
    st.dictionaries(TEXTS | st.just("cut"), TEXTS, max_size=2),
    TEXTS,
    st.lists(st.builds(Outcome, INTS, TEXTS, TEXTS), max_size=2).map(tuple),
    TEXTS,
)


@given(TRACES)
@example(Trace((), {"cut": "in its own words", "frames": "20000"}))
@settings(max_examples=300, deadline=None)
def test_both_forms_lose_nothing(trace: Trace) -> None:
    """Would catch a text that breaks a line or a field (separators, control characters, half a surrogate
    pair), an empty text taken for none, and a limit that is lost beside ``cut``."""
    assert read_text(render_text(trace)) == trace
    assert read_text(render_text(trace, lambda file, line: "x = 1  # -> 3; y")) == trace
    written = write_trace(trace)
    assert read_trace(written) == trace
    assert read_trace(written.encode("utf-8").decode("utf-8")) == trace
    assert read_text(render_text(trace).encode("utf-8").decode("utf-8")) == trace


def test_text_is_short_where_nothing_changes() -> None:
    """Would catch a rendering that repeats function and file, or that quotes what needs no quotes."""
    trace = Trace(
        (
            Frame("call", "test_price", "tests/test_shop.py", 4),
            Frame("line", "test_price", "tests/test_shop.py", 5),
            Frame(
                "call", "Shop.price", "shop.py", 8, 1, 1, 2, {"self": "<Shop prices={'tea': 4}>", "x": "1"}
            ),
            Frame("line", "Shop.price", "shop.py", 9, 1, 1, 2, {"x": None}),
            Frame("return", "Shop.price", "shop.py", 9, 1, 1, 2, {}, "4"),
            Frame("return", "test_price", "tests/test_shop.py", 5, value="None"),
        ),
        outcomes=(Outcome(1, "failed", "KeyError('tea')"),),
    )
    assert render_text(trace, lambda file, line: "    go()\n" if line == 5 else "") == (
        "trace 1\n\nrun 1\n"
        "call test_price in tests/test_shop.py:4\n"
        "line 5  # go()\n"
        "  call Shop.price#2 in shop.py:8  self = <Shop prices={'tea': 4}>; x = 1\n"
        "  line 9  del x\n"
        "  return 9  -> 4\n"
        "return 5  -> None\n"
        "\nended 1 failed  -> KeyError('tea')\n"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing in it"),
        ("line 5\n", "line 1 .*`trace 1`"),
        ("trace 2\n", "line 1 .*version 2"),
        ("trace 1\nline 5\n", "line 2 .*names no function"),
        ("trace 1\ncall f in m.py:x\n", "line 2 .*is no event"),
        ("trace 1\ncall f in m.py:1  x\n", "line 2 .*`name = value`"),
        ("trace 1\ncall f in m.py:1 x\n", "line 2 .*two blanks"),
        ('trace 1\n\ncall f in m.py:1  x = \\"a\n', "line 3 .*JSON string"),
        ("trace 1\nended passed\n", "line 2 .*ended 1 passed"),
        ("trace 1\nrun one\n", "line 2 .*number of a run"),
    ],
)
def test_broken_text_is_named_by_line(text: str, said: str) -> None:
    """Would catch half a trace that reads as a whole one, and an error that does not say where."""
    with pytest.raises(TracingError, match=said):
        read_text(text)


HEAD = '{"fixbug_trace":1}\n'
FRAME = '{"event":"line","function":"f","file":"m.py","line":3}\n'


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("[]", "line 3 .*no|not a JSON object"),
        ("{", "line 3 .*not JSON"),
        ('{"event":"jump"}', "line 3 .*unknown event 'jump'"),
        ('{"event":"line","function":"f","file":"m.py"}', "line 3 .*`line` of type int, which is missing"),
        ('{"event":"line","function":"f","file":"m.py","line":true}', "line 3 .*`line`.*True"),
        ('{"event":"line","function":1,"file":"m.py","line":1}', "line 3 .*`function` of type str"),
        ('{"event":"call","function":"f","file":"m","line":1,"locals":[]}', "line 3 .*`locals`"),
        ('{"event":"call","function":"f","file":"m","line":1,"locals":{"x":1}}', "line 3 .*local 'x'"),
        ('{"event":"call","function":"f","file":"m","line":1,"value":1}', "line 3 .*`value`"),
        ('{"run":"1","outcome":"passed"}', "line 3 .*`run` of type int"),
        ('{"end":true,"limits":[]}', "line 3 .*`limits`"),
    ],
)
def test_a_broken_line_is_named(row: str, said: str) -> None:
    """Would catch a broken frame that is left out in silence, or an error without its line."""
    with pytest.raises(TracingError) as raised:
        read_trace(HEAD + FRAME + row + "\n" + FRAME)
    assert re.search(said, str(raised.value))


def test_what_a_newer_writer_adds_is_passed_over() -> None:
    """Would catch a reader that breaks on fields and lines it does not know."""
    newer = FRAME.replace("}", ',"column":4}') + '{"note":"x"}\n{"later":[1]}\n{"end":true,"more":1}\n'
    assert read_trace('{"fixbug_trace":1,"host":"h"}\n' + newer) == Trace((Frame("line", "f", "m.py", 3),))
