"""Spectrum-based fault localisation: which lines are likely to hold the bug.

Ochiai (Ochiai 1957; Abreu, Zoeteweij and van Gemund, "On the accuracy of spectrum-based fault
localization", 2007)::

    suspicion(line) = failed(line) / sqrt(total_failed * (failed(line) + passed(line)))

where ``failed(line)`` and ``passed(line)`` count the tests of each kind that execute the line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Coverage = Mapping[str, Sequence[int]]
"""File (relative to the repository) → the lines that one test executed."""


def ochiai(failing: Sequence[Coverage], passing: Sequence[Coverage]) -> dict[str, dict[int, float]]:
    """File → line → suspicion in 0..1, for lines that some failing test executed."""
    bad, good = _count(failing), _count(passing)
    scores: dict[str, dict[int, float]] = {}
    for (path, line), failed in bad.items():
        passed = good.get((path, line), 0)
        score = failed / math.sqrt(len(failing) * (failed + passed))
        scores.setdefault(path, {})[line] = score
    return scores


def _count(runs: Sequence[Coverage]) -> dict[tuple[str, int], int]:
    counts: dict[tuple[str, int], int] = {}
    for run in runs:
        for path, lines in run.items():
            for line in lines:
                counts[path, line] = counts.get((path, line), 0) + 1
    return counts
