"""Work in threads ends when it should."""

from __future__ import annotations

import threading

import pytest

from agent.scale.threads import in_parallel


def test_every_item_has_its_result() -> None:
    """Also where they are done in another order."""
    assert dict(in_parallel(lambda n: n * n, range(20), 4)) == {n: n * n for n in range(20)}


def test_a_failure_begins_nothing_more() -> None:
    """Ctrl-C in a sweep of 500 instances may not wait for the 490 that have not begun."""
    begun: list[int] = []
    stopping = threading.Event()

    def work(n: int) -> None:
        begun.append(n)
        if n == 0:
            raise KeyboardInterrupt
        stopping.wait(60)

    def run() -> None:
        for _ in in_parallel(work, range(100), 2, stopping):
            pass

    with pytest.raises(KeyboardInterrupt):
        run()
    assert stopping.is_set()
    assert len(begun) < 100
