"""What follows from the attempts of a run: predictions and results (``submission.py``: for the leaderboard).

::

    predictions.jsonl         SWE-bench's format, first attempts (predictions-2.jsonl, … further ones)
    results.json              counts, intervals, costs; by repository and by cause; every attempt in a line

They are written anew from the attempts each time, one attempt in memory at once.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from agent.errors import FixbugError
from agent.record import write_atomically
from agent.scale.batch.jobs import Instance
from agent.scale.batch.store import RunStore
from agent.scale.estimators import pass_at_k, wilson

__all__ = ["Results", "cause", "is_resolved", "write_results"]


@dataclass(frozen=True)
class Results:
    """``data``: what results.json holds. ``attempts``: one summary each, as ``summary_of`` gives."""

    data: Mapping[str, Any]
    attempts: tuple[Mapping[str, Any], ...]


def is_resolved(summary: Mapping[str, Any]) -> bool:
    """By hidden tests where there are some, else by the visible ones."""
    if summary["resolved"] is None:
        return bool(summary["status"] == "verified")
    return bool(summary["resolved"])


def cause(summary: Mapping[str, Any]) -> str:
    """Why an attempt ended as it did, in a few words that many share."""
    if is_resolved(summary):
        return "resolved"
    if summary["ended"].startswith("budget"):
        return str(summary["ended"])
    return {"no_patch": "no patch", "unverified": "nothing to judge it by"}.get(
        summary["status"], "its tests fail"
    )


def write_results(
    store: RunStore,
    attempts: int,
    instances: Sequence[Instance],
    failures: Mapping[str, FixbugError],
    model: str,
) -> Results:
    """Write ``predictions*.jsonl`` and ``results.json`` into the run's folder."""
    known = {one.instance_id for one in instances}
    found: list[Mapping[str, Any]] = []
    for number in range(1, attempts + 1):
        name = "predictions.jsonl" if number == 1 else f"predictions-{number}.jsonl"
        with _atomically(store.folder / name) as file:
            for outcome in store.outcomes(number):
                if outcome["instance_id"] not in known:
                    continue
                row = {
                    "instance_id": outcome["instance_id"],
                    "model_name_or_path": f"fixbug-{model}",
                    "model_patch": outcome["patch"],
                }
                file.write(json.dumps(row) + "\n")
        for one in instances:
            if (summary := store.summary(one.instance_id, number)) is not None:
                found.append({**summary, "cause": cause(summary), "repo": _repo(one)})
    for stale in store.folder.glob("predictions-*.jsonl"):  # of a time when more attempts were asked for
        if int(stale.stem.rpartition("-")[2]) > attempts:
            stale.unlink(missing_ok=True)
    data = _data(found, attempts, instances, failures)
    write_atomically(store.folder / "results.json", json.dumps(data, indent=1) + "\n")
    return Results(data, tuple(found))


def _data(
    found: Sequence[Mapping[str, Any]],
    attempts: int,
    instances: Sequence[Instance],
    failures: Mapping[str, FixbugError],
) -> dict[str, Any]:
    resolved: dict[str, list[bool]] = {}
    for summary in found:
        resolved.setdefault(summary["instance_id"], []).append(is_resolved(summary))
    repos: dict[str, list[bool]] = {}
    for summary in found:
        repos.setdefault(summary["repo"], []).append(is_resolved(summary))
    whole = {name: marks for name, marks in resolved.items() if len(marks) == attempts}
    return {
        "schema": 1,
        "instances": len(instances),
        "attempts": len(instances) * attempts,
        "ended": len(found),
        "resolved": sum(sum(marks) for marks in resolved.values()),
        "rate": _rate([mark for marks in resolved.values() for mark in marks]),
        "hardened": sum(summary["hardened"] is True for summary in found),
        "pass_at": {
            str(k): sum(pass_at_k(attempts, sum(marks), k) for marks in whole.values()) / len(whole)
            for k in range(1, attempts + 1)
            if whole
        },
        "resolved_ids": sorted(name for name, marks in resolved.items() if any(marks)),
        "unresolved_ids": sorted(name for name, marks in resolved.items() if not any(marks)),
        "causes": dict(Counter(str(summary["cause"]) for summary in found).most_common()),
        "repositories": {name: _rate(marks) for name, marks in sorted(repos.items())},
        "cost": _cost(found),
        **_against_record(found),
        "failures": {
            name: {"type": type(error).__name__, "problem": error.problem, "cure": error.cure}
            for name, error in sorted(failures.items())
        },
        "by_attempt": [dict(summary) for summary in found],
    }


def _rate(marks: Sequence[bool]) -> dict[str, Any]:
    """Share with Wilson's 95 % interval."""
    if not marks:
        return {"n": 0, "resolved": 0, "rate": None, "low": None, "high": None}
    interval = wilson(sum(marks), len(marks))
    return {
        "n": len(marks),
        "resolved": sum(marks),
        "rate": interval.point,
        "low": interval.low,
        "high": interval.high,
    }


def _cost(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums; ``usd`` is "unknown" where any attempt's is."""
    unknown = any(summary["usd"] is None for summary in found)
    return {
        "tokens": sum(summary["tokens"] for summary in found),
        "usd": "unknown" if unknown else sum(summary["usd"] for summary in found),
        "seconds": sum(summary["seconds"] for summary in found),
        "container_seconds": sum(summary["container_seconds"] for summary in found),
    }


def _against_record(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of a run that was made again: which attempts gave another patch or another score than on record."""
    records = {f"{one['instance_id']}/{one['attempt']}": one["record"] for one in found if one["record"]}
    if not records:
        return {}
    return {
        "record": {
            "attempts": len(records),
            "other_patch": [name for name, record in records.items() if record["same_patch"] is False],
            "other_score": [name for name, record in records.items() if record["same_score"] is False],
        }
    }


def _repo(one: Instance) -> str:
    return str(one.row["repo"]) if one.row is not None and one.row.get("repo") else "plain tasks"


@contextmanager
def _atomically(path: Path) -> Iterator[IO[str]]:
    """A file that gets its name once it is whole."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise FixbugError(
            f"{path} cannot be written: {error.strerror}",
            cure="free some disk, and give the same command again: the attempts are kept",
        ) from error
