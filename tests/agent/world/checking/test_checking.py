"""Checking a dense trace without running the program: true ones pass, wrong steps are named."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent.world.checking.check import check
from agent.world.cwm import context_of, read_cwm, render_cwm, stripped_of_tokens
from agent.world.flow import Program
from agent.world.trace import Frame, Trace
from tests.agent.world.recording import record

MANY = '''\
"""Every kind of statement."""
import math

LIMIT = 3


def ways(x):
    """Loops, branches, and what leaves them."""
    out = []
    for i in [1, 2]: out.append(i)
    while x > 0: x -= 1
    for i in range(4):
        if i == 0:
            continue
        elif i == LIMIT:
            break
    else:
        x = 2
    while True:
        x += 1
        if x > 5:
            break
    squares = [a * a for a in out if a > 1]
    pairs = {a: b
             for a, b in zip([1, 2],
                             [3, 4])}
    total = sum(a for a in out)
    return (squares
            if x else
            pairs)


def trying(x):
    try:
        with open("/dev/null") as handle:
            handle.read()
        try:
            1 / x
        except KeyError:
            pass
        else:
            x = 4
        finally:
            x += 1
    except ZeroDivisionError as error:
        x = 3
    else:
        x = 5
    return leaving(x)


def leaving(x):
    with open("/dev/null") as handle:
        try:
            return x
        finally:
            x += 1


def numbers(n):
    for i in range(n):
        got = yield i
        del got


def matching(n):
    found = sum(numbers(n))
    match found:
        case 0:
            return "none"
        case 1 | 3 if n:
            return f"few {found:>3}"
        case _:
            pass
    def inner(v, w=1):
        return v + n * w
    words = sorted(["b", "aa"], key=lambda word: -len(word))
    rows = [[0, 0] for _ in range(2)]
    rows[0][1] += inner(found)
    one = rows[1]
    one.append(math.floor(2.5))
    first, *rest = words
    text = "".join(sorted({"b", "a"}))
    raise ValueError(text)


def fall(n):
    if n == "": return 0
    both = [[]] * 2
    both[0].append(n)
    left = right = []
    left.append(1)
    for item in right:
        if item < 3:
            left.append(item + 1)
    count = {}
    for c in "aba":
        count[c] = count.get(c, 0) + 1
    for c, k in count.items():
        count[c] = k * 2


def main():
    fall("x"), fall("")
    ways(2)
    trying(0), trying(1)
    matching(2)
    try:
        matching(4)
    except ValueError as error:
        return 1
'''


def test_nothing_is_flagged_in_a_true_trace() -> None:
    """Would catch control flow that is not known, and shared objects or sets taken for contradictions."""
    trace, program = record(MANY), Program(MANY, "m.py")
    assert check(trace, program).findings == ()
    text = render_cwm(trace, program)
    for written in (text, stripped_of_tokens(text) + "\nNow let us analyze."):
        reading = read_cwm(written, program)
        assert reading.complete
        assert check(reading.trace, program, strange=reading.strange).findings == ()


SHORT = """\
def f(words, n):
    out = []
    for word in words:
        if n in word:
            out.append(word.upper())
    best = max(out, default="")
    return g(len(best))

def g(k):
    k *= 2
    return [i for i in range(k) if i % 2]

def h(k):
    return sum(i for i in range(k)) - g2(k)

def g2(k):
    return k

def main():
    return h(3), g(2), f(["ab", "b", "c"], "b")
