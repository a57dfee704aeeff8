"""``fixbug score``: a dataset and a predictions file in, a folder of grades out.

::

    <out>/grades.jsonl     one line a distinct patch, as each is done (in that order)
    <out>/score.json       all of it, written at the end
    <out>/official/        swebench's own evaluation, with --official

What the tests printed is with the grades that are kept across runs (``agent/scale/scoring/grades.py``).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from agent.errors import FixbugError
from agent.intake.dataset import load_rows
from agent.record import check_place, write_atomically
from agent.scale.scoring.grades import GradeStore, default_folder
from agent.scale.scoring.grading import Graded, Grading, Say, grade, select
from agent.scale.scoring.official import Candidate, run_official
from agent.scale.scoring.predictions import Prediction, gold, read_predictions
from sandbox.scoring import SCORER

__all__ = ["ScoreRequest", "Scored", "score"]


@dataclass(frozen=True)
class ScoreRequest:
    """What was asked. ``predictions``: a file, or ``gold`` for the dataset's own patches."""

    dataset: str
    predictions: str
    workers: int
    instances: tuple[str, ...] = ()
    out: Path | None = None
    cache: Path | None = None
    timeout: float = 1800
    official: bool = False

    @property
    def folder(self) -> Path:
        """Where the grades go: the same for the same file, so that the same command goes on."""
        name = Path(self.predictions).name.split(".")[0] or "predictions"
        return self.out or Path("runs") / f"score-{name}"


@dataclass(frozen=True)
class Scored:
    """The outcome. ``proposed``: how many predictions there were, equal ones included. ``swebench``:
    patch and instance → its own verdict, where it was asked."""

    request: ScoreRequest
    proposed: int
    graded: tuple[Graded, ...]
    seconds: float
    trouble: FixbugError | None = None
    swebench: Mapping[tuple[str, str], bool | None] | None = None
    swebench_seconds: float | None = None

    @property
    def complete(self) -> bool:
        return self.trouble is None and all(one.status == "graded" for one in self.graded)

    @property
    def differing(self) -> tuple[Graded, ...]:
        """Where the two verdicts part."""
        return tuple(one for one in self.graded if one.official != one.hardened)

    @property
    def disagreeing(self) -> tuple[Graded, ...]:
        """Where swebench's own run says something else than the official verdict here."""
        asked = self.swebench or {}
        return tuple(
            one
            for one in self.graded
            if one.status == "graded" and _of(asked, one) is not None and _of(asked, one) != one.official
        )

    def instances(self, verdict: str) -> list[str]:
        """Ids of the instances with a patch that a verdict (``official``, ``hardened``) calls resolved."""
        return sorted({one.prediction.instance_id for one in self.graded if getattr(one, verdict)})

    def to_json(self) -> dict[str, Any]:
        """One object for scripts."""
        grades = []
        for one in self.graded:
            extra = {} if self.swebench is None else {"swebench": _of(self.swebench, one)}
            grades.append(one.to_json() | extra)
        by_status = {
            status: sum(one.status == status for one in self.graded)
            for status in ("graded", "failed", "pending")
        }
        return {
            "status": "complete" if self.complete else "incomplete",
            "dataset": self.request.dataset,
            "predictions": self.request.predictions,
            "scorer": SCORER,
            "swebench_version": version("swebench"),
            "proposed": self.proposed,
            "distinct": len(self.graded),
            **by_status,
            "known": sum(one.known for one in self.graded),
            "instances": len({one.prediction.instance_id for one in self.graded}),
            "official": {
                "patches": sum(one.official for one in self.graded),
                "instances": self.instances("official"),
            },
            "hardened": {
                "patches": sum(one.hardened for one in self.graded),
                "instances": self.instances("hardened"),
            },
            "seconds": round(self.seconds, 3),
            "swebench_seconds": self.swebench_seconds,
            "out": str(self.request.folder),
            "error": None
            if self.trouble is None
            else {
                "type": type(self.trouble).__name__,
                "problem": self.trouble.problem,
                "cure": self.trouble.cure,
            },
            "grades": grades,
        }


def _of(swebench: Mapping[tuple[str, str], bool | None], one: Graded) -> bool | None:
    return swebench.get((one.prediction.instance_id, one.prediction.digest))


