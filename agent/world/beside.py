"""A predicted trace beside the observed one, line by line."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from agent.world.checking.legality import Activation, activation
from agent.world.compare import same_value
from agent.world.flow import Program
from agent.world.intent import same_function
from agent.world.trace import Frame, Trace

MAX_ROWS = 2000


@dataclass(frozen=True)
class Row:
    """One event: what is predicted and what was observed there; None where one of them has no such event.

    ``differs``: the two say different things.
    """

    predicted: Frame | None
    observed: Frame | None
    differs: bool

    @property
    def frame(self) -> Frame:
        """Where this is."""
        frame = self.predicted or self.observed
        assert frame is not None
        return frame


def as_observed(trace: Trace, program: Program) -> Trace:
    """A prediction as the tracer would have told it: comprehensions as part of their line, a statement of
    several lines as its first, and neither the second event of a ``with`` nor those of ``while True``."""
    frames: list[Frame] = []
    carried: dict[Activation, dict[str, str | None]] = {}
    last: dict[Activation, int] = {}
    for frame in trace.frames:
        key = activation(frame)
        units = program.named(frame.function, frame.line) if frame.file == program.path else []
        if units and units[0].is_comprehension:
            continue
        node = units[0].headers.get(frame.line) if units else None
        line = min(n for n, found in units[0].headers.items() if found is node) if node else frame.line
        changes = carried.pop(key, {}) | dict(frame.locals)
        again = frame.event == "line" and last.get(key) == line and node is not None and _simple(node)
        left = isinstance(node, ast.With) and node.lineno < last.get(key, 0) <= (node.end_lineno or 0)
        endless = isinstance(node, ast.While) and isinstance(node.test, ast.Constant)
        if frame.event == "line" and (again or left or endless):
            carried[key] = changes
            continue
        last[key] = line
        frames.append(replace(frame, line=line, locals=changes))
    return replace(trace, frames=tuple(frames))


def _simple(node: ast.stmt) -> bool:
    return not isinstance(node, (ast.For, ast.AsyncFor, ast.While))


def beside(predicted: Trace, observed: Trace) -> list[Row]:
    """The two in one column of events, in order, as far as ``MAX_ROWS`` of each."""
    mine, seen = predicted.frames[:MAX_ROWS], observed.frames[:MAX_ROWS]
    rows: list[Row] = []
    matcher = SequenceMatcher(None, _keys(mine), _keys(seen), autojunk=False)
    for way, a, b, c, d in matcher.get_opcodes():
        if way == "equal":
            rows += [Row(x, y, _differ(x, y)) for x, y in zip(mine[a:b], seen[c:d], strict=True)]
        else:
            rows += [Row(x, None, True) for x in mine[a:b]] + [Row(None, y, True) for y in seen[c:d]]
    return rows


def _keys(frames: Sequence[Frame]) -> list[tuple[str, str, int]]:
    return [(f.event, f.function.replace(".<locals>", ""), f.line) for f in frames]


def _differ(predicted: Frame, observed: Frame) -> bool:
    texts = [(v, observed.locals.get(n)) for n, v in predicted.locals.items()]
    texts.append((predicted.value, observed.value))
    return any(a is not None and b is not None and same_value(a, b) is False for a, b in texts)


def result(trace: Trace, function: str) -> str | None:
    """What the first call of a function gives: a ``repr`` text, or ``raises X``; None for no end."""
    before: Frame | None = None
    for frame in trace.frames:
        if same_function(frame.function, function) and frame.visit == 1 and frame.event != "probe":
            if frame.event == "return":
                return f"raises {before.value}" if before and before.event == "exception" else frame.value
            before = frame
    # The tracer records no return of a frame that an exception leaves.
    raised = before is not None and before.event == "exception" and not trace.limits
    return f"raises {before.value}" if before and raised else None
