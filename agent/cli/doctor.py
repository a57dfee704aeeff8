"""Print what ``agent.doctor`` finds."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from agent.doctor import examine
from agent.errors import FixbugError

MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "missing": ("✗", "red")}


def doctor(*, model: str | None, base_url: str | None, run_dir: Path, json: bool) -> None:
    """One line a check. Exit status 3 when something is missing (not every task needs all of it)."""
    console = Console()
    checks = []
    for check in examine(model, base_url, run_dir):
        checks.append(check)
        if not json:
            mark, colour = MARKS[check.state]
            line = Text.assemble((mark, colour), f" {check.name:<9} {check.found}")
            console.print(line, soft_wrap=True)
            if check.cure:
                console.print(Text(f"            → {check.cure}", style="dim"), soft_wrap=True)
    status = FixbugError.exit_status if any(check.state == "missing" for check in checks) else 0
    if json:
        print(jsonlib.dumps({"exit_status": status, "checks": [asdict(check) for check in checks]}, indent=2))
    raise typer.Exit(status)
