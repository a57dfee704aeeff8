"""Whether a predicted trace is one that the program can take.

``illegal_step`` is for sparse predictions ("key lines only"): each line must exist where it is said to be.
``illegal_frames`` is for dense traces, in which every line event is written down: each line must be one
that can follow the last in its call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from agent.world.flow import EXIT, Program, Unit
from agent.world.trace import Frame, Trace

Activation = tuple[int, str, str, int]
"""Run, file, function and visit: what makes one call."""


@dataclass(frozen=True)
class Finding:
    """Something in a predicted trace that cannot be.

    ``index``: the frame that is wrong. ``line``: the line to blame, the one that ran before it.
    ``what``: ``line``, ``text``, ``value``, ``return``, ``branch``, ``item``, ``arguments`` or ``exception``.
    """

    index: int
    what: str
    line: int
    expected: str
    found: str
    names: Mapping[str, str] = field(default_factory=dict)
    """Right values of locals at the wrong frame, where they are known."""
    value: str | None = None
    """What is returned, where that is known."""
    to: int | None = None
    """The line that comes next, where there is only one."""

    @property
    def text(self) -> str:
        """One line for a person."""
        return f"after line {self.line}: expected {self.expected}; predicted {self.found}"


def illegal_step(trace: Trace, ranges: Iterable[tuple[str, str, int, int]]) -> str:
    """The first frame whose line lies outside of its function, in words; empty where there is none.

    ``ranges``: path, qualified name, first and last line of each function that was shown. Line 0 says that
    the line is not known (a call's end that was asked for by name).
    """
    known: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for path, name, first, last in ranges:  # lambdas share a name
        known.setdefault((path, name), []).append((first, last))
    for frame in trace.frames:
        spans = known.get((frame.file, frame.function), [])
        if frame.event == "probe" or not frame.line or not spans:
            continue
        if not any(first <= frame.line <= last for first, last in spans):
            where = " or ".join(f"lines {first} to {last}" for first, last in spans)
            return f"{frame.function} has no line {frame.line} (it is {where} of {frame.file})"
    return ""


def activation(frame: Frame) -> Activation:
    """The call that a frame belongs to."""
    return (frame.run, frame.file, frame.function, frame.visit)


def by_activation(trace: Trace) -> dict[Activation, list[int]]:
    """The frames of each call, in order, as indices."""
    result: dict[Activation, list[int]] = {}
    for index, frame in enumerate(trace.frames):
        if frame.event != "probe":
            result.setdefault(activation(frame), []).append(index)
    return result


def illegal_frames(trace: Trace, program: Program) -> Iterator[Finding]:
    """The steps of a dense trace that the program cannot take; functions of other files are skipped."""
    for (_, file, function, _), indices in by_activation(trace).items():
        units = program.named(function, trace.frames[indices[0]].line)
        if file != program.path or not units:
            continue
        unit = units[0]
        for before, here in pairwise(indices):
            wrong = _step(trace.frames[before], trace.frames[here], unit)
            if wrong:
                found = f"{trace.frames[here].event} at line {trace.frames[here].line}"
                last = trace.frames[before]
                to = only(unit.successors.get(last.line, frozenset())) if last.event == "line" else None
                yield Finding(here, "line", last.line, wrong, found, to=to)


def only(lines: frozenset[int]) -> int | None:
    """The one line that there is; None for several, or for leaving."""
    return next(iter(lines)) if len(lines) == 1 and EXIT not in lines else None


def _step(last: Frame, frame: Frame, unit: Unit) -> str:
    """What should have come instead of ``frame``; empty where it may come."""
    following = unit.successors.get(last.line, frozenset())
    if last.event == "call":
        following = unit.entry if last.line == unit.first else following
        suspended = last.line != unit.first
    elif last.event == "exception":
        following = unit.after_exception(last.line, last.value)
        suspended = False
    elif last.event == "return":
        if unit.resumes and frame.event == "call":
            return "" if unit.same_statement(last.line, frame.line) else f"to go on at line {last.line}"
        return "" if frame.event == "call" else "nothing more of this call"
    else:
        suspended = False
    if frame.event == "line":
        if frame.line in following or (suspended and frame.line in unit.handlers.get(last.line, ())):
            return ""
        return _say(following)
    if frame.event == "call":
        return "no second call event"
    if frame.event == "exception":
        return "" if last.event in ("call", "exception") or unit.same_statement(last.line, frame.line) else (
            f"an exception at line {last.line}, if any"
        )  # fmt: skip
    if last.event == "exception":
        return "" if EXIT in following else _say(following)
    if frame.line != last.line and not unit.same_statement(frame.line, last.line):
        return f"a return from line {last.line}, if any"
    suspends = frame.line in unit.yields
    return "" if EXIT in following or suspends or last.event == "call" else _say(following)


def _say(lines: frozenset[int]) -> str:
    named = [f"line {line}" for line in sorted(lines) if line != EXIT]
    named += ["a return"] if EXIT in lines else []
    return " or ".join(named) or "an exception"
