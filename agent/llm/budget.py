"""What an attempt may use, and what it has used: tokens, money, steps and seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from agent.errors import BudgetExhausted
from agent.llm import Usage


class Budget:
    """Counts, and raises ``BudgetExhausted`` once a limit is reached (None: no limit). Thread-safe.

    ``charge`` never raises: what it counts has been paid for and may be used. The next ``check``
    does. Seconds run from construction, on ``clock``.
    """

    def __init__(
        self,
        *,
        tokens: int | None = None,
        usd: float | None = None,
        steps: int | None = None,
        seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits: dict[str, float | None] = {
            "tokens": tokens,
            "usd": usd,
            "steps": steps,
            "seconds": seconds,
        }
        self._clock = clock
        self._started = clock()
        self._lock = threading.Lock()
        self._usage = Usage()
        self._usd = 0.0
        self._requests = 0
        self._unpriced = 0
        self._estimated = 0
        self._steps = 0
        self._price_said = False
        self._models: set[str] = set()

    def charge(self, usage: Usage, cost_usd: float | None, *, estimated: bool = False) -> None:
        """Count one answered request. ``estimated``: its endpoint reported no usage."""
        with self._lock:
            self._requests += 1
            self._usage = self._usage + usage
            self._estimated += estimated
            if cost_usd is None:
                self._unpriced += 1
            else:
                self._usd += cost_usd

    def answered_by(self, model: str) -> None:
        """Note who answered: the model's name as the endpoint gives it, with its fingerprint."""
        with self._lock:
            self._models.add(model)

    def step(self) -> None:
        """Count one step. Raises when none is left."""
        with self._lock:
            self._raise_if_used_up("steps", self._steps)
            self._steps += 1

    def check(self, *, step: bool = False) -> None:
        """Raise when tokens, money or seconds are used up; with ``step`` also when no step is left."""
        with self._lock:
            self._raise_if_used_up("tokens", self._usage.tokens)
            self._raise_if_used_up("usd", self._usd)
            self._raise_if_used_up("seconds", self.seconds)
            if step:
                self._raise_if_used_up("steps", self._steps)

    @property
    def seconds(self) -> float:
        """Seconds since the budget was made."""
        return self._clock() - self._started

    @property
    def seconds_left(self) -> float | None:
        """None: no limit."""
        limit = self.limits["seconds"]
        return None if limit is None else max(0.0, limit - self.seconds)

    def price_unknown(self) -> bool:
        """True once, the first time it is asked after money was limited but could not be counted."""
        with self._lock:
            say = bool(self._unpriced) and self.limits["usd"] is not None and not self._price_said
            self._price_said = self._price_said or say
            return say

    def snapshot(self) -> dict[str, Any]:
        """What was used, for reports. ``usd`` is None (unknown) if any request had no price."""
        with self._lock:
            return {
                "requests": self._requests,
                "tokens": self._usage.tokens,
                "prompt_tokens": self._usage.prompt_tokens,
                "completion_tokens": self._usage.completion_tokens,
                "cached_tokens": self._usage.cached_tokens,
                "estimated_requests": self._estimated,
                "usd": None if self._unpriced else self._usd,
                "usd_known": self._usd,
                "steps": self._steps,
                "seconds": self.seconds,
                "models": sorted(self._models),
                "limits": dict(self.limits),
            }

    def _raise_if_used_up(self, resource: str, used: float) -> None:
        limit = self.limits[resource]
        if limit is not None and used >= limit:
            raise BudgetExhausted(resource, used, limit)
