"""Existing tests that passed before the patch: the fewer it breaks, the better."""

from __future__ import annotations

from collections.abc import Sequence

from agent.scale.pool import Need, Pool
from agent.scale.selectors import top


class Regression:
    """Those that keep most tests passing. Ties are left as ties, so that its worth by itself shows."""

    name = "regression"
    needs: tuple[Need, ...] = ("regression",)

    def best(self, pool: Pool, among: Sequence[int]) -> Sequence[int]:
        return top(pool.voters(among), lambda index: pool.run(index).kept)
