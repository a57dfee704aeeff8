"""``fixbug bench``: many attempts at many instances, resumable, into one run folder.

Whatever way it is stopped, the same command goes on with it: attempts that ended are not made again, those
that were in flight are, and replay the turns that they have on record.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from agent.errors import EngineError, FixbugError, UsageError
from agent.record import folder_name
from agent.scale.batch.asked import BenchRequest, config_of, run_folder
from agent.scale.batch.executors import Executor, Threads
from agent.scale.batch.jobs import Instance, Job, jobs_of
from agent.scale.batch.results import Results, write_results
from agent.scale.batch.store import RunStore, read_run
from agent.scale.batch.submission import write_submission
from agent.scale.batch.work import HOPELESS, Tally, Watcher, Work, tries

if TYPE_CHECKING:
    from agent.world.calibration.ledger import Ledger

__all__ = ["Benched", "bench", "record_beside"]


@dataclass(frozen=True)
class Benched:
    """How a run ended. ``stopped``: why attempts are left, or empty. ``failures``: job → its error."""

    folder: Path
    results: Results
    stopped: str
    failures: Mapping[str, FixbugError]
    trouble: FixbugError | None = None
    submission: Path | None = None
    """The files for the leaderboard, where they were asked for and all attempts have ended."""

    @property
    def complete(self) -> bool:
        failed = (error for error in self.failures.values() if not isinstance(error, UsageError))
        return not self.stopped and self.trouble is None and not any(failed)

    def to_json(self) -> dict[str, Any]:
        """One object for scripts: results.json, with where it is and why it stopped."""
        about = {"run": str(self.folder), "complete": self.complete, "stopped": self.stopped}
        about |= {"submission": str(self.submission)} if self.submission else {}
        return {**about, **self.results.data}


def bench(
    request: BenchRequest,
    watcher: Watcher,
    *,
    executor: Executor | None = None,
    submission: str | None = None,
    ledger: Ledger | None = None,
) -> Benched:
    """Run what is left of it, and write what follows from the attempts.

    ``submission``: the name under which files for the leaderboard are written too, once all have ended.
    ``ledger``: the predictions that trust rests on (default: those of the other runs beside this one, so that
    a run that was interrupted knows no more than one that was not).

    Raises ``UsageError`` before anything runs, where the request or the run folder is at fault. Ctrl-C: what
    runs is ended, nothing more is begun; the second one raises ``KeyboardInterrupt`` at once.
    """
    request = request.settled()
    instances = request.selected()
    folder = run_folder(request, instances)
    config = config_of(request, instances)
    ledger = record_beside(folder.parent, {folder.name}) if ledger is None else ledger
    stop = threading.Event()
    tally = Tally(total=len(instances) * request.attempts)
    failures: dict[str, FixbugError] = {}
    _tell_if_changed(request, config, watcher)
    with RunStore(folder, config) as store, _draining(stop, watcher) as drained:
        for job in _jobs(request, instances):
            if (summary := store.summary(job.instance_id, job.attempt)) is not None:
                tally.add(summary)
        tally.before = tally.ended
        left = (job for job in _jobs(request, instances) if not store.done(job.instance_id, job.attempt))
        began = time.monotonic()
        trouble: FixbugError | None = None
        why = ""
        in_a_row = 0
        unpriced = False

        if tally.ended < tally.total:
            work = Work(folder, watcher, ledger, stop)
            for ended in (executor or Threads(request.workers)).run(left, work):
                job = ended.job
                if ended.error is not None and not isinstance(ended.error, FixbugError):
                    raise ended.error
                summary = store.summary(job.instance_id, job.attempt) if ended.error is None else None
                if ended.error is not None:
                    failures[job.name] = ended.error
                    tally.fail(ended.error)
                    store.failed(job.instance_id, job.attempt, ended.error, tries(ended.error))
                elif summary is not None:
                    tally.add(summary)
                watcher.end(job, summary, ended.error, tally)
                refused = isinstance(ended.error, UsageError)
                in_a_row = in_a_row + 1 if ended.error is not None and not refused else 0
                if tally.unpriced and not unpriced and _money_is_bounded(request):
                    unpriced = True
                    watcher.say(
                        "this model's price is unknown, so no bound on money is kept: set FIXBUG_PRICE_INPUT "
                        "and FIXBUG_PRICE_OUTPUT"
                    )
                if why:
                    continue
                if isinstance(ended.error, HOPELESS) or in_a_row > request.workers + 2:
                    trouble, why = ended.error, "the environment fails every attempt"
                elif ended.error is not None and request.fail_fast:
                    trouble, why = ended.error, "an attempt failed, and --fail-fast was given"
                elif used := _used_up(request, tally, time.monotonic() - began):
                    why = used
                if why:
                    stop.set()
                    watcher.say(f"no further attempt is begun: {why}")
        if drained:
            why = why or "it was stopped"
        if failures and not tally.ended and not why:
            trouble = next(iter(failures.values()))  # nothing could be tried: that is no batch that is done
        if tally.ended + tally.failed >= tally.total:
            why = "" if trouble is None else why
        results = write_results(store, request.attempts, instances, failures, str(request.base.model))
        store.note(
            {
                "models": sorted({name for one in results.attempts for name in one["models"]}),
                "images": _digests({one["image"] for one in results.attempts if one["image"]}),
            }
        )
        found = Benched(folder, results, why, failures, trouble)
        if submission and found.complete:
            folder = write_submission(
                store, submission, model=str(request.base.model), network=request.base.network
            )
            found = replace(found, submission=folder)
        elif submission:
            watcher.say("no files for the leaderboard yet: attempts are left")
    return found


def record_beside(runs: Path, own: Collection[str]) -> Ledger:
    """The predictions of all runs in the folder ``runs`` but those that are called ``own``."""
    from agent.world.calibration.ledger import read_ledger

    return read_ledger(sorted(path for path in runs.glob("*/") if path.name not in own))


def _jobs(request: BenchRequest, instances: Sequence[Instance]) -> Iterator[Job]:
    for job in jobs_of(instances, request.attempts, request.variations):
        if request.record is None:
            yield job
            continue
        session = request.record / folder_name(job.instance_id) / str(job.attempt) / "trajectory.jsonl"
        yield replace(job, request=replace(job.request, session=str(session), model=None))


def _tell_if_changed(request: BenchRequest, config: Mapping[str, Any], watcher: Watcher) -> None:
    """Of a run that is made again: whether it is on the same bugs."""
    if request.record is None:
        return
    if read_run(request.record)["asked"]["dataset_sha256"] != config["asked"]["dataset_sha256"]:
        watcher.say("the dataset is not what it was then: differences may come of that")


def _money_is_bounded(request: BenchRequest) -> bool:
    return request.run_usd is not None or request.base.budget_usd is not None


def _used_up(request: BenchRequest, tally: Tally, seconds: float) -> str:
    if request.run_tokens is not None and tally.tokens >= request.run_tokens:
        return f"{tally.tokens:,} tokens are used, of {request.run_tokens:,}"
    if request.run_usd is not None and tally.usd >= request.run_usd:
        return f"${tally.usd:.4f} are used, of ${request.run_usd:.4f}"
    if request.run_seconds is not None and seconds >= request.run_seconds:
        return f"{seconds:.0f} s are over, of {request.run_seconds:.0f}"
    return ""


@contextmanager
def _draining(stop: threading.Event, watcher: Watcher) -> Iterator[list[int]]:
    """The first Ctrl-C lets what runs end; the next one ends it. The list holds the signals that came."""
    came: list[int] = []

    def asked(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            raise KeyboardInterrupt
        stop.set()
        watcher.say("what runs is ended, nothing more is begun; Ctrl-C again stops at once")

    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {number: signal.signal(number, asked) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _digests(images: Iterable[str]) -> dict[str, str | None]:
    """Image → the id of its content; None where this machine's engine does not have it (any more)."""
    from docker.errors import DockerException

    from sandbox.docker import connect

    names = sorted(images)
    if not names:
        return {}
    found: dict[str, str | None] = dict.fromkeys(names)
    try:
        client = connect(timeout=10)
    except EngineError:
        return found
    try:
        for name in names:
            with suppress(DockerException):
                found[name] = client.images.get(name).id
    finally:
        client.close()
    return found
