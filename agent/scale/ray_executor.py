"""The same attempts as Ray tasks on an existing cluster. Needs the extra ``ray``.

A task does an attempt in a folder of its own on its node and gives back the files; only the driver writes to
the run folder. A node that is lost costs what ran on it, which Ray gives to other nodes.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import agent.errors
from agent.errors import FixbugError, UsageError
from agent.scale.executors import Ended
from agent.scale.jobs import Job, perform
from agent.scale.work import Work, patiently

if TYPE_CHECKING:
    from agent.world.ledger import Ledger

__all__ = ["Ray"]

RETRIES = 3
"""How often Ray gives an attempt to another node when its own is lost."""
SETTINGS = ("FIXBUG_", "OPENAI_")
"""The driver's settings of these names go along with each task; they reach no sandbox and no file."""

Answer = tuple[dict[str, bytes], tuple[str, str, str] | None]
"""Files by their path below the run folder, and an error as class, problem and cure."""


@dataclass(frozen=True)
class Ray:
    """``workers`` attempts at once on the cluster that ``RAY_ADDRESS`` names, each with ``cpus`` processors.

    ``resource``: a custom resource of the nodes that may do attempts (those with a Docker engine); each takes
    one unit of it.
    """

    workers: int
    cpus: float = 1.0
    resource: str | None = None

    def run(self, jobs: Iterable[Job], work: Work) -> Iterator[Ended]:
        """Each job as it ends.

        Raises ``UsageError`` where Ray is not installed, ``FixbugError`` where no cluster answers.
        """
        ray = _connected()
        settings = {name: value for name, value in os.environ.items() if name.startswith(SETTINGS)}
        resources = {self.resource: 1} if self.resource else None
        do = ray.remote(num_cpus=self.cpus, resources=resources, max_retries=RETRIES)(_there)
        ledger = ray.put(work.ledger)
        waiting = iter(jobs)
        running: dict[Any, Job] = {}
        try:
            while True:
                while len(running) < self.workers and not work.stop.is_set():
                    job = next(waiting, None)
                    if job is None:
                        break
                    work.watcher.begin(job, None)
                    running[do.remote(job, settings, ledger)] = job
                if not running:
                    return
                ready, _ = ray.wait(list(running), num_returns=1, timeout=1.0)
                for reference in ready:
                    job = running.pop(reference)
                    yield Ended(job, _kept(ray, reference, work.folder))
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def _connected() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "--executor ray needs Ray, which is not installed", cure="pip install 'fixbug-cwm[ray]'"
        ) from error
    if not ray.is_initialized():
        try:
            ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise FixbugError(
                f"no Ray cluster answers: {error}",
                cure="start one (ray start --head), or name one in RAY_ADDRESS",
            ) from error
    return ray


def _kept(ray: Any, reference: Any, folder: Path) -> FixbugError | None:
    """Write what a task gives back into the run folder; the error that it ended with, if any."""
    try:
        files, error = ray.get(reference)
    except ray.exceptions.RayError as lost:
        said = str(lost).strip().splitlines()[0]
        return FixbugError(
            f"the cluster lost an attempt ({type(lost).__name__}: {said})",
            cure="look at the nodes' logs; the same command makes it again",
        )
    _write(files, folder)
    if error is None:
        return None
    kind, problem, cure = error
    made: FixbugError = getattr(agent.errors, kind, FixbugError)(problem, cure=cure)
    return made


def _write(files: Mapping[str, bytes], folder: Path) -> None:
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


def _there(job: Job, settings: Mapping[str, str], ledger: Ledger) -> Answer:
    """On a node: do the attempt in a folder of its own."""
    os.environ.update(settings)
    error: tuple[str, str, str] | None = None
    with tempfile.TemporaryDirectory(prefix="fixbug-ray-") as name:
        folder = Path(name)
        (folder / "run.json").write_text("{}")  # the driver has the real one

        def wait(seconds: float) -> bool:
            time.sleep(seconds)
            return False

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
