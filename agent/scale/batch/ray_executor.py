"""The same attempts as Ray tasks on an existing cluster (docs/cluster.md). Needs the extra ``ray``.

A task does an attempt in a folder of its own on its node and gives back the files; only the driver writes to
the run folder. A node that is lost costs what ran on it, which Ray gives to other nodes. A task asks before
it begins (``_Doorman``), so that those that wait for room when the run is stopped do not begin.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import agent.errors
from agent.errors import FixbugError, UsageError
from agent.record import INTERRUPTED, folder_name
from agent.scale.batch.executors import Ended
from agent.scale.batch.jobs import Job, perform
from agent.scale.batch.work import Work, patiently
from agent.workspace import workspace

if TYPE_CHECKING:
    from agent.world.calibration.ledger import Ledger

__all__ = ["Ray"]

RETRIES = 3
"""How often Ray gives an attempt to another node when its own is lost."""
SETTINGS = ("FIXBUG_", "OPENAI_")
"""The driver's settings of these names go along with each task; they reach no sandbox and no file."""

_START = "start one (ray start --head), or name one in RAY_ADDRESS (docs/cluster.md)"

Files = Mapping[str, bytes]
"""By their path below the run folder."""
Answer = tuple[Files, tuple[str, str, str] | None] | None
"""What an attempt left, and the error that it ended with as class, problem and cure. None: it did not
begin."""


@dataclass(frozen=True)
class Ray:
    """``workers`` attempts at once on the cluster that ``RAY_ADDRESS`` names (else the one that runs on this
    machine), each with ``cpus`` processors.

    ``resource``: a custom resource of the nodes that may do attempts (those with a Docker engine, say); each
    attempt takes one unit of it.
    """

    workers: int
    cpus: float = 1.0
    resource: str | None = None

    def run(self, jobs: Iterable[Job], work: Work) -> Iterator[Ended]:
        """Each job as it ends.

        Raises ``UsageError`` where Ray is not installed or no node has what an attempt needs, ``FixbugError``
        where no cluster answers, or it is lost.
        """
        ray = _connected()
        wanted = {"CPU": self.cpus, **({self.resource: 1.0} if self.resource else {})}
        _check(ray, wanted)
        settings = {name: value for name, value in os.environ.items() if name.startswith(SETTINGS)}
        resources = {self.resource: 1} if self.resource else None
        do = ray.remote(num_cpus=self.cpus, resources=resources, max_retries=RETRIES)(_there)
        ledger = ray.put(work.ledger)
        doorman = _doorman(ray)
        waiting = iter(jobs)
        running: dict[Any, Job] = {}
        begun: set[str] = set()
        closed = False
        try:
            while True:
                while len(running) < self.workers and not work.stop.is_set():
                    job = next(waiting, None)
                    if job is None:
                        break
                    task = do.remote(job, _left(job, work.folder), settings, ledger, doorman)
                    running[task] = job
                if work.stop.is_set() and not closed:
                    closed = True
                    inside = set(ray.get(doorman.close.remote()))
                    outside = [task for task, job in running.items() if job.name not in inside]
                    for task in outside:
                        ray.cancel(task)
                        del running[task]
                    work.watcher.say(f"{len(outside)} attempts that waited for room are not begun")
                if not running:
                    return
                ready, _ = ray.wait(list(running), num_returns=1, timeout=1.0)
                _tell(ray.get(doorman.inside.remote()), running.values(), begun, work)
                for task in ready:
                    job = running.pop(task)
                    if (ended := _kept(ray, task, job, work.folder)) is not None:
                        yield ended
        except ray.exceptions.RayError as lost:
            raise FixbugError(
                f"the cluster is lost ({type(lost).__name__}: {str(lost).strip().splitlines()[0]})",
                cure="see that it runs (ray status); the same command goes on",
            ) from lost
        finally:
            for task in running:
                ray.cancel(task, force=True)
            ray.kill(doorman)


class _Doorman:
    """Lets attempts begin until the run is stopped. An actor: it lives beside the driver."""

    def __init__(self) -> None:
        self._inside: list[str] = []
        self._closed = False

    def begin(self, name: str) -> bool:
        """Whether the attempt may begin."""
        if not self._closed:
            self._inside.append(name)
        return not self._closed

    def inside(self) -> list[str]:
        """Those that have begun."""
        return self._inside

    def closed(self) -> bool:
        """Whether the run is stopped."""
        return self._closed

    def close(self) -> list[str]:
        """No further one begins. Those that have."""
        self._closed = True
        return self._inside


