"""The ceiling: it looks at the labels. Its best@k is pass@k."""

from __future__ import annotations

from collections.abc import Sequence

from agent.scale.pool import Need, Pool
from agent.scale.selectors import top


class Oracle:
    """A candidate that is resolved, if there is one."""

    name = "oracle"
    needs: tuple[Need, ...] = ("labels",)

    def best(self, pool: Pool, among: Sequence[int]) -> Sequence[int]:
        return top(among, lambda index: bool(pool.candidates[index].resolved))
