"""How likely a prediction is right, from what is known before anything runs.

Two steps. The *prior* is a logistic regression on ``features.features``, fitted by ``benchmarks/trust.py`` on
public answers of public models to "what does this function return?" and shipped as ``prior.json``. Then
this model's own record (``ledger.py``) recalibrates it: log odds of the prior, what was predicted and the
kinds of code, again by logistic regression, with a Gaussian prior around "the shipped prior is right" (Platt
1999 is the case of two weights). No record gives the shipped prior back, a long one has the last word.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from agent.world.calibration.features import CODE_KINDS, SCALE
from agent.world.calibration.kinds import KINDS
from agent.world.calibration.ledger import Entry
from agent.world.calibration.logistic import fit, log_odds, sigmoid
from agent.world.intent import Judgement

PRIOR = Path(__file__).with_name("prior.json")
EFFECTS = ("level", "agreement", "disputed")
"""What differs from model to model: how often it is right, and what it means when its samples (dis)agree."""

EXAMPLES: dict[str, dict[str, float]] = {
    title: {"alone": alone, "agreement": math.log((agreeing + SCALE) / (others - agreeing + SCALE))}
    | {"disputed": float(agreeing < others), "different answers": float(agreeing < others)}
    for title, alone, agreeing, others in (
        ("one sample", 1.0, 0, 0),
        ("two agree", 0.0, 1, 1),
        ("two differ", 0.0, 0, 1),
    )
}

CHECKED, REDONE = 1.1, -0.5
"""What checking adds to the log odds, by the share of samples (``features.checks``). Nothing found: of 27
wrong traces of a Code World Model checking leaves 2 unflagged, of 400 true ones all (benchmarks/checking.py),
which would be log(1 / 0.10) = 2.3; half of it, since those are one model's traces of small functions. Put
right or asked for again: a guess, on the cautious side. A record recalibrates what comes of both."""

# Of the recalibration: the mean and the precision of a weight that nothing is known of yet. Predicted
# failures may well come true far more, or less, often than predicted fixes.
_LEVEL, _SLOPE, _BROKEN, _KIND = (0.0, 1.0), (1.0, 4.0), (0.0, 0.25), (0.0, 4.0)


@dataclass(frozen=True)
class Trust:
    """``probability`` that what is predicted is what will happen, and what that rests on."""

    probability: float
    prior: float
    """What the shipped prior says, with what checking found; no record."""
    count: int
    """Predictions of this model with a known outcome that it rests on."""

    @property
    def rests_on(self) -> str:
        return f"{self.count} prediction{'s' * (self.count != 1)} of this model" if self.count else "prior"

    @property
    def text(self) -> str:
        """``trust 0.87 (prior)``."""
        return f"trust {self.probability:.2f} ({self.rests_on})"

    def to_json(self) -> dict[str, Any]:
        """Plain values; the probabilities to four places."""
        return {
            "probability": round(self.probability, 4),
            "prior": round(self.prior, 4),
            "count": self.count,
            "rests_on": self.rests_on,
        }


def trust(
    features: Mapping[str, float],
    kinds: Iterable[str],
    predicted: Judgement,
    simulator: str,
    record: Sequence[Entry],
) -> Trust | None:
    """How far to trust a prediction. None where nothing is predicted, and for the oracle, which executes.

    ``record``: the simulator's entries (``Ledger.of``); those that told nothing are left out.
    """
    if predicted == "unknown" or simulator in ("oracle", "none"):
        return None
    bare = prior_probability(features, simulator.partition(":")[2] or simulator)
    checked = CHECKED * features.get("checked", 0.0) + REDONE * features.get("redone", 0.0)
    prior = sigmoid(log_odds(bare) + checked)
    told = [entry for entry in record if entry.told]
    if not told:
        return Trust(prior, prior, 0)
    weights = _recalibrated(tuple(told))
    row = _row(prior, predicted, kinds)
    return Trust(sigmoid(sum(w * x for w, x in zip(weights, row, strict=True))), prior, len(told))


def prior_probability(features: Mapping[str, float], model: str) -> float:
    """What the shipped prior says. Features beyond those it was fitted on count as the nearest that were; a
    model that it does not know counts as the average of those it does."""
    prior = shipped()
    z = prior["intercept"]
    for name, feature in prior["features"].items():
        value = min(max(features[name], feature["low"]), feature["high"])
        z += feature["weight"] * (value - feature["mean"]) / feature["scale"]
    known = prior["models"].get(model) or prior["models"].get(model.rpartition("/")[2], {})
    inputs = {"level": 1.0, "agreement": features["agreement"], "disputed": features["disputed"]}
    return sigmoid(z + sum(known.get(name, 0.0) * inputs[name] for name in EFFECTS))


def shipped_examples() -> dict[str, dict[str, float]]:
    """What the shipped prior says of a model that it does not know, on answers of middling length: by kind of
    code, for each of ``EXAMPLES``."""
    middle = {name: feature["mean"] for name, feature in shipped()["features"].items()}
    middle |= {f"code: {kind}": 0.0 for kind in CODE_KINDS}
    return {
        kind: {
            title: round(prior_probability(middle | {f"code: {kind}": 1.0} | given, ""), 3)
            for title, given in EXAMPLES.items()
        }
        for kind in CODE_KINDS
    }


@cache
def shipped() -> dict[str, Any]:
    """The shipped prior, as ``prior.json`` holds it."""
    loaded: dict[str, Any] = json.loads(PRIOR.read_text("utf-8"))
    return loaded


def _row(prior: float, predicted: Judgement, kinds: Iterable[str]) -> list[float]:
    there = set(kinds)
    return [1.0, log_odds(prior), float(predicted == "broken"), *(float(kind in there) for kind in KINDS)]


@cache
def _recalibrated(record: tuple[Entry, ...]) -> tuple[float, ...]:
    settings = [_LEVEL, _SLOPE, _BROKEN, *(_KIND for _ in KINDS)]
    even = 0.5  # says nothing: an entry from before priors were recorded
    rows = [_row(even if e.prior is None else e.prior, e.predicted, e.kinds) for e in record]
    return tuple(fit(rows, [e.right for e in record], [m for m, _ in settings], [p for _, p in settings]))
