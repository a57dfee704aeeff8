"""Score predictions: progress on standard error, the outcome on standard output."""

from __future__ import annotations

import json as jsonlib

import typer
from rich.console import Console

from agent.report.progress import Lines
from agent.report.scored import show_scored
from agent.scale.scored import ScoreRequest
from agent.scale.scored import score as run


def score(request: ScoreRequest, *, json: bool) -> None:
    """Exit status 0 where every prediction was graded, else 3."""
    with Lines() as lines:
        found = run(request, lines)
    if json:
        print(jsonlib.dumps(found.to_json(), indent=1))
    else:
        show_scored(found, Console())
        if found.trouble is not None:
            raise found.trouble
    raise typer.Exit(0 if found.complete else 3)
