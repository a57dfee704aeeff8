"""Code World Models' trace format: what is written is read back, whole, whatever the values."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import UsageError
from agent.world.cwm import context_of, is_cwm, read_cwm, render_cwm, stripped_of_tokens
from agent.world.flow import EXIT, Program
from agent.world.trace import Frame, Trace, states
from tests.agent.world.recording import record

SOURCE = """\
def f(a, b):
    total = 0
    for item in b:
        total += g(item)
    if a:
        total = 1
    return total

def g(x):
    try:
        if x > 3:
            raise ValueError(x)
        x = 2
    except ValueError:
        x = 3
    return x * 2

def main(): # << START_OF_TRACE
    return f(1, [2])
"""
PROGRAM = Program(SOURCE, "m.py")
CALLS = {"main": ["f"], "f": ["g"], "g": []}


@st.composite
def traces(draw: st.DrawFn, values: st.SearchStrategy[str], names: st.SearchStrategy[str]) -> Trace:
    """A walk through the program with any states: legal lines, values that mean nothing."""
    frames: list[Frame] = []
    visits: dict[str, int] = {}
    stack: list[list] = []

    def enter(function: str) -> None:
        unit = PROGRAM.named(function, 0)[0]
        visits[function] = visits.get(function, 0) + 1
        state = {name: draw(values) for name in unit.parameters}
        stack.append([unit, visits[function], unit.first, state, "call"])
        put("call", unit.first, state)

    def put(event: str, line: int, changes: dict, value: str | None = None) -> None:
        unit, visit = stack[-1][:2]
        frames.append(Frame(event, unit.qualname, "m.py", line, len(stack) - 1, 1, visit, changes, value))

    enter("main")
    for _ in range(draw(st.integers(0, 40))):
        if not stack:
            break
        unit, _, line, state, last = stack[-1]
        if last == "exception":
            following = sorted(unit.handlers.get(line, ()))
        else:
            following = sorted(unit.entry if last == "call" else unit.successors.get(line, ()))
        step = draw(st.sampled_from(["line", "line", "line", "call", "raise"]))
        if step == "call" and last == "line" and CALLS[unit.qualname]:
            enter(draw(st.sampled_from(CALLS[unit.qualname])))
            continue
        if step == "raise" and last == "line":
            stack[-1][4] = "exception"
            put("exception", line, {}, "ValueError('x')")
            continue
        following = following or [EXIT]
        to = draw(st.sampled_from(following))
        if to == EXIT:
            if last == "call":
                break
            put("return", line, {}, draw(values))
            stack.pop()
            continue
        now = {
            n: (draw(values) if draw(st.booleans()) else v) for n, v in state.items() if draw(st.booleans())
        }
        now |= draw(st.dictionaries(names, values, max_size=2))
        changes = {n: v for n, v in now.items() if state.get(n) != v} | dict.fromkeys(set(state) - set(now))
        stack[-1][2:] = [to, now, "line"]
        put("line", to, changes)
    return Trace(tuple(frames), {} if not stack else {"cut": "x"})


def told(trace: Trace) -> list[tuple]:
    """What must not be lost."""
    return [
        (f.event, f.function, f.line, f.depth, f.visit, f.value, state)
        for f, state in zip(trace.frames, states(trace.frames), strict=True)
    ]


@given(traces(st.text().filter(lambda text: text != ".."), st.text(min_size=1)))
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_rendering_and_reading_loses_nothing(trace: Trace) -> None:
    """Would catch a value with a token's text, a quote or a newline in it breaking the frames, and ``..``
    resolved from the wrong frame."""
    reading = read_cwm(render_cwm(trace, PROGRAM), PROGRAM)
    assert told(reading.trace) == told(trace)
    assert reading.complete is not bool(trace.limits)
    assert not reading.strange


PLAIN = st.one_of(st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=3)).map(repr)


@given(traces(PLAIN, st.sampled_from(["total", "item", "spare"])))
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_without_tokens_too(trace: Trace) -> None:
    """Would catch a call taken for a line, or an exception for a return, where only the source tells."""
    reading = read_cwm(stripped_of_tokens(render_cwm(trace, PROGRAM)) + "\nNow let us analyze.", PROGRAM)
    assert told(reading.trace) == told(trace)
    assert not reading.strange


REPEATED = """\
def f(n):
    while n:
        n -= 1
        if n == 5:
            x = 1
            continue
        if n == 3:
            x = 2
            continue
        x = 1
    x = 1
    return x
