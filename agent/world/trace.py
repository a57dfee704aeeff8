"""Traces: what a program does, frame by frame. One shape for what was predicted and what was observed.

On disk a trace is JSON Lines, version 1, the form that ``sandbox/tracer.py`` writes::

    {"fixbug_trace": 1, "python": "3.11.7", "test": "tests/test_a.py::test_b", "runs": 2}
    {"event": "line", "function": "Catalogue.price", "file": "shop.py", "line": 12, ...}   fields of Frame
    {"event": "probe", "run": 1, "probe": "p1", "value": "4", ...}
    {"run": 1, "outcome": "passed", "message": ""}                                         one a run
    {"end": true, "limits": {"frames": "stopped at 20000"}}                                last

A field that is absent has its default; a field that is unknown is ignored, and so is a line of an unknown
kind, so a newer writer can be read. A line that is not such an object is an error that names the line. A
trace without its last line was cut off (the traced process died), which is a limit like any other, named
``cut``; ``"end": false`` says so in its own words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from sandbox.errors import TracingError

Event = Literal["call", "line", "return", "exception", "probe"]

VERSION = 1
_CUT = "the trace has no last line: the traced process died or was stopped"


@dataclass(frozen=True)
class Frame:
    """One event, with the state BEFORE the line runs (``sys.settrace``'s convention).

    ``locals`` holds what changed since the last frame of the same activation (all arguments on a
    call); values are bounded ``repr`` texts, None marks a name that was unbound.
    """

    event: Event
    function: str
    """Qualified name, e.g. ``Catalogue.price``."""
    file: str
    """Path relative to the repository, with forward slashes."""
    line: int
    depth: int = 0
    """0 is the test itself."""
    run: int = 1
    """1 or 2: which of the back-to-back runs."""
    visit: int = 1
    """Which call of this function within the run, from 1."""
    locals: Mapping[str, str | None] = field(default_factory=dict)
    value: str | None = None
    """Return value, exception (``ValueError('x')``) or probed value, as bounded ``repr``."""
    probe: str | None = None
    """Probe events only: the probe's id."""


@dataclass(frozen=True)
class Outcome:
    """How one run ended: ``passed``, ``failed``, ``error`` or ``skipped``.

    In a prediction ``passed`` says only that the run got to its end: who predicts does not know what
    the test asserts. ``failed`` says that an exception came out of it (``message``).
    """

    run: int
    outcome: str
    message: str = ""


@dataclass(frozen=True)
class Trace:
    """Frames of one or more runs, and what cut them short (``limits``: name of the cap → detail)."""

    frames: tuple[Frame, ...]
    limits: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    outcomes: tuple[Outcome, ...] = ()
    test: str = ""

    def outcome(self, run: int) -> Outcome | None:
        """How that run ended, None where the trace does not say."""
        return next((outcome for outcome in self.outcomes if outcome.run == run), None)

    @property
    def runs(self) -> tuple[int, ...]:
        """The runs that the trace knows anything of, in order."""
        return tuple(sorted({f.run for f in self.frames} | {o.run for o in self.outcomes}))


def states(frames: Iterable[Frame]) -> list[dict[str, str]]:
    """The full local state at each frame: the changes of its activation (run, file, function, visit) added
    up."""
    activations: dict[tuple[int, str, str, int], dict[str, str]] = {}
    result = []
    for frame in frames:
        key = (frame.run, frame.file, frame.function, frame.visit)
        state = {} if frame.event == "call" else dict(activations.get(key, {}))
        for name, value in frame.locals.items():
            if value is None:
                state.pop(name, None)
            else:
                state[name] = value
        activations[key] = state
        result.append(state)
    return result


def write_trace(trace: Trace) -> str:
    """The trace as JSON Lines; what has its default is left out."""
    head: dict[str, Any] = {"fixbug_trace": VERSION, "python": trace.python, "test": trace.test}
    rows = [head | {"runs": len(trace.runs)}]
    rows += [_frame_record(frame) for frame in trace.frames]
    rows += [{"run": o.run, "outcome": o.outcome, "message": o.message} for o in trace.outcomes]
    if dict(trace.limits) != {"cut": _CUT}:
        rows.append({"end": "cut" not in trace.limits, "limits": dict(trace.limits)})
    text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    return text.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair is no UTF-8: escaped


def read_trace(text: str) -> Trace:
    """Read JSON Lines as ``write_trace`` and the tracer write them.

    Raises TracingError, with the line's number, for a line that is not JSON, is no object, or has a
    field of the wrong kind. A last line that was cut in the middle is the limit ``cut``, not an error.
    """
    lines = text.split("\n")
    head: Mapping[str, Any] | None = None
    frames: list[Frame] = []
    outcomes: list[Outcome] = []
    limits: dict[str, str] = {"cut": _CUT}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            if head is not None and number == len(lines):
                break
            raise _broken(number, f"is not JSON ({error})", line) from error
        if not isinstance(row, dict):
            raise _broken(number, "is not a JSON object", line)
        if head is None:
            head = _read_head(row, number, line)
        elif "event" in row:
            frames.append(_read_frame(row, number, line))
        elif "outcome" in row:
            run, outcome = _typed(row, "run", int, number, line), _typed(row, "outcome", str, number, line)
            outcomes.append(Outcome(run, outcome, str(row.get("message") or "")))
        elif isinstance(row.get("end"), bool):
            if row["end"]:
                limits.pop("cut", None)
            caps = {} if row.get("limits") is None else row["limits"]
            if not isinstance(caps, dict):
                raise _broken(number, "has `limits` that are no object", line)
            limits |= {str(name): str(detail) for name, detail in caps.items()}
    if head is None:
        raise TracingError(
            "a trace was expected (its first line has `fixbug_trace`), and there is nothing in it",
            cure="look at the output of the traced command: the tracer may not have started",
        )
    return Trace(
        tuple(frames), limits, str(head.get("python") or ""), tuple(outcomes), str(head.get("test") or "")
    )


def _frame_record(frame: Frame) -> dict[str, Any]:
    row: dict[str, Any] = {"event": frame.event, "function": frame.function, "file": frame.file}
    row["line"] = frame.line
    defaults: dict[str, Any] = {"depth": 0, "run": 1, "visit": 1, "value": None, "probe": None}
    row |= {
        name: getattr(frame, name) for name, default in defaults.items() if getattr(frame, name) != default
    }
    if frame.locals:
        row["locals"] = dict(frame.locals)
    return row


def _read_head(row: Mapping[str, Any], number: int, line: str) -> Mapping[str, Any]:
    version = row.get("fixbug_trace")
    if not isinstance(version, int) or isinstance(version, bool):
        raise _broken(number, "should start the trace with `fixbug_trace`", line)
    if version > VERSION:
        raise TracingError(
            f"line {number} of the trace says version {version}; version {VERSION} is the newest known here",
            cure="read it with the fixbug that wrote it, or a newer one",
        )
    return row


def _read_frame(row: Mapping[str, Any], number: int, line: str) -> Frame:
    event = row["event"]
    if event not in get_args(Event):
        raise _broken(number, f"has the unknown event {event!r}", line)
    optional = event == "probe"
    names = _typed(row, "locals", dict, number, line, {})
    for name, value in names.items():
        if value is not None and not isinstance(value, str):
            raise _broken(number, f"has a local {name!r} that is neither text nor null", line)
    value = row.get("value")
    if value is not None and not isinstance(value, str):
        raise _broken(number, "has a `value` that is neither text nor null", line)
    return Frame(
        event,
        _typed(row, "function", str, number, line, "" if optional else None),
        _typed(row, "file", str, number, line, "" if optional else None),
        _typed(row, "line", int, number, line, 0 if optional else None),
        depth=_typed(row, "depth", int, number, line, 0),
        run=_typed(row, "run", int, number, line, 1),
        visit=_typed(row, "visit", int, number, line, 1),
        locals=names,
        value=value,
        probe=_typed(row, "probe", str, number, line) if optional else None,
    )


def _typed(row: Mapping[str, Any], name: str, kind: type, number: int, line: str, default: Any = None) -> Any:
    value = row.get(name, default)
    if value is None or not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        came = "is missing" if name not in row else f"is {value!r}"
        raise _broken(number, f"needs `{name}` of type {kind.__name__}, which {came}", line)
    return value


def _broken(number: int, problem: str, line: str) -> TracingError:
    shown = line if len(line) <= 120 else line[:117] + "..."
    return TracingError(
        f"line {number} of the trace {problem}: {shown}",
        cure="each line is one JSON object as docs/tracing.md describes; trace the test again",
    )
