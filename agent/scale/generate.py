"""Makes candidates where none are given: a model's attempts, or the offline search's patches.

A model makes each candidate in an attempt of its own: the main path, k times, as a batch of k attempts an
instance with seeds that count up, and with temperatures and variants of the prompt in turn. The offline
search finds many patches that pass the visible tests in one go; its k candidates are its k best.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Literal, cast

from agent.errors import FixbugError, UsageError
from agent.fix import SEARCH_SECONDS
from agent.record import write_atomically
from agent.request import OFFLINE, Request
from agent.scale.batch.asked import BenchRequest
from agent.scale.batch.bench import bench
from agent.scale.batch.jobs import Instance, Job, instances_of
from agent.scale.batch.results import cause
from agent.scale.threads import in_parallel
from agent.workspace import workspace

if TYPE_CHECKING:
    from agent.events import Progress
    from agent.llm.budget import Budget
    from agent.scale.batch.work import Tally

__all__ = ["generate", "variations"]

Say = Callable[[str, bool], None]
"""A line for the user; True: only worth a live display."""


def variations(temperatures: Sequence[float], prompts: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """Every temperature with every variant of the prompt: what candidates are made with, in turn."""
    named: list[list[dict[str, Any]]] = [
        [{"prompt": prompt} for prompt in prompts],
        [{"temperature": temperature} for temperature in temperatures],
    ]
    return tuple(
        {name: value for one in chosen for name, value in one.items()}
        for chosen in product(*(options for options in named if options))
        if chosen
    )


def generate(
    dataset: str,
    base: Request,
    k: int,
    *,
    instances: Sequence[str] = (),
    varied: Sequence[Mapping[str, Any]] = (),
    workers: int = 2,
    say: Say = lambda text, passing: None,
) -> list[Path]:
    """``k`` candidates for each of ``instances``, below ``base.run_dir``: what ``read_candidates`` takes.

    What is there already is kept, and more of the same kind are added to it. Instances that cannot be tried
    are said. Raises ``FixbugError`` where attempts are left: the same call goes on with them.
    """
    if base.model == OFFLINE:
        seconds = base.budget_seconds or SEARCH_SECONDS
        asked = f"offline-{Path(dataset).name}-k{k}-seed{base.seed or 0}-{seconds:g}s"
        chosen = instances_of(dataset, base, instances=instances)
        return _offline(chosen, k, Path(base.run_dir) / asked, workers, say)
    request = BenchRequest(
        dataset, base, attempts=k, instances=tuple(instances), workers=workers, variations=tuple(varied)
    )
    found = bench(request, _Telling(say))
    if found.stopped:
        raise found.trouble or FixbugError(
            f"{found.stopped}: not all candidates are made", cure="the same command goes on with them"
        )
    return [found.folder]


class _Telling:
    """A ``Watcher`` that says what has ended."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def begin(self, job: Job, budget: Budget | None) -> None:
        self._say(f"candidate {job.name}", True)

    def progress(self, job: Job, progress: Progress) -> None:
        self._say(f"candidate {job.name}: {progress.stage} {progress.text}", True)

    def end(
        self, job: Job, summary: Mapping[str, Any] | None, error: FixbugError | None, tally: Tally
    ) -> None:
        ended = f"no attempt: {error.problem.splitlines()[0]}" if error else cause(summary) if summary else ""
        self._say(f"[{tally.ended + tally.failed}/{tally.total}] candidate {job.name}: {ended}", False)

    def say(self, text: str) -> None:
        self._say(text, False)


def _offline(
    instances: Sequence[Instance], k: int, folder: Path, workers: int, say: Say
) -> list[Path]:  # fmt: skip
    requests = {one.instance_id: one.request for one in instances}
    stopping = Event()

    def one(name: str) -> Path | None:
        path = folder / f"{name}.jsonl"
        if not path.exists():
            try:
                rows = _search(name, requests[name], k, stopping)
            except FixbugError as error:
                say(f"{name}: not tried: {error.problem.splitlines()[0]}", False)
                return None
            write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows))
            say(f"{name}: {len(rows)} candidates", False)
        return path if path.read_text("utf-8").strip() else None

    made = dict(in_parallel(one, requests, workers, stopping))
    paths = [path for name in requests if (path := made[name]) is not None]
    if not paths:
        raise UsageError("the search made no candidate for any instance", cure="give more --budget-seconds")
    return paths


def _search(name: str, request: Request, k: int, stopping: Event) -> list[dict[str, Any]]:
    """The search's ``k`` best patches for one plain task, labelled by its hidden tests."""
    from agent.intake import load_task
    from agent.offline import Budget, OfflineProposer
    from agent.proposer import Brief
    from sandbox import SandboxSpec, open_sandbox
    from sandbox.scoring import score_pytest
    from sandbox.testing import run_tests

    kind = cast(Literal["auto", "docker", "local"], request.sandbox)
    with workspace() as place:
        task = load_task(
            request.issue, repo=request.repo, ref=request.ref, tests=request.tests,
            hidden_tests=Path(request.hidden_tests) if request.hidden_tests else None,
            workspace=place,
        )  # fmt: skip
        if task.source is None or not task.tests:
            raise UsageError(
                f"{name}: the offline search needs a plain task with a visible test",
                cure="give a folder of plain tasks, or --candidates",
            )
        image = None
        if kind == "docker":
            from sandbox.environment import image_for_tree

            image = image_for_tree(task.source)
        spec = SandboxSpec(kind=kind, image=image, source=task.source, base_commit=task.base_commit)
        found: list[tuple[str, float]] = []
        began = time.monotonic()
        with open_sandbox(spec) as box:
            for path, text in task.test_files.items():
                box.write(path, text.encode())
            ran = run_tests(box, task.tests)
            if ran.passed:
                raise UsageError(f"{name}: the visible tests pass on the base commit")
            beside = run_tests(box, sorted({test.partition("::")[0] for test in task.tests}))
            passing = tuple(case.id for case in beside.cases if case.outcome == "passed")
            brief = Brief(task.problem_statement, ran.failed_ids or task.tests, passing, ran.output)
            budget = Budget(seconds=request.budget_seconds or SEARCH_SECONDS)
            proposer = OfflineProposer(budget, seed=request.seed or 0)
            while len(found) < k and (proposal := proposer.propose(box, brief, None)) is not None:
                found.append((proposal.patch, time.monotonic() - began))
                began = time.monotonic()
                if stopping.is_set():  # half of an instance's candidates would pass for all of them
                    raise KeyboardInterrupt
        hidden = task.hidden.tests if task.hidden else None
        return [
            {
                "instance_id": name,
                "system": f"offline-{n}",
                "model_patch": patch,
                "resolved": score_pytest(spec, patch, hidden).resolved if hidden else None,
                "tokens": 0,
                "usd": 0.0,
                "seconds": round(seconds, 3),
            }
            for n, (patch, seconds) in enumerate(found, 1)
        ]