"""


@pytest.fixture(scope="module")
def short() -> Trace:
    return record(SHORT)


def wrong(trace: Trace, index: int, **changes: object) -> Trace:
    """A trace with one frame told wrongly."""
    frames = list(trace.frames)
    frames[index] = replace(frames[index], **changes)  # type: ignore[arg-type]
    return Trace(tuple(frames))


def places(trace: Trace, event: str, function: str, line: int) -> list[int]:
    return [
        i
        for i, f in enumerate(trace.frames)
        if (f.event, f.function.split(".")[-1], f.line) == (event, function, line)
    ]


@pytest.mark.parametrize(
    ("event", "function", "line", "which", "changes", "what"),
    [
        ("return", "f", 7, 0, {"value": "[]"}, "return"),
        ("line", "f", 3, 1, {"locals": {"out": "['Ab']"}}, "value"),
        ("line", "f", 4, 1, {"locals": {"word": "'c'"}}, "item"),
        ("line", "f", 5, 0, {"line": 3}, "branch"),
        ("line", "f", 6, 0, {"line": 4}, "item"),
        ("line", "f", 7, 0, {"locals": {"best": "'ab'"}}, "value"),
        ("line", "f", 3, 0, {"line": 7}, "line"),
        ("line", "f", 3, 0, {"locals": {"out": "[]", "n": "'c'"}}, "value"),
        ("call", "g", 9, 1, {"locals": {"k": "3"}}, "arguments"),
        ("return", "g", 11, 0, {"value": "[1]"}, "return"),
        ("return", "<genexpr>", 14, 1, {"value": "2"}, "return"),
        ("return", "h", 14, 0, {"value": "1"}, "return"),
        ("return", "h", 14, 0, {"value": "zero"}, "return"),
        ("return", "g", 11, 0, {"value": "[1, 3"}, "return"),
        ("return", "f", 7, 0, {"event": "exception", "value": "KeyError('b')"}, "exception"),
    ],
)
def test_a_wrong_step_is_named(
    short: Trace, event: str, function: str, line: int, which: int, changes: dict, what: str
) -> None:
    """Would catch a kind of error that checking is blind to, and blame that falls on a later frame."""
    index = places(short, event, function, line)[which]
    checked = check(wrong(short, index, **changes), Program(SHORT, "m.py"))
    assert checked.first is not None
    assert checked.first.index == index
    assert any(f.what == what for f in checked.findings if f.index == index)
    assert checked.verdict == "wrong"


def test_a_cut_trace_is_unknown_whatever_it_says(short: Trace) -> None:
    """Would catch a verdict on a prediction that ran into its token limit."""
    program = Program(SHORT, "m.py")
    frames = short.frames[:5]
    assert check(Trace(frames), program, complete=False).verdict == "unknown"
    assert check(Trace(frames, {"cut": "stopped"}), program).verdict == "unknown"


def test_what_raises_must_raise() -> None:
    """Would catch a predicted trace that goes on after an index that is not there."""
    source = "def f(x):\n    y = x[3]\n    return y\n"
    frames = (
        Frame("call", "f", "m.py", 1, locals={"x": "[1, 2]"}),
        Frame("line", "f", "m.py", 2),
        Frame("line", "f", "m.py", 3, locals={"y": "2"}),
        Frame("return", "f", "m.py", 3, value="2"),
    )
    first = check(Trace(frames), Program(source, "m.py")).first
    assert first is not None
    assert (first.index, first.line, first.what, first.expected) == (2, 2, "exception", "IndexError")


def test_real_predictions(data_dir: Path) -> None:
    """Would catch checking that is blind to what models really get wrong, or that blames what is right."""
    verdicts: dict[str, list[str]] = {}
    for path in sorted(data_dir.glob("traces/*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as rows:
            for row in map(json.loads, rows):
                program = Program(context_of(row["prompt"]), "solution.py")
                reading = read_cwm(row["model_output"], program, answer_expected=True)
                checked = check(reading.trace, program, complete=reading.complete, strange=reading.strange)
                cause = row["root_cause"][0]
                kind = cause if cause in ("truncation", "data_bug") else "wrong"
                verdicts.setdefault(kind, []).append(checked.verdict)
    if not verdicts:
        pytest.skip(f"no traces below {data_dir}")
    assert set(verdicts["truncation"]) == {"unknown"}
    assert set(verdicts["data_bug"]) == {"consistent"}
    assert verdicts["wrong"].count("wrong") >= 0.8 * len(verdicts["wrong"])
