"""The two that look at nothing: what every other selector is measured against."""

from __future__ import annotations

from collections.abc import Sequence

from agent.scale.pool import Need, Pool


class First:
    """The candidate that came first. Over all subsets of a size that favours the early ones."""

    name = "first"
    needs: tuple[Need, ...] = ()

    def best(self, pool: Pool, among: Sequence[int]) -> Sequence[int]:
        return among[:1]


class Random:
    """Any of them: pass@1, whatever k is."""

    name = "random"
    needs: tuple[Need, ...] = ()

    def best(self, pool: Pool, among: Sequence[int]) -> Sequence[int]:
        return among
