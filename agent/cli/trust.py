"""Print where a model's simulations can be believed."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from agent.errors import UsageError
from agent.report.trust import gathered, show_trust
from agent.report.trust_plot import check_plot, plot
from agent.world.ledger import read_ledger
from agent.world.standing import standing


def trust(runs: Sequence[Path], *, picture: Path | None, json: bool) -> None:
    """The record in the folders ``runs``, for each simulator that is found there."""
    for folder in runs:
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder", cure="name runs, or a folder of runs")
    if picture:
        check_plot(picture)
    ledger = read_ledger(runs or [Path("runs")])
    standings = [
        standing(name, [entry for entry in ledger.entries if entry.simulator == name])
        for name in ledger.simulators
    ]
    if picture:
        plot(standings, picture)
    if json:
        print(jsonlib.dumps(gathered(ledger, standings), indent=2))
    else:
        show_trust(ledger, standings, Console())
