"""One attempt of a batch: what it needs, in a form that can travel to another machine, and how it is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import IntakeError
from agent.events import Listener, Progress, silent
from agent.fix import attempt, budget_for
from agent.intake import check_row, load_rows, load_task, task_for_row
from agent.record import AttemptRecord, folder_name
from agent.request import Request
from agent.scale.batch.selection import select
from agent.scale.batch.tasks import is_task_folder, read_tasks
from agent.workspace import workspace

if TYPE_CHECKING:
    from agent.llm.budget import Budget
    from agent.world.calibration.ledger import Ledger

__all__ = ["Instance", "Job", "instances_of", "jobs_of", "perform"]


@dataclass(frozen=True)
class Instance:
    """One bug of a dataset. ``row``: of SWE-bench; None for a plain task, which ``request`` names."""

    instance_id: str
    request: Request
    row: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Job:
    """Attempt number ``attempt`` (from 1) at an instance; its seed is in ``request``."""

    instance_id: str
    attempt: int
    request: Request
    row: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        return f"{self.instance_id}/{self.attempt}"


def instances_of(
    dataset: str,
    base: Request,
    *,
    instances: Sequence[str] = (),
    pattern: str | None = None,
    exclude: Sequence[str] = (),
    cut: str | None = None,
    sample: int | None = None,
    seed: int = 0,
) -> list[Instance]:
    """What ``select`` leaves of ``dataset``: a folder of plain tasks, or what ``load_rows`` takes."""
    made: dict[str, Instance] = {}
    if is_task_folder(Path(dataset)):
        for task in read_tasks(Path(dataset)):
            request = replace(
                base,
                issue=str(task.issue),
                repo=str(task.repository),
                tests=task.tests,
                hidden_tests=str(task.hidden) if task.hidden else None,
            )
            made[task.instance_id] = Instance(task.instance_id, request)
    else:
        for row in load_rows(dataset):
            name = str(row.get("instance_id"))
            if name in made and made[name].row != row:
                raise IntakeError(f"two different rows have the id {name}", cure="keep one of them")
            made[name] = Instance(name, replace(base, issue=f"{dataset}#{name}"), row)
    chosen = select(
        list(made),
        instances=instances,
        pattern=pattern,
        exclude=exclude,
        cut=cut,
        sample=sample,
        seed=seed,
    )
    folders: dict[str, str] = {}
    for name in chosen:
        other = folders.setdefault(folder_name(name), name)
        if other != name:
            raise IntakeError(f"{other} and {name} would share one folder", cure="rename one of them")
    return [_checked(made[name]) for name in chosen]


def _checked(one: Instance) -> Instance:
    """Raises ``IntakeError`` for a row that could not be graded: before anything runs, not hours later."""
    if one.row is None:
        return one
    try:
        return replace(one, row=check_row(one.row))
    except IntakeError as error:
        raise IntakeError(
            error.problem, cure=f"{error.cure}; or leave it out with --exclude, and nothing has run yet"
        ) from error


def jobs_of(
    instances: Sequence[Instance], attempts: int, variations: Sequence[Mapping[str, Any]] = ()
) -> Iterator[Job]:
    """First attempts of all instances, then the second ones: a run that is stopped early has whole rounds.

    Seeds count up. ``variations``: fields of the request that attempts have in turn.
    """
    for number in range(1, attempts + 1):
        varied = variations[(number - 1) % len(variations)] if variations else {}
        for one in instances:
            request = replace(one.request, seed=(one.request.seed or 0) + number - 1, **varied)
            yield Job(one.instance_id, number, request, one.row)


def perform(
    job: Job,
    run_folder: Path,
    listener: Listener = silent,
    *,
    budget: Budget | None = None,
    ledger: Ledger | None = None,
) -> None:
    """Do it, into ``run_folder``. What an interrupted go has left there is gone on with.

    Raises ``UsageError`` where the instance cannot be tried, other ``FixbugError`` where the environment
    fails; then there is no attempt.json.
    """
    request = job.request
    with workspace() as place:
        if job.row is not None:
            task = task_for_row(dict(job.row), image=request.image, workspace=place)
        else:
            task = load_task(
                request.issue,
                repo=request.repo,
                ref=request.ref,
                tests=request.tests,
                hidden_tests=Path(request.hidden_tests) if request.hidden_tests else None,
                image=request.image,
                workspace=place,
                on_progress=lambda text: listener(Progress("intake", text)),
            )
            task = replace(task, instance_id=job.instance_id)
        record = AttemptRecord(run_folder, job.instance_id, {}, attempt=job.attempt)
        attempt(task, request, record, listener, budget=budget or budget_for(request), ledger=ledger)
