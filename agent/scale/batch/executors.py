"""Who does the attempts of a batch: threads of this process (``ray_executor.py``: a cluster)."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from agent.scale.batch.jobs import Job
from agent.scale.batch.work import Work

__all__ = ["Ended", "Executor", "Threads"]


@dataclass(frozen=True)
class Ended:
    """A job that is over. ``error``: why there is no outcome."""

    job: Job
    error: BaseException | None = None


class Executor(Protocol):
    """Takes jobs one by one, as workers get free, until ``work.stop`` is set; what runs then is ended."""

    def run(self, jobs: Iterable[Job], work: Work) -> Iterator[Ended]: ...


@dataclass(frozen=True)
class Threads:
    """``workers`` threads. An attempt waits for a model and for containers most of its time."""

    workers: int

    def run(self, jobs: Iterable[Job], work: Work) -> Iterator[Ended]:
        """Each job as it ends. A caller that goes away early leaves the threads to end with the process."""
        waiting = iter(jobs)
        taking = threading.Lock()
        ended: queue.SimpleQueue[tuple[Ended, threading.Event] | BaseException | None] = queue.SimpleQueue()

        def serve() -> None:
            try:
                while not work.stop.is_set():
                    with taking:
                        job = next(waiting, None)
                    if job is None:
                        break
                    done = Ended(job)
                    try:
                        work.here(job)
                    except BaseException as error:
                        done = Ended(job, error)
                    # The caller may decide, from how this one went, that there is to be no next one.
                    seen = threading.Event()
                    ended.put((done, seen))
                    seen.wait()
            except BaseException as error:  # the iterator of jobs failed
                ended.put(error)
            finally:
                ended.put(None)

        for _ in range(self.workers):
            threading.Thread(target=serve, daemon=True).start()
        open_ = self.workers
        while open_:
            found = ended.get()
            if found is None:
                open_ -= 1
            elif isinstance(found, tuple):
                yield found[0]
                found[1].set()
            else:
                raise found
