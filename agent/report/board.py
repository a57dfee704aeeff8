"""A batch while it runs: a live board on a terminal, a line for each attempt that ends when piped."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from agent.report.terminal import printable

if TYPE_CHECKING:
    from agent.errors import FixbugError
    from agent.events import Progress
    from agent.llm.budget import Budget
    from agent.scale.batch.jobs import Job
    from agent.scale.batch.work import Tally

__all__ = ["Board"]

ROWS = 20
"""So many running attempts are shown; of the others how many."""


@dataclass
class _Running:
    budget: Budget | None
    began: float = field(default_factory=time.monotonic)
    stage: str = ""
    text: str = ""


class Board:
    """A ``Watcher``. A context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}
        self._tally: Tally | None = None
        self._began = time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> Board:
        if self.console.is_terminal:
            self._live = Live(
                console=self.console, get_renderable=self._picture, refresh_per_second=4, transient=True
            )
            self._live.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def begin(self, job: Job, budget: Budget | None) -> None:
        with self._lock:
            self._running[job.name] = _Running(budget)

    def progress(self, job: Job, progress: Progress) -> None:
        with self._lock:
            if running := self._running.get(job.name):
                running.stage, running.text = progress.stage, progress.text

    def end(
        self, job: Job, summary: Mapping[str, Any] | None, error: FixbugError | None, tally: Tally
    ) -> None:
        with self._lock:
            running = self._running.pop(job.name, None)
            self._tally = tally
        seconds = time.monotonic() - running.began if running else 0.0
        head = f"[{tally.ended + tally.failed}/{tally.total}] {job.name}"
        if error is not None:
            self.say(f"{head}: no attempt: {printable(error.problem).splitlines()[0]}")
        elif summary is not None:
            from agent.scale.batch.results import cause

            self.say(f"{head}: {cause(summary)}, {_money(summary['usd'])}, {seconds:.0f} s")

    def say(self, text: str) -> None:
        self.console.print(escape(printable(text)), highlight=False, soft_wrap=True)

    def _picture(self) -> RenderableType:
        with self._lock:
            running = [(name, *_shown(one)) for name, one in self._running.items()]
            tally = self._tally
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name, justify in (("attempt", "left"), ("stage", "left"), ("step", "right"), ("cost", "right"),
                              ("time", "right"), ("", "left")):  # fmt: skip
            table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
        for name, stage, steps, cost, seconds, text in running[:ROWS]:
            table.add_row(name, stage, steps, cost, seconds, Text(text[:60], style="dim"))
        more = Text(f"and {len(running) - ROWS} more") if len(running) > ROWS else Text()
        return Group(table, more, Text(self._line(tally, len(running))))

    def _line(self, tally: Tally | None, running: int) -> str:
        if tally is None:
            return f"{running} attempts are running"
        here = tally.ended + tally.failed - tally.before
        rate = here / max(time.monotonic() - self._began, 1e-9)
        left = tally.total - tally.ended - tally.failed
        causes = ", ".join(f"{count} {name}" for name, count in tally.causes.most_common())
        eta = f", about {_span(left / rate)} left" if rate and left else ""
        return (
            f"{tally.ended + tally.failed} of {tally.total} done ({causes}); {running} running; "
            f"{_money(None if tally.unpriced else tally.usd)}, {tally.tokens:,} tokens; "
            f"{3600 * rate:.0f} an hour{eta}"
        )


def _shown(one: _Running) -> tuple[str, str, str, str, str]:
    used = one.budget.snapshot() if one.budget else None  # None: it runs on another machine
    return (
        one.stage,
        str(used["steps"]) if used else "",
        _money(used["usd"]) if used else "",
        _span(time.monotonic() - one.began),
        printable(one.text).replace("\n", " "),
    )


def _money(usd: float | None) -> str:
    return "price unknown" if usd is None else f"${usd:.2f}"


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
