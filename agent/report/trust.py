"""``fixbug trust``: a model's record in the terminal, as tables and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.report.terminal import printable
from agent.world.calibration.ledger import Ledger
from agent.world.calibration.standing import Bin, Share, Standing
from agent.world.trust import EXAMPLES, shipped_examples

WIDTH = 30
MAX_SKIPPED = 20


def gathered(ledger: Ledger, standings: Sequence[Standing]) -> dict[str, Any]:
    """The object that ``--json`` prints."""
    return {
        "attempts_skipped": [{"folder": folder, "why": why} for folder, why in ledger.skipped],
        "simulators": [standing.to_json() for standing in standings],
        "prior": shipped_examples(),
    }


def show_trust(ledger: Ledger, standings: Sequence[Standing], console: Console) -> None:
    """The record of each simulator; the shipped prior where there is none."""
    for folder, why in ledger.skipped[:MAX_SKIPPED]:
        console.print(Text(printable(f"skipped: {folder}: {why}"), style="yellow"), soft_wrap=True)
    if len(ledger.skipped) > MAX_SKIPPED:
        console.print(Text(f"and {len(ledger.skipped) - MAX_SKIPPED} more", style="yellow"))
    for standing in standings:
        _show(standing, console)
    if not standings:
        console.print("No predictions with a known outcome yet: trust rests on the shipped prior.")
        console.print(_prior())


def _show(standing: Standing, console: Console) -> None:
    left_out = f"; {standing.not_blind} not blind, left out" if standing.not_blind else ""
    told, tasks = _number(standing.count, "prediction"), _number(standing.instances, "task")
    head = f"{standing.simulator}: {told} on {tasks}"
    console.print(Text(printable(head + left_out), style="bold"))
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    table.add_column("\ncode with", no_wrap=True)
    for title in ("\ntold", "un-\nknown"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("broken\ncame true", "failures\nforeseen", "holds\ncame true", "fixes\nforeseen"):
        table.add_column(title, no_wrap=True)
    for on in standing.kinds:
        shares = (on.precision_broken, on.recall_broken, on.precision_holds, on.recall_holds)
        table.add_row(
            printable(on.kind) + (" *" if on.earned.allowed else ""),
            str(on.count - on.abstained),
            str(on.abstained),
            *map(_cell, shares),
        )
    console.print(table)
    if any(on.earned.allowed for on in standing.kinds):
        console.print(
            "* with --gate earned a predicted failure on such code alone is not run", highlight=False
        )
    if standing.bins:
        console.print(_picture(standing.bins))
        console.print(f"calibration error: {standing.error:.3f}", highlight=False)
    said = (
        f"The first thing to stop spending compute on: {standing.believe}.",
        f"The first thing never to trust it on: {standing.never}.",
    )
    for sentence in said:
        console.print(Text(printable(sentence)), soft_wrap=True)
    console.print()


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _cell(share: Share) -> str:
    """The counts, and below them the interval."""
    if not share.count:
        return "-"
    low, high = share.interval
    return f"{share.hits}/{share.count}\n{low:.2f}-{high:.2f}"


def _share(share: Share) -> str:
    low, high = share.interval
    return f"{share.hits}/{share.count} ({low:.2f} to {high:.2f})"


def _picture(bins: Sequence[Bin]) -> Table:
    """Reliability: what came true, as a bar, with a mark where trust said that it would end."""
    table = Table(
        box=None, title="what trust said, and what came true (│: what it said)", title_justify="left"
    )
    for column in ("trust", "came true", "", ""):
        table.add_column(column)
    for one in bins:
        share = one.right.hits / one.right.count
        bar = ["█" if cell < round(share * WIDTH) else "·" for cell in range(WIDTH)]
        bar[min(WIDTH - 1, int(one.mean * WIDTH))] = "│"
        table.add_row(f"{one.low:.1f} to {one.high:.1f}", f"{share:.2f}", "".join(bar), _share(one.right))
    return table


def _prior() -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, title="how likely a prediction is right, by the prior", title_justify="left"
    )
    table.add_column("code with")
    for given in EXAMPLES:
        table.add_column(given, justify="right")
    for kind, row in shipped_examples().items():
        table.add_row(kind, *(f"{value:.2f}" for value in row.values()))
    return table
