"""``fixbug bench``: the board on standard error, the table (or one JSON object) on standard output."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli import options as o
from agent.cli.request import given, names, request_of
from agent.errors import UsageError

if TYPE_CHECKING:
    from agent.scale.batch.asked import BenchRequest
    from agent.scale.batch.executors import Executor

_RUN = "The batch"
_WITH_RESUME = (
    "resume", "attempts", "workers", "executor", "ray_cpus", "ray_resource", "fail_fast", "dry_run",
    "submission", "run_usd", "run_tokens", "run_seconds", "model", "base_url", "sim_model", "sim_base_url",
    "json",
)  # fmt: skip
"""What may be given beside --resume. A model is compared with the one that was asked."""
_SPELT = {"cut": "slice"}


def bench(
    context: typer.Context,
    dataset: Annotated[
        str | None,
        typer.Argument(
            help="verified, lite, full, a hub name, a .json, .jsonl(.gz) or .parquet file, or a folder of "
            "plain tasks (docs/batch.md)."
        ),
    ] = None,
    instances: o.Instances = None,
    filter: o.Filter = None,
    cut: Annotated[
        str | None,
        typer.Option("--slice", metavar="A:B", help="A slice of them, such as 0:50 or ::10."),
    ] = None,
    sample: o.Sample = None,
    exclude: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Not these instances: ids, one a line.")
    ] = None,
    attempts: Annotated[
        int, typer.Option(min=1, help="Attempts at each instance, with seeds that count up.")
    ] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Attempts at once.", rich_help_panel=_RUN)] = 4,
    executor: Annotated[
        o.ExecutorName,
        typer.Option(help="threads of this process, or tasks of a Ray cluster.", rich_help_panel=_RUN),
    ] = o.ExecutorName.threads,
    ray_cpus: Annotated[
        float, typer.Option(min=0, help="Processors of a node that an attempt takes.", rich_help_panel=_RUN)
    ] = 1.0,
    ray_resource: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A custom resource of the nodes that may do attempts; each takes one unit of it.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    run_id: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The run's folder below --run-dir. (default: made from what is asked, so that the same "
            "command goes on)",
            rich_help_panel=_RUN,
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Go on with this run, as it was asked.", rich_help_panel=_RUN),
    ] = None,
    fail_fast: Annotated[
        bool,
        typer.Option(
            "--fail-fast", help="Stop at the first attempt that cannot be made.", rich_help_panel=_RUN
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would run, and what it takes.", rich_help_panel=_RUN),
    ] = False,
    submission: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Write files for the SWE-bench leaderboard too.", rich_help_panel=_RUN
        ),
    ] = None,
    model: o.ModelName = None,
    base_url: o.BaseUrl = None,
    protocol: o.Protocol = None,
    world_model: o.WorldModel = None,
    sim_model: o.SimModel = None,
    sim_base_url: o.SimUrl = None,
    tokenizer: o.TokenizerPath = None,
    repair: o.Repair = False,
    runs: o.Runs = 2,
    samples: o.Samples = 2,
    gate: o.Gate = o.GateName.advisory,
    max_rounds: o.MaxRounds = 3,
    seed: Annotated[
        int,
        typer.Option(help="Of the sample, and of first attempts; it is sent with the model's turns."),
    ] = 0,
    temperature: o.Temperature = None,
    sandbox: o.Sandbox = o.SandboxName.auto,
    image: o.Image = None,
    network: o.Network = False,
    budget_usd: o.BudgetUsd = None,
    budget_tokens: o.BudgetTokens = None,
    budget_steps: o.BudgetSteps = None,
    budget_seconds: o.BudgetSeconds = None,
    run_usd: Annotated[
        float | None,
        typer.Option(
            min=0, help="Begin no attempt once the run has used so many US dollars.", rich_help_panel=_RUN
        ),
    ] = None,
    run_tokens: Annotated[
        int | None, typer.Option(min=1, help="The same for tokens.", rich_help_panel=_RUN)
    ] = None,
    run_seconds: Annotated[
        float | None, typer.Option(min=1, help="The same for seconds.", rich_help_panel=_RUN)
    ] = None,
    run_dir: o.RunDir = Path("runs"),
    blind: o.Blind = True,
    feedback: o.Feedback = o.FeedbackName.full,
    prompt: o.Prompt = "plain",
    json: o.AsJson = False,
) -> None:
    """Attempt many bugs: SWE-bench, or a folder of your own. Resumable; nothing is run twice.

    Ctrl-C lets what runs end and begins nothing more; the second one stops at once. The same command, or
    --resume, goes on with what is left.

    **Examples**

    - `fixbug bench verified --model NAME --workers 8 --sample 50 --dry-run`
    - `fixbug bench my-bugs/ --model offline`
    - `fixbug bench --resume runs/bench-verified-name-3f2a91bc`

    **Exit status**: 0 the batch is complete, 2 wrong usage, 3 attempts are left.
    """
    from agent.scale.batch.asked import BenchRequest, ids_in, resumed

    if (dataset is None) == (resume is None):
        raise UsageError(
            "expected a DATASET, or --resume RUN", cure="fixbug bench --help shows what there is"
        )
    request = BenchRequest(
        dataset=dataset or "",
        base=request_of(context, issue=""),
        attempts=attempts,
        instances=names(instances),
        pattern=filter,
        exclude=ids_in(exclude),
        cut=cut,
        sample=sample,
        workers=workers,
        run_id=run_id,
        run_usd=run_usd,
        run_tokens=run_tokens,
        run_seconds=run_seconds,
        fail_fast=fail_fast,
    )
    if resume is not None:
        said = given(context)
        for name in sorted(said.keys() - {*_WITH_RESUME}):
            raise UsageError(
                f"--{_SPELT.get(name, name).replace('_', '-')} cannot be changed: --resume goes on with what "
                "was asked",
                cure="give it to a run of its own, without --resume",
            )
        request = resumed(resume, request)
        request = replace(request, attempts=said.get("attempts", request.attempts))
    chosen = _executor(executor, workers, ray_cpus, ray_resource)
    _run(request, chosen, dry_run=dry_run, submission=submission, json=json)


def replay_batch(folder: Path, *, sandbox: str, workers: int, run_dir: Path, json: bool) -> None:
    """Make every attempt of a finished run again, from its record."""
    from agent.request import Request
    from agent.scale.batch.asked import BenchRequest, replayed
    from agent.scale.batch.executors import Threads

    base = Request(issue="", sandbox=sandbox, run_dir=str(run_dir))
    request = replayed(folder, BenchRequest(dataset="", base=base, workers=workers))
    _run(request, Threads(workers), dry_run=False, submission=None, json=json)


def _executor(name: o.ExecutorName, workers: int, cpus: float, resource: str | None) -> Executor:
    if name is o.ExecutorName.threads:
        from agent.scale.batch.executors import Threads

        return Threads(workers)
    from agent.scale.batch.ray_executor import Ray

    return Ray(workers, cpus, resource)


def _run(
    request: BenchRequest, executor: Executor, *, dry_run: bool, submission: str | None, json: bool
) -> None:
    from json import dumps

    from rich.console import Console

    from agent.report.batch import show_batch, show_plan
    from agent.report.board import Board
    from agent.scale.batch.bench import bench
    from agent.scale.batch.dry_run import plan_of

    if dry_run:
        plan = plan_of(request)
        if json:
            print(dumps(plan, indent=1))
        else:
            show_plan(plan, Console())
        return
    with Board() as board:
        found = bench(request, board, executor=executor, submission=submission)
    if json:
        print(dumps(found.to_json(), indent=1))
    else:
        show_batch(found, Console())
        if found.trouble is not None:
            raise found.trouble
    raise typer.Exit(0 if found.complete else found.trouble.exit_status if found.trouble else 3)