"""


def test_repeated_lines_are_told_apart_by_what_can_come_next() -> None:
    """Would catch looking a line up by its text alone: ``x = 1`` stands there three times."""
    lines = [1, 2, 3, 4, 5, 6, 2, 3, 4, 7, 10, 2, 11, 12]
    program = Program(REPEATED, "r.py")
    frames = [
        Frame("call" if at == 0 else "line", "f", "r.py", line, locals={"n": "1"} if at == 0 else {})
        for at, line in enumerate(lines)
    ]
    text = render_cwm(Trace((*frames, Frame("return", "f", "r.py", 12, value="1"))), program)
    for written in (text, stripped_of_tokens(text)):
        assert [f.line for f in read_cwm(written, program).trace.frames] == [*lines, 12]


def test_a_cut_answer_is_not_complete() -> None:
    """Would catch a verdict on half a trace, wherever it was cut, and on one whose answer is missing."""
    frames = (
        Frame("call", "main", "m.py", 18),
        Frame("line", "main", "m.py", 19),
        Frame("return", "main", "m.py", 19, value="7"),
    )
    text = render_cwm(Trace(frames), PROGRAM)
    bare = stripped_of_tokens(text)
    assert not any(read_cwm(text[:end], PROGRAM).complete for end in range(len(text)))
    assert not any(read_cwm(bare[:end], PROGRAM).complete for end in range(len(bare) + 1))
    assert read_cwm(text, PROGRAM).complete
    assert read_cwm(bare + "\nNow let us analyze the trace.", PROGRAM).complete
    for written in (text, bare):
        answered = written + "\n[ANSWER]\nassert x\n[/ANSWER]"
        assert not read_cwm(written + "\nNow", PROGRAM, answer_expected=True).complete
        assert read_cwm(answered, PROGRAM, answer_expected=True).complete


def test_the_source_is_found_in_a_prompt() -> None:
    """Would catch the example of the prompt, or its prose, being taken for the program."""
    example = "def main(): # << START_OF_TRACE\n    return 1\n"
    prompt = f"Start with <|trace_context_start|>.\n{example}\nNow, solve:\n\n{SOURCE}\n\n"
    assert context_of(prompt).strip() == SOURCE.strip()
    with pytest.raises(UsageError, match="marks none"):
        context_of("def f(): pass")


def test_formats_are_told_apart() -> None:
    """Would catch prose or JSON Lines being read as a trace in this format."""
    text = render_cwm(Trace((Frame("call", "main", "m.py", 18), Frame("line", "main", "m.py", 19))), PROGRAM)
    assert is_cwm(text)
    assert is_cwm(stripped_of_tokens(text))
    assert not is_cwm('{"fixbug_trace": 1, "python": "3.11"}\n{"event": "line", "line": 3}\n')
    assert not is_cwm("The function returns {} in the end.\n")


RESUMED = """\
import asyncio

def numbers(n):
    yield n
    yield n + 1

async def later(n):
    await asyncio.sleep(0)
    return n

async def both():
    return await asyncio.gather(later(1), later(2))

def main(): # << START_OF_TRACE
    a = numbers(1)
    b = numbers(10)
    out = [next(a), next(b), next(a), next(b)]
    loop = asyncio.new_event_loop()
    out += loop.run_until_complete(both())
    loop.close()
    return out
"""


def test_generators_that_take_turns_are_told_apart_by_their_state() -> None:
    """Would catch the second of two suspended generators, or coroutines, taken for the first."""
    program = Program(RESUMED, "m.py")
    trace = record(RESUMED)
    assert told(read_cwm(render_cwm(trace, program), program).trace) == told(trace)


BRACES = """\
def f(k):
    try:
        {}[k]
    except KeyError:
        return k

def main(): # << START_OF_TRACE
    return f("a")
"""


def test_what_stands_around_a_stripped_trace() -> None:
    """Would catch source in prose, blank lines and indents taken for frames, or frames taken for them."""
    program = Program(BRACES, "m.py")
    bare = stripped_of_tokens(render_cwm(record(BRACES), program))
    plain = read_cwm(bare + "\nSo.", program)
    assert plain.complete
    assert not plain.strange
    for text in (
        f"```python\n{BRACES}```\n{{it}} goes on:\n\n{bare}\nSo.",
        bare.replace("\n{", "\n\n{") + "\nSo.",
        bare.replace("\n{", "\n   {") + "\nSo.",
    ):
        assert is_cwm(text)
        assert read_cwm(text, program).trace == plain.trace
