"""The candidate most similar to the others: a majority vote that counts near misses."""

from __future__ import annotations

from collections.abc import Sequence

from agent.scale.pool import Need, Pool
from agent.scale.selectors import top


class Consensus:
    """The highest sum of similarities (``Pool.similarity``) to the other candidates: the medoid."""

    name = "consensus"
    needs: tuple[Need, ...] = ()

    def best(self, pool: Pool, among: Sequence[int]) -> Sequence[int]:
        voters = pool.voters(among)
        return top(voters, lambda index: sum(pool.similarity[index][other] for other in voters))
