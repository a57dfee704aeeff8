"""Where a model's simulations can be believed, and where never: its record, counted by kind of code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agent.world.calibration.gate import Earned, earned
from agent.world.calibration.intervals import wilson
from agent.world.calibration.kinds import KINDS
from agent.world.calibration.ledger import UNKNOWN_KIND, Entry

BINS = 10
ENOUGH = 10
"""Predictions of one verdict on one kind of code, before a sentence is made of them."""
BELIEVED, DOUBTED = 0.8, 0.7
"""What the interval's lower end must reach to be believed, and its upper end stay below never to be."""
ALL = "all"


@dataclass(frozen=True)
class Share:
    """``hits`` of ``count``, with Wilson's interval of 95 %."""

    hits: int
    count: int

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.hits, self.count)

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``share`` is null for none of none."""
        low, high = self.interval
        share = self.hits / self.count if self.count else None
        return {"hits": self.hits, "count": self.count, "share": share, "low": low, "high": high}


@dataclass(frozen=True)
class OnKind:
    """The record on one kind of code.

    Precision: of what was predicted so, how much came true. Recall: of what came so, how much was predicted
    so (an *unknown* is a miss).
    """

    kind: str
    count: int
    abstained: int
    precision_broken: Share
    recall_broken: Share
    precision_holds: Share
    recall_holds: Share
    earned: Earned


@dataclass(frozen=True)
class Bin:
    """Predictions whose trust lay from ``low`` to ``high``: the mean of it, and how many came true."""

    low: float
    high: float
    mean: float
    right: Share


@dataclass(frozen=True)
class Standing:
    """One simulator's record. ``error``: expected calibration error (bins of equal width), None without any
    trust on record."""

    simulator: str
    count: int
    instances: int
    not_blind: int
    kinds: tuple[OnKind, ...]
    """``all`` first, then the kinds that there are."""
    bins: tuple[Bin, ...]
    error: float | None
    believe: str
    never: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "simulator": self.simulator,
            "predictions": self.count,
            "instances": self.instances,
            "not_blind": self.not_blind,
            "calibration_error": self.error,
            "stop_spending_compute_on": self.believe,
            "never_trust_it_on": self.never,
            "kinds": [
                {
                    "kind": on.kind,
                    "predictions": on.count,
                    "unknown": on.abstained,
                    "precision_broken": on.precision_broken.to_json(),
                    "recall_broken": on.recall_broken.to_json(),
                    "precision_holds": on.precision_holds.to_json(),
                    "recall_holds": on.recall_holds.to_json(),
                    "may_skip_execution": on.earned.allowed,
                    "why": on.earned.why,
                }
                for on in self.kinds
            ],
            "reliability": [
                {"low": b.low, "high": b.high, "mean": b.mean, "right": b.right.to_json()} for b in self.bins
            ],
        }


def standing(simulator: str, entries: Sequence[Entry]) -> Standing:
    """Count the record of one simulator. ``entries``: all of its, those that are not blind among them."""
    record = [entry for entry in entries if entry.blind or simulator == "oracle"]
    there = {kind for entry in record for kind in entry.kinds}
    kinds = [_on_kind(ALL, record, record)]
    for kind in (*KINDS, UNKNOWN_KIND):
        if kind in there:
            kinds.append(_on_kind(kind, [entry for entry in record if kind in entry.kinds], record))
    bins, error = reliability(record)
    return Standing(
        simulator,
        len(record),
        len({entry.instance for entry in record}),
        len(entries) - len(record),
        tuple(kinds),
        bins,
        error,
        _believe(kinds[1:]),
        _never(kinds[1:]),
    )


def _on_kind(kind: str, mine: Sequence[Entry], record: Sequence[Entry]) -> OnKind:
    alarms = [entry for entry in mine if entry.predicted == "broken"]
    passes = [entry for entry in mine if entry.predicted == "holds"]
    failed = [entry for entry in mine if entry.observed == "broken"]
    fine = [entry for entry in mine if entry.observed == "holds"]
    may = Earned(False, "a gate is earned by kind of code") if kind == ALL else earned(record, [kind])
    return OnKind(
        kind,
        len(mine),
        sum(not entry.told for entry in mine),
        _right(alarms),
        _right(failed),
        _right(passes),
        _right(fine),
        may,
    )


def _right(entries: Iterable[Entry]) -> Share:
    outcomes = [entry.right for entry in entries]
    return Share(sum(outcomes), len(outcomes))


def reliability(record: Iterable[Entry]) -> tuple[tuple[Bin, ...], float | None]:
    """The bins that hold anything, and the expected calibration error (Guo et al. 2017, arXiv 1706.04599)."""
    believed = [
        (entry.probability, entry.right) for entry in record if entry.told and entry.probability is not None
    ]
    bins = []
    error = 0.0
    for index in range(BINS):
        mine = [(p, right) for p, right in believed if min(int(p * BINS), BINS - 1) == index]
        if mine:
            mean, right = sum(p for p, _ in mine) / len(mine), sum(right for _, right in mine)
            error += abs(len(mine) * mean - right) / len(believed)
            bins.append(Bin(index / BINS, (index + 1) / BINS, mean, Share(right, len(mine))))
    return tuple(bins), error if bins else None


_Verdict = Literal["broken", "holds"]


def _claims(kinds: Iterable[OnKind]) -> list[tuple[Share, str]]:
    """What can be said of one verdict on one kind, where the counts allow it."""
    claims = []
    for on in kinds:
        verdicts: tuple[tuple[_Verdict, Share], ...] = (
            ("broken", on.precision_broken),
            ("holds", on.precision_holds),
        )
        for verdict, share in verdicts:
            if share.count >= ENOUGH and on.kind != UNKNOWN_KIND:
                low, high = share.interval
                text = (
                    f"code with {on.kind}, where it says {verdict}: {share.hits} of {share.count} came true "
                    f"({low:.2f} to {high:.2f})"
                )
                claims.append((share, text))
    return claims


def _believe(kinds: Sequence[OnKind]) -> str:
    claims = _claims(kinds)
    if not claims:
        return f"not enough: no kind of code has {ENOUGH} predictions of one verdict with a known outcome"
    best, text = max(claims, key=lambda claim: claim[0].interval[0])
    if best.interval[0] < BELIEVED:
        return f"nothing yet: the best is {text}, and the lower end must reach {BELIEVED}"
    return text


def _never(kinds: Sequence[OnKind]) -> str:
    claims = _claims(kinds)
    if not claims:
        return f"not enough: no kind of code has {ENOUGH} predictions of one verdict with a known outcome"
    worst, text = min(claims, key=lambda claim: claim[0].interval[1])
    if worst.interval[1] > DOUBTED:
        return f"nothing stands out: the worst is {text}, and the upper end must stay below {DOUBTED}"
    return text
