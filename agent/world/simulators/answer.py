"""What a model answered to a simulation's question: JSON that may be anything but tidy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from agent.world.checking.legality import illegal_step
from agent.world.intent import same_function
from agent.world.loose import Bare, Loose, read_list, read_object, read_rows
from agent.world.simulate import Prediction
from agent.world.simulators.named_lines import NamedLine
from agent.world.simulators.scene import Scene
from agent.world.trace import Event, Frame, Outcome, Trace
from agent.world.values import Opaque, read_value


def _object(**properties: Any) -> dict[str, Any]:
    """A JSON schema by the strict rules: every property required, no other allowed."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_TEXT, _WHOLE = {"type": "string"}, {"type": "integer"}
_PERHAPS = {"type": ["string", "null"]}
_LOCALS = _list(_object(name=_TEXT, value=_TEXT))
_PROBES = _list(_object(run=_WHOLE, probe=_TEXT, value=_TEXT))
_OUTCOMES = _list(
    _object(run=_WHOLE, outcome={"type": "string", "enum": ["finished", "raised"]}, exception=_PERHAPS)
)
_EVENT = {"type": "string", "enum": ["call", "line", "return", "exception"]}
_FRAME = _object(
    event=_EVENT, function=_TEXT, file=_TEXT, line=_WHOLE, depth=_WHOLE, run=_WHOLE, call=_WHOLE,
    locals=_LOCALS, value=_PERHAPS,
)  # fmt: skip
_STATE = _object(at=_TEXT, run=_WHOLE, call=_WHOLE, locals=_LOCALS, value=_PERHAPS, exception=_PERHAPS)

DENSE_SCHEMA = _object(
    frames=_list(_FRAME), every_line={"type": "boolean"}, probes=_PROBES, outcomes=_OUTCOMES
)
LINES_SCHEMA = _object(states=_list(_STATE), probes=_PROBES, outcomes=_OUTCOMES)


def parse_prediction(
    text: str,
    scene: Scene,
    *,
    runs: int,
    sample: int = 1,
    label: str = "chat",
    asked: Sequence[NamedLine] = (),
    given: Sequence[Frame] = (),
) -> Prediction:
    """Read a model's answer. Prose, or nothing, gives a prediction that is not complete, never a pass.

    ``asked``: the named lines that it answers, where it was asked for those. ``given``: frames that it was
    told and goes on from.
    """
    read = read_object(text, "probes")
    if not isinstance(read.value, dict) or not isinstance(read.value.get("probes"), (list, str)):
        read = read_object(text, "states") if asked else read_frames(text)
        read.forgiven.append("no probes were answered")
        read.complete = False
    answer = read.value if isinstance(read.value, dict) else {}
    parser = _Answer(scene, runs, read.forgiven)
    answer = {name: parser.rows(rows) if name in _ROWS else rows for name, rows in answer.items()}
    frames = parser.states(answer.get("states"), asked) if asked else []
    frames += parser.frames(answer.get("frames"), given)
    outcomes = parser.outcomes(answer.get("outcomes"))
    trace = Trace((*frames, *parser.probes(answer.get("probes"))), outcomes=outcomes, test=scene.probed.test)
    return Prediction(
        sample, trace, label, read.complete and bool(answer) and not parser.broken, runs,
        tuple(dict.fromkeys(read.forgiven)), text, illegal_step(trace, scene.spans), scene.blind,
        dense=str(answer.get("every_line")).lower() == "true" and bool(frames),
    )  # fmt: skip


def read_frames(text: str) -> Loose:
    """An object that has ``frames``; where there is none, one made of the frames that stand alone."""
    read = read_object(text, "frames")
    if read.value is None:
        read = read_rows(text, ("event", "line"))
        read.value = {"frames": read.value} if read.value else None
    return read


