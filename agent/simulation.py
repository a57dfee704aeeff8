"""One call of one function: it is predicted, the prediction is checked, the call is run and recorded, and
the two are laid side by side."""

from __future__ import annotations

import ast
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agent.errors import FixbugError, UsageError
from agent.world.beside import Row, as_observed, beside, result
from agent.world.checking.check import Checked, check
from agent.world.compare import Divergence, first_divergence, same_value
from agent.world.cwm import MARKER
from agent.world.flow import Program
from agent.world.simulators.recorded import Recorded, read_prediction
from agent.world.trace import Trace, read_trace

if TYPE_CHECKING:
    from sandbox import Kind

SCRIPT = "fixbug_simulated_call.py"


@dataclass(frozen=True)
class Asked:
    """What is simulated: a function of a file, and a call of it in the file's own names."""

    file: Path
    function: str
    call: str
    program: Program
    """The file with the call behind it, in a function of its own (``entry``)."""
    source: str
    entry: str
    text: str = ""
    """The file as it is."""


@dataclass(frozen=True)
class Sample:
    """One prediction of the call, checked. ``result``: as in ``Simulated``."""

    recorded: Recorded
    checked: Checked
    result: str | None

    @property
    def usable(self) -> bool:
        """Whole, with a result, and not contradicted."""
        return self.recorded.complete and self.result is not None and self.checked.verdict != "wrong"


