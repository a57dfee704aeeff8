"""How the attempts of a batch are done, and the patience that they need with their environment."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from agent.errors import EndpointShut, EngineError, FixbugError, MissingKey, UsageError
from agent.events import Progress
from agent.fix import budget_for
from agent.scale.batch.jobs import Job, perform
from agent.scale.batch.results import cause, is_resolved

if TYPE_CHECKING:
    from agent.llm.budget import Budget
    from agent.world.calibration.ledger import Ledger

__all__ = ["HOPELESS", "Tally", "Watcher", "Work", "patiently", "tries"]

PAUSES = (5.0, 30.0)
"""Seconds before each further try of an attempt that the environment failed."""
HOPELESS = (EngineError, MissingKey, EndpointShut)
"""What the next attempt would fail with as well: the run stops, and goes on when it is cured."""


@dataclass
class Tally:
    """What a run has come to so far. ``causes``: outcome or cause → attempts."""

    total: int
    before: int = 0
    """Attempts that had ended before this process began."""
    ended: int = 0
    resolved: int = 0
    failed: int = 0
    tokens: int = 0
    usd: float = 0.0
    unpriced: int = 0
    causes: Counter[str] = field(default_factory=Counter)

    def add(self, summary: Mapping[str, Any]) -> None:
        self.ended += 1
        self.resolved += is_resolved(summary)
        self.tokens += summary["tokens"]
        self.unpriced += summary["usd"] is None
        self.usd += summary["usd"] or 0.0
        self.causes[cause(summary)] += 1

    def fail(self, error: FixbugError) -> None:
        self.failed += 1
        refused = isinstance(error, UsageError)
        self.causes["cannot be tried" if refused else f"environment: {type(error).__name__}"] += 1


class Watcher(Protocol):
    """Shows a run to whoever waits for it. Called from any thread."""

    def begin(self, job: Job, budget: Budget | None) -> None: ...

    def progress(self, job: Job, progress: Progress) -> None: ...

    def end(
        self, job: Job, summary: Mapping[str, Any] | None, error: FixbugError | None, tally: Tally
    ) -> None: ...

    def say(self, text: str) -> None: ...


@dataclass(frozen=True)
class Work:
    """What the attempts of one run share. Once ``stop`` is set no further one is begun."""

    folder: Path
    watcher: Watcher
    ledger: Ledger
    stop: threading.Event

    def here(self, job: Job) -> None:
        """Do one in this process, into the run's folder. Raises ``FixbugError`` where it has no outcome."""

        def tell(progress: Progress) -> None:
            self.watcher.progress(job, progress)

        def once() -> None:
            budget = budget_for(job.request)  # a new one: the environment's trouble is not the attempt's time
            self.watcher.begin(job, budget)
            perform(job, self.folder, tell, budget=budget, ledger=self.ledger)

        patiently(once, wait=self.stop.wait)


def patiently(do: Callable[[], None], *, wait: Callable[[float], bool]) -> None:
    """Again after a pause where the environment failed; never where the instance is at fault.

    ``wait``: waits so many seconds, and says whether to give up.
    """
    for pause in (*PAUSES, None):
        try:
            do()
        except (UsageError, *HOPELESS):
            raise
        except FixbugError:
            if pause is None or wait(pause):
                raise
        else:
            return


def tries(error: FixbugError) -> int:
    """How often an attempt that ended with ``error`` was tried."""
    return 1 if isinstance(error, (UsageError, *HOPELESS)) else len(PAUSES) + 1
