"""Recorded predictions of one call, in any of the formats that are told apart by what is in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agent.errors import TracingError, UsageError
from agent.world.cwm import is_cwm, read_cwm
from agent.world.flow import Program
from agent.world.questions.probes import ProbedTest
from agent.world.simulators.answer import parse_prediction, read_frames
from agent.world.simulators.scene import FunctionSource, Scene
from agent.world.trace import Trace, read_trace

FORMATS = (
    "fixbug's JSON Lines, CWM's token text (with or without its special tokens), or the chat format's JSON"
)


@dataclass(frozen=True)
class Recorded:
    """A prediction as it was read. ``dense``: every line event is meant to be there. ``strange``: see
    ``cwm.Reading``."""

    format: str
    trace: Trace
    complete: bool
    dense: bool
    strange: Mapping[int, str] = field(default_factory=dict)
    forgiven: tuple[str, ...] = ()
    resampled: int = 0
    """Answers that were thrown away before this one; likewise below, states put right on the way."""
    repaired: int = 0


def read_prediction(text: str, program: Program) -> Recorded:
    """Read a prediction about functions of ``program``. Raises UsageError for text in no known format.

    Besides the formats themselves, a JSON object that holds an answer as ``model_output`` is read, with the
    ``prompt`` that it answers: one that asks for an ``[ANSWER]`` makes an answer without one cut.
    """
    row = _json(text)
    if isinstance(row, str):
        return _read(row, program, False)  # the whole of it as one JSON string
    if isinstance(row, dict) and isinstance(row.get("model_output"), str):
        expected = "[ANSWER]" in str(row.get("prompt") or "")
        return _read(row["model_output"], program, expected)
    return _read(text, program, False)


def _read(text: str, program: Program, answer_expected: bool) -> Recorded:
    first = _json(text.lstrip().split("\n", 1)[0])
    if isinstance(first, dict) and "fixbug_trace" in first:
        return _lines(text, program)
    if is_cwm(text):
        reading = read_cwm(text, program, answer_expected=answer_expected)
        if reading.trace.frames:
            return Recorded("cwm", reading.trace, reading.complete, True, reading.strange, reading.forgiven)
    if read_frames(text).value is not None:
        return _chat(text, program)
    start = text.strip()[:80]
    raise UsageError(
        f"the prediction is in no known format; it begins: {start!r}" if start else "the prediction is empty",
        cure=f"known are {FORMATS}: see docs/world-model.md",
    )


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _lines(text: str, program: Program) -> Recorded:
    try:
        trace = read_trace(text)
    except TracingError as error:
        raise UsageError(f"the prediction: {error.problem}", cure=error.cure) from error
    frames = tuple(
        replace(frame, file=program.path) if program.named(frame.function, frame.line) else frame
        for frame in trace.frames
        if frame.event != "probe"
    )
    return Recorded("fixbug", replace(trace, frames=frames), not trace.limits, True)


def _chat(text: str, program: Program) -> Recorded:
    """The chat format: sparse, so that only what it says is checked."""
    functions = tuple(
        FunctionSource(
            program.path, unit.qualname, unit.first, "\n".join(program.lines[unit.first - 1 : unit.last])
        )
        for unit in program.units
        if not unit.is_comprehension
    )
    scene = Scene(ProbedTest("", program.path, "", "", ""), functions)
    read = parse_prediction(text, scene, runs=1)
    whole = read_frames(text).complete
    strange = {0: read.illegal} if read.illegal and read.trace.frames else {}
    return Recorded("chat", read.trace, whole, read.dense, strange, read.forgiven)