def _doorman(ray: Any) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    beside = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0)(_Doorman).options(scheduling_strategy=beside).remote()


def _tell(inside: Iterable[str], jobs: Iterable[Job], begun: set[str], work: Work) -> None:
    """Show the attempts that have got room on the cluster since."""
    there = set(inside) - begun
    for job in jobs:
        if job.name in there:
            work.watcher.begin(job, None)
    begun |= there


def _connected() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "--executor ray needs Ray, which is not installed", cure="pip install 'fixbug-cwm[ray]'"
        ) from error
    if not ray.is_initialized():
        _reach(os.environ.get("RAY_ADDRESS", ""))
        try:
            with _signals_kept():
                ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
        except (ray.exceptions.RayError, ConnectionError, RuntimeError, ValueError) as error:
            raise FixbugError(
                f"no Ray cluster answers: {str(error).strip().splitlines()[0]}",
                cure=_START,
            ) from error
    return ray


def _reach(address: str) -> None:
    """Ray tries for a quarter of an hour where nobody answers."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return  # "auto", or nothing: the cluster of this machine
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise FixbugError(f"no Ray cluster answers at {address}: {error}", cure=_START) from error


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself: the driver would end at once, where it is to let what runs end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def _check(ray: Any, wanted: Mapping[str, float]) -> None:
    """Ray waits without end for a node that has what a task needs."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(all(node.get(name, 0.0) >= amount for name, amount in wanted.items()) for node in nodes):
        return
    asked = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items())
    raise UsageError(
        f"none of the cluster's {len(nodes)} nodes has what an attempt needs: {asked}",
        cure="ask for less (--ray-cpus, --ray-resource), or start a node that has it (docs/cluster.md)",
    )


def _left(job: Job, folder: Path) -> Files:
    """The turns that an interrupted go at ``job`` has left in the run folder: they are replayed."""
    place = folder / folder_name(job.instance_id) / str(job.attempt)
    names = ("trajectory.jsonl", INTERRUPTED)
    paths = [place / name for name in names if (place / name).is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _kept(ray: Any, task: Any, job: Job, folder: Path) -> Ended | None:
    """Write what a task gives back into the run folder. None: it did not begin."""
    try:
        answer: Answer = ray.get(task)
    except ray.exceptions.RayError as lost:
        said = str(lost).strip().splitlines()[0]
        error = FixbugError(
            f"the cluster lost an attempt ({type(lost).__name__}: {said})",
            cure="look at the nodes' logs; the same command makes it again",
        )
        return Ended(job, error)
    if answer is None:
        return None
    files, raised = answer
    _write(files, folder)
    if raised is None:
        return Ended(job)
    kind, problem, cure = raised
    return Ended(job, getattr(agent.errors, kind, FixbugError)(problem, cure=cure))


def _write(files: Files, folder: Path) -> None:
    """attempt.json last and atomically: without it the attempt did not happen."""
    last = [name for name in files if name.endswith("/attempt.json")]
    for name in [*(name for name in files if name not in last), *last]:
        place = folder / name
        part = place.with_name(f".{place.name}.part")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                file.write(files[name])
                file.flush()
                os.fsync(file.fileno())
            part.replace(place)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise FixbugError(
                f"{place} cannot be written: {error.strerror}", cure="free some disk"
            ) from error
    if last:
        (folder / last[0]).with_name(INTERRUPTED).unlink(missing_ok=True)


def _there(job: Job, left: Files, settings: Mapping[str, str], ledger: Ledger, doorman: Any) -> Answer:
    """On a node: do the attempt in a folder of its own, if it may still begin."""
    import ray

    if not ray.get(doorman.begin.remote(job.name)):
        return None
    os.environ.update(settings)
    error: tuple[str, str, str] | None = None
    with workspace() as folder:
        (folder / "run.json").write_text("{}")  # the driver has the real one
        _write(left, folder)

        def wait(seconds: float) -> bool:
            time.sleep(seconds)
            return bool(ray.get(doorman.closed.remote()))

        try:
            patiently(lambda: perform(job, folder, ledger=ledger), wait=wait)
        except FixbugError as raised:
            error = (type(raised).__name__, raised.problem, raised.cure)
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.glob("*/*/*"))
            if path.is_file()
        }
    return files, error
