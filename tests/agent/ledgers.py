"""Run folders with predictions and what they came to, as an attempt leaves them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SIMULATOR = "chat:scripted"


def write_attempt(
    runs: Path,
    number: int,
    rounds: Sequence[tuple[str, str]],
    *,
    kinds: Sequence[str] = ("strings",),
    simulator: str = SIMULATOR,
    **basis: Any,
) -> Path:
    """An attempt of instance ``task-<number % 10>``; ``rounds``: predicted and observed, "" for not run."""
    folder = runs / f"20260101-000000-{number:04}" / f"task-{number % 10}" / "1"
    folder.mkdir(parents=True)
    predicted, observed = [], []
    for round_, (said, came) in enumerate(rounds, 1):
        predicted.append({"v": 1, "round": round_, "sample": 1, "trace": '"verdict": no', "raw": ""})
        verdict = {"value": said, "reasons": []}
        about = {"blind": True, "kinds": list(kinds), "simulator": simulator, **basis}
        predicted.append({"v": 1, "round": round_, "verdict": verdict, **about})
        if came:
            observed.append({"v": 1, "round": round_, "verdict": {"value": came}, "trace": ""})
    for name, rows in (("predicted", predicted), ("observed", observed)):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    outcome = {"instance_id": f"task-{number % 10}", "predicted": {"simulator": simulator}}
    (folder / "attempt.json").write_text(json.dumps(outcome), encoding="utf-8")
    return folder
