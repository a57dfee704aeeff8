"""What the loop shows of traces and predictions: sources in scope, the table of the ledgers, records."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from agent.errors import PatchDoesNotApply
from agent.llm.recorded import Session
from agent.outcome import ProbeRow, Status
from agent.patch import normalise
from agent.trial import Observation, Trial
from agent.world.questions.probes import ProbedTest
from agent.world.simulate import Prediction
from agent.world.trace import Trace, write_trace
from agent.world.verdict import Verdict
from sandbox import Sandbox
from sandbox.scoring import Score
from sandbox.testing import TestRun, TracedTest

MAX_VALUES = 3
"""So many values of one question are shown where a test asks it again and again."""


def sources(box: Sandbox, trace: Trace, more: Iterable[str]) -> dict[str, str]:
    """Path → text of the Python files that the trace went through, and of ``more``; the work tree's state."""
    paths = dict.fromkeys([frame.file for frame in trace.frames] + list(more))
    found = {}
    for path in paths:
        if path.endswith(".py"):
            try:
                found[path] = box.read(path).decode("utf-8")
            except (FileNotFoundError, UnicodeDecodeError):
                continue
    return found


def conftests(box: Sandbox, path: str) -> list[str]:
    """The texts of the ``conftest.py`` files around a test file, the nearest first."""
    found = []
    for folder in PurePosixPath(path).parents:
        with suppress(FileNotFoundError, UnicodeDecodeError):
            found.append(box.read(str(folder / "conftest.py")).decode("utf-8"))
    return found


def prediction_json(prediction: Prediction) -> dict[str, Any]:
    """A prediction as ``predicted.jsonl`` holds it; ``trace`` is JSON Lines, as for what was observed."""
    return {
        "sample": prediction.sample,
        "simulator": prediction.label,
        "complete": prediction.complete,
        "forgiven": prediction.forgiven,
        "illegal": prediction.illegal,
        "blind": prediction.blind,
        "dense": prediction.dense,
        "checked": prediction.checked,
        "findings": prediction.findings,
        "resampled": prediction.resampled,
        "repaired": prediction.repaired,
        "trace": write_trace(prediction.trace),
        "raw": prediction.raw,
    }


def table(
    probed: ProbedTest, before: Trace, predictions: Sequence[Prediction], after: Trace | None
) -> tuple[ProbeRow, ...]:
    """One row a question of the test: intended, before the patch, predicted and observed after it, by run."""
    return tuple(
        ProbeRow(
            id=probe.id,
            question=f"{probe.expression}, line {probe.line}",
            intended=probe.predicate,
            literal=_literal(probe.predicate),
            before=_values(before, probe.id),
            predicted=tuple(_values(prediction.trace, probe.id) for prediction in predictions),
            after=_values(after, probe.id) if after else (),
        )
        for probe in probed.probes
    )


def against_record(session: Session, patch: str, score: Score | None) -> dict[str, Any]:
    """A replay beside its record: whether the patch is the same (as ``normalise`` sees it), and the score."""
    resolved = session.meta.get("resolved")
    same = None
    if session.submission is not None:
        with suppress(PatchDoesNotApply):
            same = normalise(session.submission) == normalise(patch)
    now = score.resolved if score else None if patch.strip() else False
    return {
        "same_patch": same,
        "recorded_resolved": resolved,
        "same_score": None if resolved is None or now is None else bool(resolved) == now,
    }


def tail(text: str, limit: int = 4000) -> str:
    """The last ``limit`` characters of an output, with what was left out said."""
    if len(text) <= limit:
        return text
    return f"[{len(text) - limit} characters left out]\n{text[-limit:]}"


def not_run(why: str) -> Observation:
    """What is observed of a patch that was not run: nothing."""
    return Observation(Verdict("unknown", (f"not run: {why}",)), Trace(()), (), (), "", passed_over=why)


def status(best: Trial | None, score: Score | None) -> Status:
    """How an attempt ends whose best round and score these are."""
    if best is None:
        return "no_patch"
    judged = [] if score is None else [score.counts]
    if best.observed.outcomes:
        judged.append(best.observed.passed and not best.observed.broken_neighbours)
    if not judged:
        return "unverified"
    return "verified" if all(judged) else "not_fixed"


def outcomes(traced: TracedTest) -> tuple[str, ...]:
    """One word a run: passed, failed (or error), or timed out."""
    return tuple(
        "passed" if run.passed else "timed out" if run.timed_out else "failed" for run in traced.runs
    )


def first_failure(run: TestRun) -> str:
    """The first line of what the first test that fails says."""
    failed = (case.message for case in run.cases if case.outcome in ("failed", "error"))
    return first_line(next(failed, ""))


def failing_output(traced: TracedTest) -> str:
    """What the first run that fails printed."""
    return next((run.output for run in traced.runs if not run.passed), "")


def first_line(text: str) -> str:
    """The first line, of at most 200 characters."""
    return text.strip().partition("\n")[0][:200]


def size(patch: str) -> str:
    """``+3 -1 lines``."""
    lines = patch.splitlines()
    added = sum(line.startswith("+") and not line.startswith("+++") for line in lines)
    removed = sum(line.startswith("-") and not line.startswith("---") for line in lines)
    return f"+{added} -{removed} lines"


def _values(trace: Trace, probe: str) -> tuple[str, ...]:
    """What the probe saw, one text a run ("" for a run that did not get there)."""
    seen = []
    for run in trace.runs:
        values = [f.value or "" for f in trace.frames if f.probe == probe and f.run == run]
        shown = ", ".join(values[:MAX_VALUES])
        seen.append(f"{shown}, … ({len(values)} in all)" if len(values) > MAX_VALUES else shown)
    return tuple(seen)


def _literal(predicate: str) -> str | None:
    """``4`` for ``value == 4``; None for a predicate that more than one value meets."""
    try:
        tree = ast.parse(predicate, mode="eval").body
        if isinstance(tree, ast.Compare) and len(tree.ops) == 1 and isinstance(tree.ops[0], ast.Eq | ast.Is):
            return repr(ast.literal_eval(tree.comparators[0]))
    except (ValueError, SyntaxError, RecursionError):
        return None
    return None
