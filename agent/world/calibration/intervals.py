"""How sure a share is that was counted from few cases."""

from __future__ import annotations

import math

Z95 = 1.959964
"""Standard normal quantile of a two-sided interval of 95 %."""


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927, score interval); all of 0 to 1 for no cases."""
    if not count:
        return 0.0, 1.0
    share, square = hits / count, Z95 * Z95
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = Z95 * math.sqrt(share * (1 - share) / count + square / (4 * count * count)) / (1 + square / count)
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    return low, 1.0 if hits == count else min(1.0, middle + half)


def exact_lower_bound(hits: int, count: int, confidence: float = 0.95) -> float:
    """The one-sided lower bound of a share (Clopper and Pearson 1934): the share at which so many ``hits``,
    or more, would come with a probability of ``1 - confidence``. 0 for no hits."""
    if not hits:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(50):
        share = (low + high) / 2
        above = sum(_chance(k, count, share) for k in range(hits, count + 1))
        low, high = (share, high) if above < 1 - confidence else (low, share)
    return low


def _chance(hits: int, count: int, share: float) -> float:
    if share in (0.0, 1.0):
        return float(hits == count * share)
    ways = math.lgamma(count + 1) - math.lgamma(hits + 1) - math.lgamma(count - hits + 1)
    return math.exp(ways + hits * math.log(share) + (count - hits) * math.log(1 - share))