def score(request: ScoreRequest, say: Say) -> Scored:
    """Grade all that was asked for. What is wrong with the input is said before anything runs.

    Raises ``UsageError`` for that, and ``FixbugError`` where a folder cannot be written. Ctrl-C leaves
    everything that was finished in place.
    """
    began = time.monotonic()
    rows = load_rows(request.dataset)
    proposed = gold(_only(rows, request.instances)) if request.predictions == "gold" else read_predictions(
        Path(request.predictions)
    )  # fmt: skip
    needed, predictions = select(rows, proposed, request.instances)
    names = set(needed)
    check_place(request.folder, option="--out")
    if any(one.patch.strip() for one in predictions):
        _check_engine()
    store = GradeStore(request.cache or default_folder())
    grading = Grading(store, request.workers, timeout=request.timeout)
    graded, trouble = _grade(request, grading, needed, predictions, say)
    found = Scored(
        request,
        sum(one.instance_id in names for one in proposed),
        graded,
        time.monotonic() - began,
        trouble,
    )
    _write(found)
    if request.official and trouble is None:
        found = _compared(found, needed, say)
        _write(found)
    return found


def _write(found: Scored) -> None:
    write_atomically(found.request.folder / "score.json", json.dumps(found.to_json(), indent=1) + "\n")


def _check_engine() -> None:
    """An engine that goes away is waited for; one that was never there is said at once."""
    from sandbox.docker import connect

    connect(timeout=30).close()


def _only(rows: Sequence[Mapping[str, Any]], instances: Sequence[str]) -> list[Mapping[str, Any]]:
    return [row for row in rows if not instances or row.get("instance_id") in instances]


def _grade(
    request: ScoreRequest,
    grading: Grading,
    rows: Mapping[str, Mapping[str, Any]],
    predictions: Sequence[Prediction],
    say: Say,
) -> tuple[tuple[Graded, ...], FixbugError | None]:
    """Each in the predictions' order, and what ended it early."""
    found: dict[tuple[str, str], Graded] = {}
    trouble: FixbugError | None = None
    path = request.folder / "grades.jsonl"
    write_atomically(path, "")
    try:
        with path.open("a", encoding="utf-8") as file:
            for one in grade(rows, predictions, grading, say):
                found[one.prediction.instance_id, one.prediction.patch] = one
                file.write(json.dumps(one.to_json()) + "\n")
                file.flush()
                say(_line(one, len(found), len(predictions)), False)
            os.fsync(file.fileno())
    except FixbugError as error:
        trouble = error
    except OSError as error:
        trouble = FixbugError(
            f"{error.filename or path} cannot be written: {error.strerror or error}",
            cure="free some disk, or give another folder with --out; what was graded is kept",
        )
    whole = [
        found.get((one.instance_id, one.patch)) or Graded(one, "pending", error=trouble)
        for one in predictions
    ]
    return tuple(whole), trouble


def _line(one: Graded, number: int, total: int) -> str:
    head = f"[{number}/{total}] {one.prediction.instance_id} {one.prediction.digest[:8]}"
    if one.status == "pending":
        return f"{head} not graded"
    if one.grade is None:
        return f"{head} NOT GRADED: {one.error.problem.splitlines()[0] if one.error else ''}"
    said = {True: "resolved", False: "not resolved"}
    both = said[one.official]
    if one.official != one.hardened:
        both += f" (hardened: {said[one.hardened]})"
    how = "known" if one.known else f"{one.grade['seconds']:.1f} s"
    return f"{head} {both}, {how}"


def _compared(found: Scored, rows: Mapping[str, Mapping[str, Any]], say: Say) -> Scored:
    request = found.request
    candidates = [
        Candidate(one.prediction, one.image, one.logs.name)
        for one in found.graded
        if one.status == "graded" and one.image and one.logs
    ]
    say(f"swebench's own run_evaluation, on {len(candidates)} patches", False)
    verdicts, seconds = run_official(
        rows, candidates, request.folder / "official", workers=request.workers, timeout=request.timeout
    )
    asked = {(one.prediction.instance_id, one.prediction.digest): verdicts[one.key] for one in candidates}
    return Scored(
        request, found.proposed, found.graded, found.seconds, found.trouble, asked, round(seconds, 3)
    )
