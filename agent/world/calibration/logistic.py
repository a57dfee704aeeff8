"""Logistic regression in a few lines: a Gaussian prior on the weights, fitted by Newton's method.

McCullagh and Nelder, Generalized Linear Models (2nd ed., 1989), section 4.4; the prior makes it a
maximum a posteriori estimate, so that no data gives the prior's own means back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

MAX_STEPS = 30
TOLERANCE = 1e-6
_SURE = 30.0


def sigmoid(z: float) -> float:
    """The probability of log odds ``z``."""
    return 1 / (1 + math.exp(-max(-_SURE, min(_SURE, z))))


def log_odds(p: float) -> float:
    """The inverse of ``sigmoid``, for a probability that is kept off 0 and 1."""
    p = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(p / (1 - p))


def fit(
    rows: Sequence[Sequence[float]],
    targets: Sequence[bool],
    means: Sequence[float],
    precisions: Sequence[float],
) -> list[float]:
    """The weights that best explain ``targets`` by ``rows``, given what was thought of them before:
    independent Gaussians with ``means`` and ``precisions`` (one over the variance, all above 0)."""
    size = len(means)

    def loss(weights: Sequence[float]) -> float:
        """Minus the log of the posterior, but for a constant."""
        known = zip(weights, means, precisions, strict=True)
        return sum(q * (w - m) ** 2 / 2 for w, m, q in known) + sum(
            _cost(sum(w * x for w, x in zip(weights, row, strict=True)), target)
            for row, target in zip(rows, targets, strict=True)
        )

    weights = list(means)
    for _ in range(MAX_STEPS):
        slope = [precisions[i] * (means[i] - weights[i]) for i in range(size)]
        bend = [[precisions[i] if i == j else 0.0 for j in range(size)] for i in range(size)]
        for row, target in zip(rows, targets, strict=True):
            p = sigmoid(sum(w * x for w, x in zip(weights, row, strict=True)))
            known = [i for i in range(size) if row[i]]
            for i in known:
                slope[i] += (target - p) * row[i]
                for j in known:
                    bend[i][j] += p * (1 - p) * row[i] * row[j]
        step = _solve(bend, slope)
        here, share = loss(weights), 1.0
        # Far from the top a whole Newton step may overshoot: it is halved until it leads upwards.
        while loss(_moved(weights, step, share)) > here and share > 1e-6:
            share /= 2
        weights = _moved(weights, step, share)
        if max(map(abs, step), default=0.0) < TOLERANCE:
            break
    return weights


def _moved(weights: Sequence[float], step: Sequence[float], share: float) -> list[float]:
    return [w + share * s for w, s in zip(weights, step, strict=True)]


def _cost(z: float, target: bool) -> float:
    """Minus the log of the probability of ``target`` at log odds ``z``."""
    z = -z if target else z
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Gauss elimination; the matrix is symmetric and positive definite, so that no pivot is 0."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for i in range(size):
        for j in range(i + 1, size):
            factor = rows[j][i] / rows[i][i]
            if factor:
                rows[j] = [a - factor * b for a, b in zip(rows[j], rows[i], strict=True)]
    result = [0.0] * size
    for i in reversed(range(size)):
        rest = sum(rows[i][j] * result[j] for j in range(i + 1, size))
        result[i] = (rows[i][size] - rest) / rows[i][i]
    return result
