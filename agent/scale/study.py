"""``fixbug sweep``: from what was asked (a dataset, candidates) to the table."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Literal

from agent.errors import FixbugError, IntakeError, SandboxError, UsageError
from agent.record import write_atomically
from agent.scale.batch.selection import select
from agent.scale.batch.tasks import PlainTask, is_task_folder, read_tasks
from agent.scale.candidates import CandidateSet, read_candidates
from agent.scale.pool import Pool
from agent.scale.scoring.labels import labelled
from agent.scale.sweep import Sweep, check, sweep
from agent.scale.threads import in_parallel
from sandbox import SandboxSpec

if TYPE_CHECKING:
    from agent.request import Request

__all__ = ["SweepRequest", "default_cache", "run_sweep", "write_choices"]

Say = Callable[[str, bool], None]
"""A line for the user; True: only worth a live display."""


@dataclass(frozen=True)
class SweepRequest:
    """What was asked for. ``ks`` empty: powers of two, and the largest number of candidates.

    Without ``candidates`` they are made: ``make`` is the request for one, ``varied`` what changes from one
    to the next."""

    dataset: str
    candidates: tuple[Path, ...] = ()
    make: Request | None = None
    varied: tuple[Mapping[str, Any], ...] = ()
    labels: Path | None = None
    """What ``fixbug score`` has written."""
    ks: tuple[int, ...] = ()
    selectors: tuple[str, ...] | None = None
    instances: tuple[str, ...] = ()
    pattern: str | None = None
    sample: int | None = None
    seed: int = 0
    execute: bool = False
    workers: int = 2
    test_seconds: float = 600.0
    cache: Path | None = None


def run_sweep(request: SweepRequest, say: Say = lambda text, passing: None) -> tuple[CandidateSet, Sweep]:
    """Read, execute if asked, and sweep. Raises ``FixbugError``."""
    by_id = _instances(request.dataset)
    wanted = select(
        list(by_id), instances=request.instances, pattern=request.pattern, sample=request.sample,
        seed=request.seed,
    )  # fmt: skip
    everything = read_candidates(request.candidates or _made(request, wanted, say))
    if request.labels:
        everything = labelled(everything, request.labels)
    used = everything.only(wanted)
    _tell(everything, used, wanted, by_id, say)
    labelled_ones = check(used, request.ks, request.selectors)
    executed = _execute(request, used.only(labelled_ones), by_id, say) if request.execute else {}
    pools = {name: executed.get(name) or Pool(found) for name, found in used.by_instance.items()}
    largest = max(len(pool.candidates) for pool in pools.values())
    found = sweep(
        used,
        pools,
        ks=request.ks or _powers(largest),
        names=request.selectors,
        seed=request.seed,
        on_progress=lambda text: say(text, True),
    )
    return used, found


def write_choices(candidates: CandidateSet, found: Sweep, folder: Path) -> list[Path]:
    """``sweep.json``, and each selector's choice among all candidates as SWE-bench predictions."""
    written = [folder / "sweep.json"]
    write_atomically(written[0], json.dumps(found.to_json(), indent=1) + "\n")
    for name, chosen in found.chosen.items():
        lines = [
            json.dumps(
                {
                    "instance_id": instance,
                    "model_name_or_path": f"fixbug-{name}",
                    "model_patch": candidates.by_instance[instance][order].patch,
                }
            )
            for instance, order in chosen.items()
        ]
        path = folder / f"predictions-{name}.jsonl"
        write_atomically(path, "\n".join(lines) + "\n")
        written.append(path)
    return written


