"""What a world model predicted, weighted by the trust that its record has earned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from agent.scale.candidates import Candidate
from agent.scale.pool import Need, Pool
from agent.scale.selectors import top

UNPROVEN = 0.75
"""The trust in a prediction that says nothing of it: better than a coin, and less than most records."""


class Simulated:
    """The patch whose predictions weigh most: holds counts for it, broken against it, unknown nothing."""

    name = "simulated"
    needs: tuple[Need, ...] = ("predictions",)

    def best(self, pool: Pool, among: Sequence[int]) -> Sequence[int]:
        voters = pool.voters(among)
        weights = predicted_weight(pool, voters)
        return top(voters, lambda index: weights[pool.keys[index]])


def predicted_weight(pool: Pool, among: Sequence[int]) -> Mapping[str, float]:
    """Key of a patch → mean weight of the predictions on it, -1 (surely broken) to 1 (surely holds)."""
    found: dict[str, list[float]] = defaultdict(list)
    for index in among:
        found[pool.keys[index]].append(_weight(pool.candidates[index]))
    return {key: sum(weights) / len(weights) for key, weights in found.items()}


def _weight(candidate: Candidate) -> float:
    """Trust is the chance that the prediction is right: a half is worth nothing, less speaks against it."""
    trust = UNPROVEN if candidate.trust is None else candidate.trust
    return {"holds": 1.0, "broken": -1.0}.get(candidate.predicted or "unknown", 0.0) * (2 * trust - 1)
