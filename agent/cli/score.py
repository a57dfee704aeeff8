"""``fixbug score``: predictions, graded. Progress on standard error, the outcome on standard output."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.cli import options as o
from agent.cli.request import names


def score(
    dataset: Annotated[
        str,
        typer.Argument(help="verified, lite, full, a hub name, or a .json(l), .jsonl.gz or .parquet file."),
    ],
    predictions: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="What was proposed: .json (a list, or an object by instance) or .jsonl(.gz), with "
            "instance_id and model_patch (or patch); several for one instance are fine. "
            "gold: the dataset's own patches.",
        ),
    ],
    workers: Annotated[
        int | None, typer.Option(min=1, help="How many at a time. Default: one a processor, at most 8.")
    ] = None,
    instances: o.Instances = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that one run of the tests may take.")] = 1800,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where score.json goes. Default: runs/score-NAME.")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Grades kept across runs. Default: ~/.cache/fixbug/grades."),
    ] = None,
    official: Annotated[
        bool, typer.Option("--official", help="Run swebench's own evaluation too, unchanged, and compare.")
    ] = False,
    json: o.AsJson = False,
) -> None:
    """Grade SWE-bench predictions by hidden tests: swebench's own verdict, and a hardened one beside it.

    Each distinct patch is graded once, in fresh containers, and never again: the same command goes on
    where it was stopped. What fails for reasons that are not the patch's is tried again, then listed.

    **Example**: `fixbug score verified --predictions preds.json --workers 4`

    **Exit status**: 0 every prediction was graded, 2 wrong usage, 3 some could not be.
    """
    from json import dumps

    from rich.console import Console

    from agent.report.progress import Lines
    from agent.report.scored import show_scored
    from agent.scale.scoring.grading import default_workers
    from agent.scale.scoring.scored import ScoreRequest
    from agent.scale.scoring.scored import score as run

    request = ScoreRequest(
        dataset, predictions, workers or default_workers(), names(instances), out, cache, timeout, official
    )
    with Lines() as lines:
        found = run(request, lines)
    if json:
        print(dumps(found.to_json(), indent=1))
    else:
        show_scored(found, Console())
        if found.trouble is not None:
            raise found.trouble
    raise typer.Exit(0 if found.complete else 3)
