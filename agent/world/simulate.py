"""Simulators: who predicts what a test will do, and what is shown to them."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from agent.errors import ContextTooLong, ModelError
from agent.llm import Model
from agent.world.intent import same_function
from agent.world.legality import illegal_step
from agent.world.loose import read_object
from agent.world.probes import ProbedTest
from agent.world.splice import stripped
from agent.world.trace import Event, Frame, Outcome, Trace, read_trace
from agent.world.values import Opaque, read_value
from prompts import render

MAX_FRAMES = 60
CHARACTERS_A_TOKEN = 3
"""A cautious estimate for source code."""


@dataclass(frozen=True)
class FunctionSource:
    """A function as it is shown: its own lines, and what it stands on (imports, class header, module
    state)."""

    path: str
    qualname: str
    first_line: int
    source: str
    context: str = ""

    @property
    def last_line(self) -> int:
        """The last line, 1-based."""
        return self.first_line + self.source.count("\n")


@dataclass(frozen=True)
class Scene:
    """What a simulation sees. ``left_out`` names the functions that did not fit."""

    probed: ProbedTest
    functions: tuple[FunctionSource, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """One sample. ``complete`` is False for a cut answer or none; ``illegal`` says why it can't be true.

    ``blind`` is False where the expected values could not all be kept from sight.
    """

    sample: int
    trace: Trace
    label: str
    complete: bool
    runs: int
    forgiven: tuple[str, ...] = ()
    raw: str = ""
    illegal: str = ""
    blind: bool = True

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """How the runs are predicted to end."""
        return self.trace.outcomes


class Simulator(Protocol):
    """Anything that predicts. An empty list says that it has no idea: unknown."""

    @property
    def label(self) -> str: ...

    def simulate(self, scene: Scene, *, runs: int, samples: int) -> list[Prediction]: ...


@dataclass(frozen=True)
class NoSimulator:
    """Predicts nothing: the verdict is unknown."""

    label: str = "none"

    def simulate(self, scene: Scene, *, runs: int, samples: int) -> list[Prediction]:
        """No prediction."""
        return []


@dataclass(frozen=True)
class OracleSimulator:
    """Predicts by executing, in a throwaway sandbox that the caller supplies: an upper bound, and labelled
    so.

    ``run_traced`` runs the probed test on the patched tree and returns its trace (JSON Lines).
    It is called once: what ran twice alike would count as agreement and is none.
    """

    run_traced: Callable[[ProbedTest], str]
    label: str = "oracle"

    def simulate(self, scene: Scene, *, runs: int, samples: int) -> list[Prediction]:
        """One prediction, whatever ``samples`` says."""
        text = self.run_traced(scene.probed)
        if not text.strip():
            return [Prediction(1, Trace(()), self.label, False, runs, ("nothing was traced",))]
        trace = read_trace(text)
        complete = len(trace.outcomes) >= runs
        return [Prediction(1, trace, self.label, complete, runs, raw=text, blind=False)]


@dataclass(frozen=True)
class ChatSimulator:
    """Asks a chat model, once a sample. ``structured`` passes a JSON schema to servers that honour one."""

    model: Model
    temperature: float | None = 0.8
    max_tokens: int | None = 8000
    structured: bool = False

    @property
    def label(self) -> str:
        """``chat:<model>``."""
        return f"chat:{self.model.name}"

    def simulate(self, scene: Scene, *, runs: int, samples: int) -> list[Prediction]:
        """Independent samples of one blind prompt. A model that fails gives a prediction that is not
        complete.

        Budget errors pass through.
        """
        prompt = simulation_prompt(scene, runs)
        result = []
        for sample in range(1, samples + 1):
            try:
                completion = self.model.complete(
                    [{"role": "user", "content": prompt}],
                    temperature=self.temperature,
                    max_tokens=self.max_tokens,
                    json_schema=SCHEMA if self.structured else None,
                )
            except (ModelError, ContextTooLong) as error:
                failed = Prediction(
                    sample, Trace(()), self.label, False, runs, (f"no answer: {error.problem}",)
                )
                result.append(replace(failed, blind=not scene.probed.unmasked))
                continue
            read = parse_prediction(completion.text, scene, runs=runs, sample=sample, label=self.label)
            if completion.finish_reason == "length":
                read = replace(
                    read, complete=False, forgiven=(*read.forgiven, "the answer is cut off (length)")
                )
            result.append(read)
        return result


def simulation_prompt(scene: Scene, runs: int) -> str:
    """The one prompt of a simulation. It holds no expected value: see docs/world-model.md."""
    probed = scene.probed
    return render(
        "simulate.md.j2",
        runs=runs,
        path=probed.path,
        test=numbered(probed.blind, 1),
        functions=[
            {
                "path": f.path,
                "qualname": f.qualname,
                "context": f.context,
                "source": numbered(f.source, f.first_line),
            }
            for f in scene.functions
        ],
        left_out=list(scene.left_out),
        questions=[f"{probe.id}: {probe.question}" for probe in probed.probes],
        example_path=scene.functions[0].path if scene.functions else probed.path,
        max_frames=MAX_FRAMES,
    )


def numbered(source: str, first: int) -> str:
    """Source with line numbers at the left; blank lines are left out."""
    lines = source.splitlines()
    return "\n".join(f"{n:>5}  {line}" for n, line in enumerate(lines, first) if line.strip())


# -- what a scene shows

_MAKERS = ("__init__", "__new__", "__post_init__")


def build_scene(
    probed: ProbedTest,
    sources: Mapping[str, str],
    before: Trace,
    patch: str = "",
    *,
    token_budget: int = 12_000,
) -> Scene:
    """The functions that the test was seen to execute (``before``) and those that the patch touches.

    ``sources``: path → text after the patch. Comments and docstrings are left out: they may give answers
    away. Functions of the patch come first, then those called, in order, then those that the test names and
    constructors of classes in sight (fixtures are not traced), as far as the
    budget goes.
    """
    touched = _touched(patch)
    wanted: list[tuple[int, int, FunctionSource]] = []
    named = set(re.findall(r"\w+", probed.blind))
    left_out: list[str] = []
    order: dict[tuple[str, str], int] = {}
    for frame in before.frames:
        order.setdefault((frame.file, frame.function), len(order))
    for path, source in sources.items():
        if path == probed.path or not path.endswith(".py"):
            continue
        clean = stripped(source)
        for function, first, last in functions_of(clean):
            called = [
                n for (file, name), n in order.items() if file == path and same_function(name, function)
            ]
            changed = any(first <= line <= last for line in touched.get(path, ()))
            parts = function.split(".")
            beside = parts[-1] in named or (len(parts) > 1 and parts[-1] in _MAKERS and parts[-2] in named)
            if called or changed or beside:
                shown = "\n".join(clean.splitlines()[first - 1 : last])
                made = FunctionSource(path, function, first, shown, _context(clean, function))
                wanted.append((0 if changed else 1 if called else 2, min(called, default=0), made))
    known = {f.path for _, _, f in wanted}
    left_out += sorted(
        {file for file, _ in order if file not in sources and file != probed.path and file not in known}
    )
    budget = token_budget * CHARACTERS_A_TOKEN - len(probed.blind)
    chosen: list[FunctionSource] = []
    contexts: set[str] = set()
    for _, _, made in sorted(wanted, key=lambda item: item[:2]):
        one = replace(made, context="") if made.path + made.context in contexts else made
        cost = len(one.source) + len(one.context)
        if cost > budget:
            left_out.append(f"{one.path}: {one.qualname}")
            continue
        budget -= cost
        contexts.add(made.path + made.context)
        chosen.append(one)
    return Scene(probed, tuple(chosen), tuple(left_out))


def functions_of(source: str) -> list[tuple[str, int, int]]:
    """Qualified name, first line (decorators too) and last line of the functions; none where it is not
    Python.

    A function in a function belongs to the outer one.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return []
    result: list[tuple[str, int, int]] = []

    def visit(body: Sequence[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                result.append((prefix + node.name, first, node.end_lineno or node.lineno))
            else:
                for blocks in ("body", "orelse"):
                    visit(getattr(node, blocks, []), prefix)

    visit(tree.body, "")
    return result


def _context(source: str, qualname: str) -> str:
    """The numbered lines that a function stands on: imports, module state, its class's header and
    attributes."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ""
    lines = source.splitlines()
    kept: set[int] = set()
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree.body:
        if not isinstance(node, definitions) and (node.end_lineno or 0) - node.lineno < 20:
            kept |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    body: Sequence[ast.stmt] = tree.body
    for part in qualname.split(".")[:-1]:
        found = next((n for n in body if isinstance(n, ast.ClassDef) and n.name == part), None)
        if found is None:
            break
        kept |= set(range(found.lineno, found.body[0].lineno)) | {found.lineno}
        for node in found.body:
            if not isinstance(node, definitions):
                kept |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        body = found.body
    return "\n".join(f"{n:>5}  {lines[n - 1]}" for n in sorted(kept) if lines[n - 1].strip())


def _touched(patch: str) -> dict[str, set[int]]:
    """Path → lines of the new file that a unified diff writes or stands beside."""
    result: dict[str, set[int]] = {}
    path, line = "", 0
    for text in patch.splitlines():
        if text.startswith("+++ "):
            path = text[4:].split("\t")[0].removeprefix("b/")
        elif found := re.match(r"@@ -\d+(?:,\d+)? \+(\d+)", text):
            line = int(found[1])
        elif text.startswith("+") and path:
            result.setdefault(path, set()).add(line)
            line += 1
        elif text.startswith("-") and path:
            result.setdefault(path, set()).add(line)
        else:
            line += 1
    return result


# -- what a model answers

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["frames", "probes", "outcomes"],
    "properties": {
        "frames": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["event", "function", "line", "run"],
                "properties": {
                    "event": {"enum": ["call", "line", "return", "exception"]},
                    "function": {"type": "string"},
                    "file": {"type": "string"},
                    "line": {"type": "integer"},
                    "depth": {"type": "integer"},
                    "run": {"type": "integer"},
                    "call": {"type": "integer"},
                    "locals": {"type": "object", "additionalProperties": {"type": "string"}},
                    "value": {"type": ["string", "null"]},
                },
            },
        },
        "probes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["run", "probe", "value"],
                "properties": {
                    "run": {"type": "integer"},
                    "probe": {"type": "string"},
                    "value": {"type": "string"},
                },
            },
        },
        "outcomes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["run", "outcome"],
                "properties": {
                    "run": {"type": "integer"},
                    "outcome": {"enum": ["finished", "raised"]},
                    "exception": {"type": "string"},
                },
            },
        },
    },
}


def parse_prediction(
    text: str, scene: Scene, *, runs: int, sample: int = 1, label: str = "chat"
) -> Prediction:
    """Read a model's answer. Prose, or nothing, gives a prediction that is not complete, never a pass."""
    read = read_object(text, "probes")
    if not isinstance(read.value, dict) or not isinstance(read.value.get("probes"), list):
        read = read_object(text, "frames")
        read.forgiven.append("no probes were answered")
        read.complete = False
    answer = read.value if isinstance(read.value, dict) else {}
    parser = _Answer(scene, runs, read.forgiven)
    frames = parser.frames(answer.get("frames")) + parser.probes(answer.get("probes"))
    outcomes = parser.outcomes(answer.get("outcomes"))
    trace = Trace(tuple(frames), outcomes=tuple(outcomes), test=scene.probed.test)
    spans = [(f.path, f.qualname, f.first_line, f.last_line) for f in scene.functions]
    return Prediction(
        sample, trace, label, read.complete and bool(answer), runs, tuple(dict.fromkeys(read.forgiven)), text,
        illegal_step(trace, spans), not scene.probed.unmasked,
    )  # fmt: skip


class _Answer:
    def __init__(self, scene: Scene, runs: int, forgiven: list[str]) -> None:
        self.scene, self.runs, self.forgiven = scene, runs, forgiven
        self.calls: dict[tuple[int, str], int] = {}

    def frames(self, rows: Any) -> list[Frame]:
        result = []
        for row in rows if isinstance(rows, list) else []:
            frame = self._frame(row) if isinstance(row, dict) else None
            if frame is None:
                self.forgiven.append("a frame that is none was left out")
            else:
                result.append(frame)
        return result

    def _frame(self, row: dict[str, Any]) -> Frame | None:
        events: dict[str, Event] = {e: e for e in ("call", "line", "return", "exception")}
        event = events.get(str(row.get("event")))
        run, line = _whole(row.get("run", 1)), _whole(row.get("line"))
        if event is None or not isinstance(row.get("function"), str) or line is None or run is None:
            return None
        if not 1 <= run <= self.runs:
            return None
        function, file = self._place(row["function"].removesuffix("()"), str(row.get("file") or ""))
        key = (run, function)
        given = _whole(row.get("call"))
        if given is not None and given >= 1:
            self.calls[key] = given
        elif event == "call" or key not in self.calls:
            self.calls[key] = self.calls.get(key, 0) + 1
        names: dict[str, str | None] = {}
        states = row.get("locals")
        for name, value in states.items() if isinstance(states, dict) else ():
            if value != "..":
                names[name] = self.value(value)
        value = row.get("value")
        shown = self.value(value) if event in ("return", "exception") and "value" in row else None
        depth = _whole(row.get("depth")) or 0
        return Frame(event, function, file, line, depth, run, self.calls[key], names, shown)

    def _place(self, function: str, file: str) -> tuple[str, str]:
        parts = [self.scene.probed.renamed.get(part, part) for part in function.split(".")]
        function = ".".join(parts)
        if parts != function.split(".") or function.split(".")[-1] in self.scene.probed.renamed.values():
            return function, self.scene.probed.path
        found = [f for f in self.scene.functions if same_function(f.qualname, function)]
        near = [f for f in found if f.path == file] or found
        if len(near) == 1:
            return near[0].qualname, near[0].path
        return function, file

    def probes(self, rows: Any) -> list[Frame]:
        known = {probe.id: probe for probe in self.scene.probed.probes}
        result = []
        for row in rows if isinstance(rows, list) else []:
            probe = known.get(str(row.get("probe") or row.get("id"))) if isinstance(row, dict) else None
            run = _whole(row.get("run", 1)) if isinstance(row, dict) else None
            if probe is None or run is None or not 1 <= run <= self.runs or "value" not in row:
                self.forgiven.append("an answer to no question was left out")
                continue
            value = self.value(row["value"])
            if value.strip().lower() in ("not reached", "unreached", "'not reached'"):
                continue
            result.append(Frame("probe", "", probe.path, probe.line, run=run, value=value, probe=probe.id))
        return result

    def outcomes(self, rows: Any) -> list[Outcome]:
        result: dict[int, Outcome] = {}
        for row in rows if isinstance(rows, list) else []:
            run = _whole(row.get("run")) if isinstance(row, dict) else None
            ended = str(row.get("outcome", "")).lower() if isinstance(row, dict) else ""
            if run is None or not 1 <= run <= self.runs:
                self.forgiven.append("an outcome of no run was left out")
            elif ended in ("finished", "passed", "ok", "completed", "pass"):
                result[run] = Outcome(run, "passed")
            elif ended in ("raised", "failed", "error", "exception", "fail"):
                result[run] = Outcome(run, "failed", str(row.get("exception") or row.get("message") or ended))
        return [result[run] for run in sorted(result)]

    def value(self, value: Any) -> str:
        """A value as a ``repr`` text, also where the model wrote the value itself."""
        if not isinstance(value, str):
            self.forgiven.append("values that are no texts")
            return repr(value)
        words = re.fullmatch(r"[\w .,!?%/:-]+", value) and not re.fullmatch(r"[A-Z]\w*(\.\w+)+", value)
        special = value in ("no exception", "not reached") or value.endswith(("Error", "Exception"))
        if words and not special and isinstance(read_value(value), Opaque):
            self.forgiven.append("a string without its quotes")
            return repr(value)
        return value


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().isdigit():
        return int(value.strip()[:12])
    return value if isinstance(value, int) and not isinstance(value, bool) else None
