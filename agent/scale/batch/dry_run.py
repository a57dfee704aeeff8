"""What ``fixbug bench --dry-run`` says: what would run, and what it takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.errors import EngineError
from agent.llm.settings import load_settings
from agent.request import is_live
from agent.scale.batch.asked import BenchRequest, run_folder
from agent.scale.batch.jobs import Instance, jobs_of
from agent.scale.batch.store import RunStore, summary_of

__all__ = ["plan_of"]


def plan_of(request: BenchRequest) -> dict[str, Any]:
    """What ``--dry-run`` says: what would run, which images are missing, and what it may cost.

    The price is that of the attempts in ``run_dir`` with the same model, else at most the budget's.
    """
    request = request.settled()
    instances = request.selected()
    folder = run_folder(request, instances)
    store = RunStore(folder, {})
    left = [
        job for job in jobs_of(instances, request.attempts) if not store.done(job.instance_id, job.attempt)
    ]
    ids = {job.instance_id for job in left}
    images = _images([one for one in instances if one.instance_id in ids])
    past = _past(Path(request.base.run_dir), request.base.model)
    priced = [usd for one in past if (usd := _usd(one)) is not None]
    most = request.base.budget_usd
    return {
        "run": str(folder),
        "instances": [one.instance_id for one in instances],
        "attempts": len(instances) * request.attempts,
        "done": len(instances) * request.attempts - len(left),
        "left": len(left),
        "workers": request.workers,
        **images,
        "asks_a_model": request.record is None and (is_live(request.base) or bool(request.base.sim_model)),
        "past_attempts": len(past),
        "estimated_usd": sum(priced) / len(priced) * len(left) if priced else None,
        "estimated_tokens": round(sum(one["tokens"] for one in past) / len(past) * len(left))
        if past
        else None,
        "estimated_seconds": (
            sum(one["seconds"] for one in past) / len(past) * len(left) / request.workers if past else None
        ),
        "at_most_usd": None if most is None else most * len(left),
    }


def _images(instances: Sequence[Instance]) -> dict[str, Any]:
    """How many images there are, and what the missing ones take on disk: 0.1 to 1 GB each, by experience."""
    from sandbox.docker import connect
    from sandbox.layers import present
    from sandbox.rows import can_be_built, row_image

    rows = [one.row for one in instances if one.row is not None]
    if not rows:
        return {"images_needed": 0, "images_missing": []}
    try:
        client = connect(timeout=10)
    except EngineError as error:
        return {"images_needed": len(rows), "images_missing": None, "engine": error.problem}
    try:
        missing = [
            str(row["instance_id"])
            for row in rows
            if not present(client, str(row.get("image")))
            and not (can_be_built(row) and present(client, row_image(row)))
        ]
    finally:
        client.close()
    return {
        "images_needed": len(rows),
        "images_missing": missing,
        "disk_gb": [0.1 * len(missing), len(missing)],
    }


def _usd(one: Mapping[str, Any]) -> float | None:
    """What an attempt has cost; where that is unknown, what its tokens cost by the prices that are set."""
    settings = load_settings()
    if one["usd"] is not None or settings.price_input is None or settings.price_output is None:
        return float(one["usd"]) if one["usd"] is not None else None
    asked, written = one["prompt_tokens"], one["completion_tokens"]
    return float(asked * settings.price_input + written * settings.price_output) / 1e6


def _past(runs: Path, model: str | None) -> list[dict[str, Any]]:
    """Summaries of ended attempts by the same model, in all runs. A replay's turns cost nothing."""
    found = []
    for path in sorted(runs.glob("*/run.json")):
        try:
            run = json.loads(path.read_text("utf-8"))
            asked = run.get("asked", run)  # a batch, or a run of one attempt
            replayed = asked.get("record") or asked["request"].get("session")
            same = asked["request"]["model"] == model and not replayed
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if same:
            found += [summary_of(attempt) for attempt in sorted(path.parent.glob("*/*/attempt.json"))]
    return [one for one in found if one is not None]
