"""Print a sweep: progress on standard error, the table on standard output, files where asked."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console

from agent.errors import UsageError
from agent.report.progress import Lines
from agent.report.scaling import show_plan, show_sweep
from agent.scale.plan import parse_spending, plan
from agent.scale.study import SweepRequest, run_sweep, write_choices


def numbers(text: str | None, option: str) -> tuple[int, ...]:
    """``1,2,4``; empty where nothing was given. Raises ``UsageError``."""
    try:
        found = tuple(int(part) for part in (text or "").split(",") if part.strip())
    except ValueError:
        found = ()
    if text is not None and not found:
        raise UsageError(f"expected whole numbers in {option}, got {text!r}", cure=f"e.g. {option} 1,2,4,8")
    return tuple(sorted(set(found)))


def names(text: str | None) -> tuple[str, ...]:
    """``a,b``; empty where nothing was given."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def sweep(
    request: SweepRequest, *, spend_plan: bool, budget: str | None, out: Path | None, plot: bool, json: bool
) -> None:
    """Run it and show it."""
    if spend_plan != (budget is not None):
        raise UsageError(
            "--spend-plan and --budget go together", cure="e.g. --spend-plan --budget 0.50usd (or 600s)"
        )
    spending = parse_spending(budget) if budget else None
    with Lines() as lines:
        candidates, found = run_sweep(request, lines)
    planned = plan(found, spending) if spending else None
    written = write_choices(candidates, found, out) if out else []
    if out and plot:
        from agent.report.curves import draw

        written += draw(found, out / "sweep")
    if json:
        whole = found.to_json() | {"plan": asdict(planned) if planned else None}
        print(jsonlib.dumps(whole | {"files": [str(path) for path in written]}, indent=1))
        raise typer.Exit(0)
    console = Console()
    show_sweep(found, console)
    if planned:
        show_plan(planned, console)
    for path in written:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
