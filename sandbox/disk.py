"""A bound on what a container writes: most of an engine's storage drivers know no quota."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["DiskGuard"]

FIRST_LOOK = 1.0
"""Seconds: most commands are over before they are looked at."""
UNSEEN = 5.0
"""Seconds of short commands after which the next one is looked at from its start."""
COST = 10
"""A look walks the files that were written; between two looks passes so many times what the last one took."""


class DiskGuard:
    """Ends what runs in a container once it has written ``limit`` bytes in all.

    The bound is soft: it is looked at about once a second, so a fast disk takes a few GB more. ``connect``
    makes a client of the guard's own, since one client is not for two threads.
    """

    def __init__(self, connect: Callable[[], DockerClient], container: str, limit: int) -> None:
        self.limit = limit
        self._connect = connect
        self._container = container
        self._unseen = 0.0

    @contextlib.contextmanager
    def during(self) -> Iterator[list[int]]:
        """Around one command. The list holds the bytes that were used, if that ended it."""
        over: list[int] = []
        done = threading.Event()
        first = 0.0 if self._unseen >= UNSEEN else FIRST_LOOK
        threading.Thread(target=self._watch, args=(first, done, over), daemon=True).start()
        begun = time.monotonic()
        try:
            yield over
        finally:
            done.set()
            self._unseen += time.monotonic() - begun

    def _watch(self, wait: float, done: threading.Event, over: list[int]) -> None:
        from docker.errors import APIError, DockerException
        from requests import RequestException

        from sandbox.errors import SandboxError

        if done.wait(wait):
            return
        # A container or an engine that is gone is noticed, and said, by the command itself.
        with contextlib.suppress(APIError, DockerException, RequestException, OSError, SandboxError):
            client = self._connect()
            try:
                while not done.wait(wait):
                    begun = time.monotonic()
                    used = self._used(client)
                    self._unseen = 0.0
                    if used > self.limit:
                        over.append(used)
                        self._end(client)
                    wait = max(FIRST_LOOK, COST * (time.monotonic() - begun))
            finally:
                client.close()

    def _used(self, client: DockerClient) -> int:
        found = client.api.containers(all=True, size=True, filters={"name": self._container})
        return sum(int(summary.get("SizeRw") or 0) for summary in found)

    def _end(self, client: DockerClient) -> None:
        from docker.errors import APIError

        with contextlib.suppress(APIError):
            # Everything but the first process, which is the sandbox's shell.
            ended, _ = client.containers.get(self._container).exec_run(["bash", "-c", "kill -KILL -1"])
            if ended == 0:
                return
        client.api.kill(self._container)  # no process could be started in it: a fork bomb
