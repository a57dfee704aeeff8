"""Print an ablation."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence

from rich.console import Console

from agent.report.ablation import show_ablation
from agent.scale.ablate import ablate as compare
from agent.scale.ablate import read_arm


def ablate(runs: Sequence[str], *, seed: int, json: bool) -> None:
    """Compare finished runs."""
    found = compare([read_arm(run) for run in runs], seed=seed)
    if json:
        print(jsonlib.dumps(found.to_json(), indent=1, default=str))
    else:
        show_ablation(found, Console())
