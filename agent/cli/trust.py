"""``fixbug trust``: where a model's simulations can be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.cli import options as o
from agent.errors import UsageError


def trust(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Runs, or folders of runs. Default: ./runs.", metavar="[RUNS]..."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw it into a .svg or .png (extra: plots).")
    ] = None,
    json: o.AsJson = False,
) -> None:
    """Show where a model's simulations can be believed, and where never.

    What was predicted in earlier runs is counted beside what happened then, by kind of code: how often
    a predicted failure or fix came true, how many were foreseen, and how well trust was calibrated.

    **Example**: `fixbug trust runs --plot trust.svg`
    """
    from json import dumps

    from rich.console import Console

    from agent.report.trust import gathered, show_trust
    from agent.report.trust_plot import check_plot
    from agent.report.trust_plot import plot as draw
    from agent.world.calibration.ledger import read_ledger
    from agent.world.calibration.standing import standing

    for folder in runs or ():
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder", cure="name runs, or a folder of runs")
    if plot:
        check_plot(plot)
    ledger = read_ledger(runs or [Path("runs")])
    standings = [
        standing(name, [entry for entry in ledger.entries if entry.simulator == name])
        for name in ledger.simulators
    ]
    if plot:
        draw(standings, plot)
    if json:
        print(dumps(gathered(ledger, standings), indent=2))
    else:
        show_trust(ledger, standings, Console())