def default_cache() -> Path:
    """Where results of execution are kept: below the user's cache directory."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "fixbug", "executed")


def _instances(dataset: str) -> dict[str, dict[str, Any] | PlainTask]:
    """Instance id → its row, or its plain task."""
    if is_task_folder(Path(dataset)):
        return {task.instance_id: task for task in read_tasks(Path(dataset))}
    from agent.intake import load_rows

    rows = load_rows(dataset)
    by_id: dict[str, dict[str, Any] | PlainTask] = {
        str(row["instance_id"]): row for row in rows if row.get("instance_id")
    }
    if not by_id:
        raise IntakeError(
            f"the rows of {dataset} have no instance_id", cure="give a dataset in SWE-bench's format"
        )
    return by_id


def _made(request: SweepRequest, wanted: Sequence[str], say: Say) -> list[Path]:
    if request.make is None:
        raise UsageError(
            "there are no candidates, and nobody to make them",
            cure="give --candidates FILE, or --model NAME (or offline) to make them",
        )
    from agent.scale.generate import generate

    return generate(
        request.dataset, request.make, max(request.ks or (4,)), instances=wanted, varied=request.varied,
        workers=request.workers, say=say,
    )  # fmt: skip


def _powers(largest: int) -> tuple[int, ...]:
    return tuple(sorted({largest, *(2**i for i in range(largest.bit_length()) if 2**i <= largest)}))


def _tell(
    everything: CandidateSet, used: CandidateSet, wanted: Sequence[str], by_id: Mapping[str, Any], say: Say
) -> None:
    foreign = [name for name in everything.instances if name not in by_id]
    if foreign:
        say(f"candidates of {len(foreign)} instances that the dataset does not have are left out", False)
    bare = [name for name in wanted if name not in used.by_instance]
    if not used.instances:
        raise IntakeError(
            f"none of the {len(wanted)} selected instances has a candidate",
            cure=f"the candidates are of instances such as {everything.instances[0]}",
        )
    if bare:
        shown = ", ".join(bare[:3]) + (", …" if len(bare) > 3 else "")
        say(f"{len(used.instances)} of {len(wanted)} instances have candidates; left out are {shown}", False)


def _execute(
    request: SweepRequest, candidates: CandidateSet, rows: Mapping[str, dict[str, Any] | PlainTask], say: Say
) -> dict[str, Pool]:
    """The instances whose candidates could be executed. Others are named; if none could, the last error."""
    from agent.intake import check_row

    checked = {
        name: row if isinstance(row := rows[name], PlainTask) else check_row(row)
        for name in candidates.instances
    }
    problem: FixbugError | None = None
    found: dict[str, Pool] = {}

    stopping = Event()

    def tell(text: str, passing: bool) -> None:
        if stopping.is_set():  # between two patches; what was run is kept
            raise KeyboardInterrupt
        say(text, passing)

    def one(name: str) -> Pool | SandboxError:
        try:
            return _execute_one(request, candidates, checked[name], tell)
        except SandboxError as error:
            return error

    for name, result in in_parallel(one, candidates.instances, request.workers, stopping):
        if isinstance(result, SandboxError):
            problem = result
            say(f"{name} was not executed: {result.problem.splitlines()[0]}", False)
        else:
            found[name] = result
            say(f"{name}: executed ({len(found)} of {len(candidates.instances)})", False)
    if not found and problem is not None:
        raise problem
    return found


def _execute_one(
    request: SweepRequest, candidates: CandidateSet, instance: dict[str, Any] | PlainTask, say: Say
) -> Pool:
    from agent.scale.execution.executing import ExecutionSettings, execute
    from agent.scale.execution.suites import PytestSuite, RowSuite, Suite

    name = instance.instance_id if isinstance(instance, PlainTask) else str(instance["instance_id"])
    settings = ExecutionSettings(cache=request.cache or default_cache(), timeout=request.test_seconds)
    with tempfile.TemporaryDirectory(prefix="fixbug-") as workspace:
        suite: Suite
        if isinstance(instance, PlainTask):
            spec, suite = _plain_spec(instance, Path(workspace), say), PytestSuite()
        else:
            spec, suite = _row_spec(instance, say), RowSuite(instance)
        return execute(
            candidates.by_instance[name], spec, suite, settings,
            issue=_issue(instance),
            on_progress=lambda text: say(f"{name}: {text}", True),
        )  # fmt: skip


def _issue(instance: dict[str, Any] | PlainTask) -> str:
    if isinstance(instance, PlainTask):
        return instance.issue.read_text("utf-8", "replace")
    return str(instance.get("problem_statement") or "")


def _row_spec(row: dict[str, Any], say: Say) -> SandboxSpec:
    from sandbox.environment import image_for_row

    return SandboxSpec(
        kind="docker",
        image=image_for_row(row, on_progress=lambda text: say(text, True)),
        base_commit=row["base_commit"],
        labels={"fixbug.instance": row["instance_id"]},
    )


def _plain_spec(task: PlainTask, workspace: Path, say: Say) -> SandboxSpec:
    """In Docker where an engine answers; the repository is copied in, without hidden tests."""
    from agent.intake import load_task
    from sandbox.docker import engine_answers
    from sandbox.environment import image_for_tree

    loaded = load_task(str(task.issue), repo=str(task.repository), workspace=workspace)
    docker = engine_answers() and loaded.source is not None
    image = image_for_tree(loaded.source) if docker and loaded.source else None
    kind: Literal["docker", "local"] = "docker" if docker else "local"
    return SandboxSpec(kind=kind, image=image, source=loaded.source, base_commit=loaded.base_commit)
