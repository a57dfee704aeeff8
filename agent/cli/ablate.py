"""``fixbug ablate``: finished runs, or arms that are run now, compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from agent.cli import options as o
from agent.cli.request import given, names, request_of
from agent.errors import UsageError


def ablate(
    context: typer.Context,
    finished: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]RUN…",
            help="Finished runs: run folders, files of candidates with labels, or SWE-bench's reports. "
            "The first is what the others are compared with.",
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(metavar="DATASET", help="Run the arms on this: a folder of plain tasks, or a dataset."),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:FIELD=VALUE,…",
            help="An arm to run, and what it does differently, such as oracle:world_model=oracle. With a "
            "finished batch: on its instances, with its settings.",
        ),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(metavar="FIELD=VALUE,…", help="What every arm has, such as world_model=none."),
    ] = None,
    attempts: Annotated[
        int, typer.Option(min=1, help="Attempts at each instance, with seeds that count up.")
    ] = 1,
    instances: o.Instances = None,
    filter: o.Filter = None,
    sample: o.Sample = None,
    model: o.ModelName = None,
    base_url: o.BaseUrl = None,
    sandbox: o.Sandbox = o.SandboxName.auto,
    budget_seconds: o.BudgetSeconds = None,
    run_dir: o.RunDir = Path("runs/ablation"),
    workers: Annotated[int, typer.Option(min=1, help="Attempts at once.")] = 4,
    seed: Annotated[int, typer.Option(help="Seed of the attempts and of the resampling.")] = 0,
    json: o.AsJson = False,
) -> None:
    """Up because of what? Compare runs that differ in one thing, instance by instance.

    Paired differences with bootstrap intervals, McNemar's exact test, who won and lost which instances, what
    it cost, and how many instances would show a difference of that size. Nothing is called a gain while the
    interval holds zero.

    **Examples**

    - `fixbug ablate without=runs/A with=runs/B`
    - `fixbug ablate --on my-bugs/ --model NAME --arm none:world_model=none --arm chat:world_model=chat`
    - `fixbug ablate chat=runs/bench-my-bugs-3f2a91bc --arm sighted:blind=false --arm once:runs=1`

    **Exit status**: 0 the arms are compared, 2 wrong usage, 3 attempts of an arm are left.
    """
    if bool(finished) == bool(on):
        raise _usage("expected either finished runs, or --on DATASET with arms")
    arms, complete = list(finished or []), True
    if on or arm:
        made, complete = _run(context, arms)
        arms += made
    _compare(arms, seed=seed, json=json)
    raise typer.Exit(0 if complete else 3)


_OF_THE_FIRST = ("instances", "filter", "sample", "attempts", "model", "sandbox", "budget_seconds")
"""What arms beside a finished batch have from it."""


def _run(context: typer.Context, finished: Sequence[str]) -> tuple[list[str], bool]:
    """Run the arms; how ``_compare`` takes them, and whether every attempt has ended."""
    from agent.errors import FixbugError
    from agent.report.board import Board
    from agent.scale.ablate import place_of
    from agent.scale.arms import like_the_first, parse_arm, run_arms
    from agent.scale.batch.asked import BenchRequest

    options = context.params
    specs = [parse_arm(text) for text in options["arm"] or ()]
    if len(specs) + len(finished) < 2:
        raise UsageError(
            "expected two arms or more, each with a name of its own",
            cure="e.g. --arm none:world_model=none --arm oracle:world_model=oracle",
        )
    every = parse_arm(f"every:{options['every'] or ''}").changes
    asked = BenchRequest(
        dataset=options["on"] or "",
        base=request_of(context, issue="", **every),
        attempts=options["attempts"],
        instances=names(options["instances"]),
        pattern=options["filter"],
        sample=options["sample"],
        workers=options["workers"],
    )
    if finished:
        for name in sorted(given(context).keys() & set(_OF_THE_FIRST)):
            raise _usage(f"--{name.replace('_', '-')} is that of the first run: it cannot be another")
        first = like_the_first(place_of(finished[0])[1], asked)
        asked = replace(first, base=replace(first.base, **every))
    done = run_arms(specs, asked, Board)
    if done[-1].stopped:
        raise done[-1].trouble or FixbugError(
            f"the arm {specs[len(done) - 1].name} is not done: {done[-1].stopped}",
            cure="the same command goes on with it",
        )
    return [f"{spec.name}={one.folder}" for spec, one in zip(specs, done, strict=True)], all(
        one.complete for one in done
    )


def _compare(runs: Sequence[str], *, seed: int, json: bool) -> None:
    from json import dumps

    from rich.console import Console

    from agent.report.ablation import show_ablation
    from agent.scale.ablate import ablate, read_arm

    found = ablate([read_arm(run) for run in runs], seed=seed)
    if json:
        print(dumps(found.to_json(), indent=1, default=str))
    else:
        show_ablation(found, Console())


def _usage(problem: str) -> UsageError:
    return UsageError(problem, cure="fixbug ablate --help shows what there is")