_ROWS = ("frames", "states", "probes", "outcomes")
_SPELLED = {
    "true": "True", "false": "False", "null": "None", "NaN": "nan", "Infinity": "inf", "-Infinity": "-inf",
}  # fmt: skip
_UNTOLD = {"unknown", "<unknown>", "undetermined", "n/a", "?"}
_UNCHANGED = {"..", "unchanged", "<unchanged>", "(unchanged)"}
_NONE_RAISED = {"", "none", "null", "no exception"}
_PLAIN = str.maketrans("\u201c\u201d\u2018\u2019", "\"\"''")


class _Answer:
    def __init__(self, scene: Scene, runs: int, forgiven: list[str]) -> None:
        self.scene, self.runs, self.forgiven = scene, runs, forgiven
        self.calls: dict[tuple[int, str], int] = {}
        self.broken = False
        """Whether something was answered that belongs to the test and cannot be read."""

    def rows(self, rows: Any) -> Any:
        """A list as it should be; also one that was written as a text, and one row without its list."""
        if isinstance(rows, dict) and "run" in rows:
            self.forgiven.append("a row without its list")
            return [rows]
        if not isinstance(rows, str):
            return rows
        read = read_list(rows)
        self.forgiven += read.forgiven
        self.broken = self.broken or not read.complete
        return read.value

    def frames(self, rows: Any, given: Sequence[Frame] = ()) -> list[Frame]:
        """The frames given and those answered, without what is none."""
        result = list(given)
        for frame in given:
            key = (frame.run, frame.function)
            self.calls[key] = max(frame.visit, self.calls.get(key, 0))
        for row in rows if isinstance(rows, list) else []:
            frame_read = self._frame(row) if isinstance(row, dict) else None
            if frame_read is None:
                self.forgiven.append("a frame that is none was left out")
            elif frame_read not in given:
                result.append(frame_read)
            else:
                self.forgiven.append("frames that were given are repeated")
        return result

    def _frame(self, row: dict[str, Any]) -> Frame | None:
        events: dict[str, Event] = {e: e for e in ("call", "line", "return", "exception")}
        event = events.get(str(row.get("event", "line")).lower())
        run, line = self.whole(row.get("run"), 1), self.whole(row.get("line"))
        name = row.get("function", self._around(line))
        if event is None or not isinstance(name, str) or line is None or run is None:
            return None
        if not 1 <= run <= self.runs:
            return None
        if "event" not in row or "function" not in row:
            self.forgiven.append("frames that leave out their event or function")
        function, file = self._place(name.removesuffix("()"), str(row.get("file") or ""))
        key = (run, function)
        ordinal = self.whole(row.get("call"))
        stepped_over = (file, function) in self.scene.deeper and event != "call"
        if ordinal is not None and ordinal >= 1:
            self.calls[key] = ordinal
        elif event == "call" or key not in self.calls or stepped_over:
            self.calls[key] = self.calls.get(key, 0) + 1
        value = row.get("value")
        shown = self.value(value) if event in ("return", "exception") and "value" in row else None
        depth = self.whole(row.get("depth")) or 0
        names = self.names(row.get("locals"))
        return Frame(event, function, file, line, depth, run, self.calls[key], names, shown)

    def _around(self, line: int | None) -> str | None:
        """The function that is meant where none is named: the innermost that is shown around the line."""
        around = [f for f in self.scene.functions if line and f.first_line <= line <= f.last_line]
        if not around or len({f.path for f in around}) > 1:
            return None
        return max(around, key=lambda f: f.first_line).qualname

    def states(self, rows: Any, asked: Sequence[NamedLine]) -> list[Frame]:
        """Answers about named lines as frames, in their order."""
        known = {place.id: place for place in asked}
        result = []
        for row in rows if isinstance(rows, list) else []:
            place = known.get(str(row.get("at")).strip()) if isinstance(row, dict) else None
            run = self.whole(row.get("run"), 1) if isinstance(row, dict) else None
            if place is None or run is None or not 1 <= run <= self.runs:
                self.forgiven.append("an answer about no line that was named was left out")
                continue
            event: Event = place.event
            value, raised = row.get("value"), row.get("exception")
            if event == "return" and not _is_none_raised(raised):
                event, value = "exception", raised
            elif event == "return" and "value" not in row:
                self.forgiven.append("an answer without its value was left out")
                continue
            key = (run, place.function)
            ordinal = self.whole(row.get("call"))
            self.calls[key] = ordinal if ordinal and ordinal >= 1 else self.calls.get(key, 0) + (
                1 if event != "line" or key not in self.calls else 0
            )  # fmt: skip
            names = self.names(row.get("locals")) if event == "line" else {}
            shown = None if event == "line" else self.value("None" if value is None else value)
            result.append(
                Frame(event, place.function, place.path, place.line, 0, run, self.calls[key], names, shown)
            )
        return result

    def names(self, states: Any) -> dict[str, str | None]:
        """Locals as an object, or as pairs of name and value; ``..`` is unchanged."""
        states = self.rows(states)
        pairs = list(states.items()) if isinstance(states, dict) else []
        for row in states if isinstance(states, (list, tuple)) else []:
            pair = _pair(row)
            if pair is None:
                self.forgiven.append("a local that is none was left out")
                continue
            pairs.append(pair)
            if not isinstance(row, dict) or "name" not in row:
                self.forgiven.append("locals in a form of their own")
        unchanged = [value for _, value in pairs if isinstance(value, str) and value in _UNCHANGED]
        if set(unchanged) - {".."}:
            self.forgiven.append("words for what is unchanged")
        return {
            str(name): self.value(value)
            for name, value in pairs
            if not (isinstance(value, str) and value in _UNCHANGED)
        }

    def _place(self, function: str, file: str) -> tuple[str, str]:
        parts = [self.scene.probed.renamed.get(part, part) for part in function.split(".")]
        function = ".".join(parts)
        if parts != function.split(".") or function.split(".")[-1] in self.scene.probed.renamed.values():
            return function, self.scene.probed.path
        shown = [(f.qualname, f.path) for f in self.scene.functions]
        stepped_over = [(name, path) for path, name in self.scene.deeper]
        for known in (shown, stepped_over):
            found = [(name, path) for name, path in known if same_function(name, function)]
            near = [(name, path) for name, path in found if path == file] or found
            if len(near) == 1:
                return near[0]
        return function, file

    def probes(self, rows: Any) -> list[Frame]:
        """Answers to the test's questions, in their order. One that says nothing is an answer without a
        value, never none at all: it may be the one that breaks."""
        known = {probe.id: probe for probe in self.scene.probed.probes}
        result = []
        for row in rows if isinstance(rows, list) else []:
            named = str(row.get("probe") or row.get("id")).strip() if isinstance(row, dict) else ""
            probe = known.get(named) or known.get(named.lower())
            run = self.whole(row.get("run"), 1) if isinstance(row, dict) else None
            if probe is None or run is None or not 1 <= run <= self.runs:
                self.forgiven.append("an answer to no question was left out")
                self.broken = self.broken or not isinstance(row, dict) or (probe is not None and run is None)
                continue
            told = row.get("value", "?")
            value = None if isinstance(told, str) and told.strip().lower() in _UNTOLD else self.value(told)
            if value is None:
                self.forgiven.append("a question was left open")
            elif value.strip().lower() in ("not reached", "unreached", "'not reached'"):
                continue
            result.append(Frame("probe", "", probe.path, probe.line, run=run, value=value, probe=probe.id))
        return result

    def outcomes(self, rows: Any) -> tuple[Outcome, ...]:
        """How the runs end. Of a run that is said to end in two ways nothing is known."""
        result: dict[int, Outcome] = {}
        disputed: set[int] = set()
        for number, row in enumerate(rows if isinstance(rows, list) else [], 1):
            if isinstance(row, str):
                self.forgiven.append("outcomes in words")
                row = {"run": number, "outcome": row}
            run = self.whole(row.get("run"), 1 if self.runs == 1 else None) if isinstance(row, dict) else None
            if run is None or not 1 <= run <= self.runs:
                self.forgiven.append("an outcome of no run was left out")
                continue
            ended, _, rest = str(row.get("outcome", "")).strip().partition(" ")
            raised = row.get("exception") or row.get("message") or rest
            none = _is_none_raised(raised)
            if ended.lower() in ("finished", "passed", "ok", "completed", "pass") and none:
                made = Outcome(run, "passed")
            elif ended.lower() in ("raised", "failed", "error", "exception", "fail"):
                made = Outcome(run, "failed", ended if none else str(raised))
            else:
                self.forgiven.append("an outcome that says two things, or nothing, was left out")
                disputed.add(run)
                continue
            if run in result and result[run].outcome != made.outcome:
                disputed.add(run)
            result[run] = made
        if disputed & set(result):
            self.forgiven.append("of a run with two outcomes none was kept")
        return tuple(result[run] for run in sorted(set(result) - disputed))

    def whole(self, value: Any, default: int | None = None) -> int | None:
        """A whole number, also written as text (``"12"``, ``"line 12"``, ``"L12"``) or as ``12.0``."""
        if value is None:
            if default is not None:
                self.forgiven.append("runs left out")
            return default
        if isinstance(value, int):
            return None if isinstance(value, bool) else value
        found = re.fullmatch(r"\s*(?:line|run|call|L)?\s*([0-9]{1,12})(?:\.0)?\s*", str(value), re.IGNORECASE)
        self.forgiven.append("numbers as texts" if found else "what should be a number and is none")
        return int(found[1]) if found else None

    def value(self, value: Any) -> str:
        """A value as a ``repr`` text, also where the model wrote the value itself."""
        if isinstance(value, Bare):
            value = str(value)
        if not isinstance(value, str):
            self.forgiven.append("values that are no texts")
            return repr(value)
        if value.strip() in _SPELLED:
            self.forgiven.append("JSON's names for Python's")
            return _SPELLED[value.strip()]
        words = re.fullmatch(r"(?=.*[^\W\d])[\w .,!?%/:-]+", value) is not None
        words = words and not re.fullmatch(r"[A-Z]\w*(\.\w+)+", value)
        special = value in ("no exception", "not reached") or value.endswith(("Error", "Exception"))
        if words and not special and isinstance(read_value(value), Opaque):
            self.forgiven.append("a string without its quotes")
            return repr(value)
        return self._as_written(value)

    def _as_written(self, value: str) -> str:
        """A text that is none of Python's as it stands, and would be one with line ends escaped, plain
        quotes, or without backslashes before quotes."""
        if not isinstance(read_value(value), Opaque):
            return value
        plain = value.translate(_PLAIN) if value[:1] in ("\u201c", "\u2018") else value
        plain = plain.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
        for other in (plain, plain.replace("\\'", "'")):
            if other != value and not isinstance(read_value(other), Opaque):
                self.forgiven.append("a text with line ends, quotes or backslashes as Python has none")
                return other
        return value


def _is_none_raised(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in _NONE_RAISED)


def _pair(row: Any) -> tuple[str, Any] | None:
    """Name and value of a local: ``{"name": "x", "value": "1"}``, ``["x", "1"]``, ``{"x": "1"}``,
    ``"x = 1"``."""
    if isinstance(row, dict) and isinstance(row.get("name"), str) and "value" in row:
        return row["name"], row["value"]
    if isinstance(row, dict) and len(row) == 1 and isinstance(next(iter(row)), str):
        return next(iter(row.items()))
    if isinstance(row, (list, tuple)) and len(row) == 2 and isinstance(row[0], str):
        return row[0], row[1]
    found = re.fullmatch(r"\s*([A-Za-z_]\w*)\s*[=:](?!=)\s*(.+)", row, re.S) if isinstance(row, str) else None
    return (found[1], found[2]) if found else None
