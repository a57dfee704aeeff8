"""Whether a predicted failure may keep a candidate from being run: only where this model's record, on this
kind of code, has earned it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.world.calibration.intervals import exact_lower_bound
from agent.world.calibration.ledger import UNKNOWN_KIND, Entry

Gate = Literal["advisory", "earned", "off"]
"""
- ``advisory``: a predicted failure costs the proposer a second look, and the candidate is run.
- ``earned``: where the record allows it, such a candidate is not run.
- ``off``: predictions are written down and compared, and change nothing.
"""

EARNED = 0.9
"""The precision of *broken* that must be exceeded, with 95 % confidence: 29 of 29 are enough, 45 of 46."""
INSTANCES = 5
"""Different tasks that a record must come from: rounds on one task are no independent cases."""


@dataclass(frozen=True)
class Earned:
    """``allowed``: execution may be skipped. ``why``: a clause for a person, with the counts."""

    allowed: bool
    why: str


def earned(record: Sequence[Entry], kinds: Iterable[str]) -> Earned:
    """Whether a prediction of *broken* on code of these ``kinds`` may stand in for running it.

    ``record``: the simulator's entries (``Ledger.of``). The lower bound of the precision of *broken* (Clopper
    and Pearson, one-sided, 95 %) must reach ``EARNED`` for every one of the kinds, each from at least
    ``INSTANCES`` instances.
    """
    wanted = sorted(set(kinds) - {UNKNOWN_KIND})
    if not wanted:
        return Earned(False, "the kind of code is not known")
    weakest: tuple[float, str] | None = None
    for kind in wanted:
        alarms = [e for e in record if e.predicted == "broken" and kind in e.kinds]
        right, instances = sum(e.right for e in alarms), len({e.instance for e in alarms})
        bound = exact_lower_bound(right, len(alarms))
        counts = f"{right} of {len(alarms)} predicted failures on code with {kind} came true"
        if instances < INSTANCES:
            return Earned(False, f"{counts}, on {instances} tasks: too few ({INSTANCES} are needed)")
        if bound < EARNED:
            return Earned(False, f"{counts}: at least {bound:.2f} of such, and {EARNED} is needed")
        if weakest is None or bound < weakest[0]:
            weakest = bound, f"{counts}: at least {bound:.2f} of such, {EARNED} is needed"
    assert weakest is not None
    return Earned(True, weakest[1])
