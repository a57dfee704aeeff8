"""Work on many items at once, and an end that does not wait for what has not begun."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event
from typing import TypeVar

__all__ = ["in_parallel"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int, stopping: Event | None = None
) -> Iterator[tuple[Item, Result]]:
    """Each item with its result, as they are done. An exception (Ctrl-C too) lets what runs come to its end,
    and begins nothing more; ``stopping`` is set then, for work that can end sooner."""
    threads = ThreadPoolExecutor(max_workers=workers)
    try:
        begun = {threads.submit(work, item): item for item in items}
        for future in as_completed(begun):
            yield begun[future], future.result()
    finally:
        if stopping is not None:
            stopping.set()
        threads.shutdown(wait=True, cancel_futures=True)
