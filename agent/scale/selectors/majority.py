"""Majority vote over normalised patches (Agentless, arXiv 2407.01489, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

from agent.scale.pool import Need, Pool
from agent.scale.selectors import top


class Majority:
    """The patch that most candidates agree on, as ``canonical`` tells equal ones. Empty ones do not vote."""

    name = "majority"
    needs: tuple[Need, ...] = ()

    def best(self, pool: Pool, among: Sequence[int]) -> Sequence[int]:
        voters = pool.voters(among)
        votes = pool.votes(voters)
        return top(voters, lambda index: votes[index])