@dataclass(frozen=True)
class Simulated:
    """What came of it. ``verdict``: whether the predicted result is the one that was observed.

    ``predicted`` and ``observed`` are results: a ``repr`` text, ``raises X``, or None for no end.
    """

    asked: Asked
    recorded: Recorded
    checked: Checked
    predicted: str | None
    observed: str | None
    rows: list[Row]
    divergence: Divergence | None
    verdict: Literal["right", "wrong", "unknown"]
    limits: dict[str, str]
    samples: tuple[Sample, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The same, for machines."""
        first = self.checked.first
        frames = self.recorded.trace.frames
        return {
            "format": self.recorded.format,
            "frames": len(frames),
            "complete": self.recorded.complete,
            "forgiven": list(self.recorded.forgiven),
            "resampled": self.recorded.resampled,
            "repaired": self.recorded.repaired,
            "samples": [
                {
                    "result": s.result, "complete": s.recorded.complete, "checked": s.checked.verdict,
                    "resampled": s.recorded.resampled, "repaired": s.recorded.repaired,
                }
                for s in self.samples
            ],
            "checked": self.checked.verdict,
            "findings": [
                {
                    "index": f.index, "function": frames[f.index].function, "what": f.what, "line": f.line,
                    "expected": f.expected, "found": f.found,
                }
                for f in self.checked.findings
            ],
            "first_wrong_line": first.line if first else None,
            "predicted": self.predicted,
            "observed": self.observed,
            "divergence": self.divergence.text if self.divergence else None,
            "verdict": self.verdict,
            "limits": self.limits,
        }  # fmt: skip


def ask(target: str, call: str) -> Asked:
    """What ``FILE::FUNCTION`` and a call mean. Raises UsageError where they mean nothing."""
    name, separator, function = target.rpartition("::")
    if not separator or not name or not function:
        raise UsageError(f"FILE::FUNCTION was expected, and {target!r} came", cure="such as shop.py::price")
    file = Path(name)
    if file.exists() and not file.is_file():
        raise UsageError(f"{file} is no file", cure="name a Python file")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", cure="name a Python file") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not Python: it is not UTF-8 text", cure="name a Python file") from error
    try:
        known = Program(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{file} is not Python: {error}", cure="name a Python file") from error
    functions = [
        u.qualname for u in known.units if isinstance(u.node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    if function not in functions:
        there = ", ".join(functions[:12]) or "none"
        raise UsageError(f"{file} has no function {function}", cure=f"there are: {there}")
    try:
        tree = ast.parse(call.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(
            f"the call {call!r} does not parse: {error}", cure='such as --call "f(1, 2)"'
        ) from error
    if not isinstance(tree, ast.Call):
        raise UsageError(f"{call!r} is no call", cure='such as --call "f(1, 2)"')
    if not _may_call(tree, function):
        raise UsageError(
            f"{call!r} does not call {function}", cure=f'such as --call "{function.rpartition(".")[2]}(...)"'
        )
    line = call.strip() if "\n" not in call.strip() else ast.unparse(tree)
    taken = {n.id for n in ast.walk(known.tree) if isinstance(n, ast.Name)} | set(functions)
    entry = next(n for n in ("main", "traced_main", "fixbug_traced_main") if n not in taken)
    source = f"{text.rstrip()}\n\n\ndef {entry}(): {MARKER}\n    return {line}\n"
    return Asked(file, function, line, Program(source, file.name), source, entry, text)


def _may_call(tree: ast.expr, function: str) -> bool:
    """Whether an expression names a function, as far as that can be told: special methods and functions
    within functions are called without it."""
    name = function.rpartition(".")[2]
    if "<locals>" in function or (name.startswith("__") and "." in function):
        return True
    return any(name in (getattr(n, "id", ""), getattr(n, "attr", "")) for n in ast.walk(tree))


def read_sample(asked: Asked, text: str) -> Sample:
    """A recorded prediction, checked. Raises UsageError for text in no known format."""
    return checked_sample(asked, read_prediction(text, asked.program))


def checked_sample(asked: Asked, recorded: Recorded) -> Sample:
    """A prediction, checked before anything runs."""
    # Of a sparse prediction only what it says can be checked, not what it leaves out.
    trace = recorded.trace if recorded.dense else Trace(recorded.trace.frames[:1])
    checked = check(trace, asked.program, complete=recorded.complete, strange=recorded.strange)
    predicted = as_observed(recorded.trace, asked.program)
    said = result(predicted, asked.entry) or result(predicted, asked.function)
    return Sample(recorded, checked, said)


def choose(samples: Sequence[Sample]) -> tuple[Sample, bool]:
    """The sample that stands for all: one with the result that most of the usable ones have. Whether they are
    of one mind, or most of them: False where as many say something else."""
    usable = [sample for sample in samples if sample.usable]
    if not usable:
        return samples[0], True
    votes = [
        sum(_same_result(str(mine.result), str(other.result)) is True for other in usable) for mine in usable
    ]
    chosen = usable[votes.index(max(votes))]
    against = [
        vote
        for sample, vote in zip(usable, votes, strict=True)
        if _same_result(str(sample.result), str(chosen.result)) is not True
    ]
    return chosen, max(votes) > max(against, default=0)


def _same_result(said: str, seen: str) -> bool | None:
    """Whether two results are one; None where their texts don't tell. A value is no exception."""
    raises = "raises "
    if said.startswith(raises) != seen.startswith(raises):
        return False
    return same_value(said.removeprefix(raises), seen.removeprefix(raises))


def simulate(
    asked: Asked,
    samples: Sequence[Sample],
    *,
    kind: Kind = "local",
    image: str | None = None,
    python: str | None = None,
    timeout: float = 60,
) -> Simulated:
    """Run the call, and compare it with what is predicted (one sample at least)."""
    sample, agreed = choose(samples)
    recorded, said = sample.recorded, sample.result
    observed = observe(asked, kind=kind, image=image, python=python, timeout=timeout)
    seen = result(observed, asked.entry)
    limits = dict(observed.limits)
    if seen is None and not limits:
        limits["end"] = (
            "the program stopped being recorded (sys.settrace, say) before the call came to its end"
        )
    verdict: Literal["right", "wrong", "unknown"] = "unknown"
    if recorded.complete and agreed and said is not None and seen is not None and "end" not in limits:
        same = _same_result(said, seen)
        verdict = "unknown" if same is None else "right" if same else "wrong"
    predicted = as_observed(recorded.trace, asked.program)
    sources = {asked.program.path: asked.source}
    divergence = first_divergence(predicted, observed, sources, dense=recorded.dense)
    rows = beside(predicted, observed)
    return Simulated(
        asked, recorded, sample.checked, said, seen, rows, divergence, verdict, limits,
        tuple(samples),
    )  # fmt: skip


def observe(
    asked: Asked,
    *,
    kind: Kind = "local",
    image: str | None = None,
    python: str | None = None,
    timeout: float = 60,
) -> Trace:
    """Run the call once in a sandbox, and record what the file's functions do.

    In it is the file's repository, or where there is none the file alone. Raises FixbugError where the
    file cannot be run at all.
    """
    from sandbox import SandboxSpec, open_sandbox
    from sandbox.testing import trace_test

    file = asked.file.resolve()
    with tempfile.TemporaryDirectory(prefix="fixbug-simulate-") as folder:
        root = next((p for p in file.parents if (p / ".git").exists()), None)
        if root is None:
            root = Path(folder)
            (root / file.name).write_text(asked.source, encoding="utf-8")
        path = file.relative_to(root) if root in file.parents else Path(file.name)
        base = path.parent
        while base != Path() and (root / base / "__init__.py").exists():
            base = base.parent
        module = ".".join(path.relative_to(base).with_suffix("").parts)
        where = f"import sys\nsys.path.insert(0, {base.as_posix()!r})\n"
        script = f"{where}from {module} import {asked.entry}\n{asked.entry}()\n"
        if kind == "auto":
            from sandbox.docker import engine_answers

            kind = "docker" if engine_answers() else "local"
        if kind == "docker" and image is None:
            from sandbox.environment import image_for_tree

            image = image_for_tree(root)
        with open_sandbox(SandboxSpec(kind=kind, image=image, source=root, python=python)) as sandbox:
            traced = trace_test(
                sandbox, SCRIPT, functions={path.as_posix(): []}, runs=1, timeout=timeout,
                replace={path.as_posix(): asked.source, SCRIPT: script},
            )  # fmt: skip
    trace = read_trace(traced.trace)
    # Then what the record says of the end counts for nothing.
    killed = bool(traced.runs) and traced.runs[0].exit_code > 128
    if traced.runs and (killed or "cut" in trace.limits):
        ended = traced.runs[0]
        why = f"its process ended before it did (exit status {ended.exit_code})"
        name, said = ("time", f"it did not end within {timeout:g} s") if ended.timed_out else ("end", why)
        trace = replace(trace, limits={**{k: v for k, v in trace.limits.items() if k != "cut"}, name: said})
    frames = tuple(
        replace(frame, file=asked.program.path)
        for frame in trace.frames
        if frame.file == path.as_posix() and frame.event != "probe"
    )
    start = next((n for n, frame in enumerate(frames) if frame.function == asked.entry), None)
    if start is None:
        said = next((case.message for run in traced.runs for case in run.cases if case.message), "")
        raise FixbugError(
            f"{asked.file} could not be run as far as the call: {said or 'nothing was recorded'}",
            cure="run it in the project's own environment: --python PATH, or --sandbox docker --image NAME",
        )
    return replace(trace, frames=frames[start:])
