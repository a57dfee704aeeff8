"""Regular expressions of a test, searched for in predicted texts, in bounded time.

Patterns and texts come from strangers, and ``re`` backtracks: what might take long is not tried.
"""

from __future__ import annotations

import re
import warnings
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

MAX_STEPS = 1e8
"""A bound on (length of the text) x (ways in which the pattern's repeats and branches can be tried)."""


def search(pattern: str, text: str) -> bool | None:
    """Whether the pattern is found anywhere in the text; None where that can't be told in bounded time.

    A pattern that ``re`` refuses is None too.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cost = (len(text) + 1) * _ways(_parser.parse(pattern), len(text) + 1, repeated=False)
            if cost > MAX_STEPS:
                return None
            return re.search(pattern, text) is not None
    except (re.error, RecursionError, OverflowError, ValueError):
        return None


def _ways(parts: Any, length: int, *, repeated: bool) -> float:
    """How often a part may be tried at one place: a product over repeats and branches.

    A choice inside of a repeat is tried anew in each round: more than any bound.
    """
    ways = 1.0
    for kind, value in parts:
        if kind in (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT):
            low, high, inner = value
            rounds = min(int(high), length)
            if rounds != low:
                if repeated:
                    return float("inf")
                ways *= max(2, rounds - low + 1)
            ways *= _ways(inner, length, repeated=repeated or rounds > 1)
        elif kind is _constants.BRANCH:
            if repeated:
                return float("inf")
            ways *= sum(_ways(branch, length, repeated=False) for branch in value[1])
        elif kind is _constants.SUBPATTERN:
            ways *= _ways(value[3], length, repeated=repeated)
        elif kind in (_constants.ASSERT, _constants.ASSERT_NOT):
            ways *= _ways(value[1], length, repeated=repeated)
        elif kind in (_constants.ATOMIC_GROUP, _constants.GROUPREF_EXISTS):
            return float("inf")
    return ways
