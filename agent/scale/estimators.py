"""The statistics of sweeps and ablations, each with its source.

Nothing here knows of patches: values are numbers, one an instance, unless said otherwise.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist, fmean

__all__ = [
    "Interval",
    "Paired",
    "Subsets",
    "bootstrap",
    "holm",
    "instances_needed",
    "mcnemar",
    "paired",
    "pass_at_k",
    "subsets",
    "wilson",
]

CONFIDENCE = 0.95
FEWEST = 10
"""With fewer instances a bootstrap interval is too narrow to say anything."""
RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """A point, and the ends of the interval around it."""

    point: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high


def pass_at_k(n: int, correct: int, k: int) -> float:
    """The chance that at least one of ``k`` candidates, drawn without replacement from ``n``, is correct.

    1 - C(n - c, k) / C(n, k): the unbiased estimator of Chen et al. 2021, "Evaluating Large Language Models
    Trained on Code", arXiv 2107.03374, equation 1.
    """
    if not 0 <= correct <= n or not 1 <= k <= n:
        raise ValueError(f"expected 0 <= correct <= n and 1 <= k <= n, got n={n}, correct={correct}, k={k}")
    return 1.0 - math.comb(n - correct, k) / math.comb(n, k)


@dataclass(frozen=True)
class Subsets:
    """Subsets of ``range(n)`` to average over. ``exact``: they are all that there are of that size."""

    members: tuple[tuple[int, ...], ...]
    exact: bool


def subsets(n: int, k: int, *, most: int = 2000, seed: int = 0) -> Subsets:
    """Every subset of size ``k`` where there are at most ``most``, else ``most`` drawn at random.

    The expectation over all subsets is best@k as pass@k estimates it: what a selector would have picked
    had ``k`` of the ``n`` candidates been made.
    """
    if not 1 <= k <= n:
        raise ValueError(f"expected 1 <= k <= n, got n={n}, k={k}")
    if math.comb(n, k) <= most:
        return Subsets(tuple(combinations(range(n), k)), exact=True)
    draw = random.Random(f"{seed}/{n}/{k}")
    return Subsets(tuple(tuple(sorted(draw.sample(range(n), k))) for _ in range(most)), exact=False)


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927, JASA 22:209-212)."""
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"expected 0 <= successes <= n and n >= 1, got {successes} of {n}")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Interval(p, max(0.0, centre - half), min(1.0, centre + half))


def bootstrap(
    columns: Sequence[Sequence[float]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> list[Interval]:
    """The mean of each column with its percentile bootstrap interval (Efron 1979), rows resampled.

    ``columns`` are equally long, a row an instance: every column sees the same resamples, so intervals of
    different selectors are comparable, and a column of differences is a paired bootstrap.
    """
    import numpy

    if not columns:
        return []
    values = numpy.asarray(columns, dtype=float).T
    n = len(values)
    if not n:
        raise ValueError("expected at least one row")
    generator = numpy.random.default_rng(seed)
    means = numpy.empty((resamples, values.shape[1]))
    block = max(1, 4_000_000 // n)
    for begin in range(0, resamples, block):
        size = min(block, resamples - begin)
        weights = generator.multinomial(n, numpy.full(n, 1 / n), size=size)
        means[begin : begin + size] = weights @ values / n
    tail = (1 - confidence) / 2
    low, high = numpy.quantile(means, [tail, 1 - tail], axis=0)
    return [
        Interval(float(mean), float(below), float(above))
        for mean, below, above in zip(values.mean(axis=0), low, high, strict=True)
    ]


def mcnemar(won: int, lost: int) -> float:
    """The two-sided exact p-value of McNemar's test: ``won`` and ``lost`` are the discordant pairs.

    Under no difference each is a fair coin (McNemar 1947, Psychometrika 12:153-157; the exact form is the
    binomial test). No discordant pair: 1.
    """
    if won < 0 or lost < 0:
        raise ValueError(f"expected counts, got {won} and {lost}")
    n = won + lost
    tail = sum(math.comb(n, i) for i in range(min(won, lost) + 1))
    return min(1.0, float(2 * tail / 2**n))


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for their number (Holm 1979, Scand. J. Statist. 6:65-70). None stays None."""
    order = sorted((p, i) for i, p in enumerate(ps) if p is not None)
    corrected: list[float | None] = [None] * len(ps)
    largest = 0.0
    for rank, (p, i) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        corrected[i] = largest
    return corrected


def instances_needed(
    differences: Sequence[float], *, power: float = 0.8, confidence: float = CONFIDENCE
) -> int | None:
    """How many instances it would take to see a mean difference like that of ``differences``.

    For pairs that differ by -1, 0 or 1 with share ``d`` discordant and mean ``m`` this is the sample size of
    McNemar's test, (z_a sqrt(d) + z_b sqrt(d - m^2))^2 / m^2 (Connor 1987, Biometrics 43:207-211); ``d`` is
    the mean square, which is also right for differences in between. None where the mean is zero.
    """
    mean = fmean(differences)
    square = fmean(value * value for value in differences)
    if abs(mean) < 1e-12:
        return None
    normal = NormalDist()
    alpha, beta = normal.inv_cdf(0.5 + confidence / 2), normal.inv_cdf(power)
    needed = (alpha * math.sqrt(square) + beta * math.sqrt(max(square - mean * mean, 0.0))) ** 2 / mean**2
    return math.ceil(needed - 1e-9)


@dataclass(frozen=True)
class Paired:
    """What ``b`` has over ``a``, instance by instance."""

    difference: Interval
    instances: int
    won: int
    """Instances on which ``b`` is better."""
    lost: int
    p: float | None
    """McNemar's exact test; None where a value is neither 0 nor 1."""
    needed: int | None
    """Instances it would take to see a difference of this size; None where there is none."""

    @property
    def told(self) -> str:
        """``gain`` or ``loss`` only where the interval leaves zero out."""
        if self.instances < FEWEST:
            return "too few instances to tell"
        if self.difference.holds(0.0):
            return "no difference shown"
        return "gain" if self.difference.point > 0 else "loss"


def paired(a: Sequence[float], b: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0) -> Paired:
    """Compare two columns of the same instances in the same order."""
    differences = [right - left for left, right in zip(a, b, strict=True)]
    won, lost = sum(d > 1e-12 for d in differences), sum(d < -1e-12 for d in differences)
    binary = all(value in (0.0, 1.0) for value in (*a, *b))
    return Paired(
        difference=bootstrap([differences], resamples=resamples, seed=seed)[0],
        instances=len(differences),
        won=won,
        lost=lost,
        p=mcnemar(won, lost) if binary else None,
        needed=instances_needed(differences),
    )
