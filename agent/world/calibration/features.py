"""What is known of a prediction before anything runs, as numbers: the input of ``trust.py``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent.world.calibration.kinds import Code
from agent.world.compare import same_value
from agent.world.simulate import Prediction
from agent.world.values import Opaque, read_value

SCALE = 1.0
"""Added to each side when a share is made of few samples: one that agrees is worth less than nine."""


CODE_KINDS = ("loops", "nested loops", "comprehensions", "strings", "slices", "changes in place")
"""Those of ``kinds.KINDS`` that public data tells something about."""


@dataclass(frozen=True)
class Chosen:
    """The answer that most samples give to one question (the earliest of several): ``at`` is the first sample
    with it, ``agreeing`` how many others agree, ``others`` how many there are, ``different`` how many
    different answers came."""

    text: str
    at: int
    agreeing: int
    others: int
    different: int


def choose(answers: Sequence[str | None]) -> Chosen | None:
    """What the samples say together. Answers are compared as values; None (no answer, or one that was thrown
    away) agrees with nothing. None where there is no answer at all."""
    groups: list[list[int]] = []
    for index, answer in enumerate(answers):
        if answer is None:
            continue
        known = next((group for group in groups if same_value(answers[group[0]] or "", answer)), None)
        if known is None:
            groups.append([index])
        else:
            known.append(index)
    if not groups:
        return None
    best = max(groups, key=len)
    nothing = sum(answer is None for answer in answers)
    return Chosen(answers[best[0]] or "", best[0], len(best) - 1, len(answers) - 1, len(groups) + nothing)


def features(code: Code, questions: Sequence[Sequence[str | None]]) -> dict[str, float]:
    """Numbers about one prediction. ``questions``: for each, what every sample answers, as ``repr`` texts.

    ``agreement`` is the log odds of agreeing, of the samples beside the chosen one, smoothed by ``SCALE``,
    averaged over the questions; ``disputed`` the share of questions with more than one answer; ``alone`` is
    1 for a single sample. Lengths are ``log(1 + n)`` of the longest answer.
    """
    chosen = [found for found in map(choose, questions) if found is not None]
    count = len(chosen) or 1
    values = [read_value(found.text) for found in chosen]
    names = [_kind(value) for value in values]
    agreement = sum(
        math.log((found.agreeing + SCALE) / (found.others - found.agreeing + SCALE)) for found in chosen
    )
    made = {
        "alone": float(all(found.others == 0 for found in chosen)),
        "agreement": agreement / count,
        "disputed": sum(found.different > 1 for found in chosen) / count,
        "different answers": sum((found.different - 1) / (found.others or 1) for found in chosen) / count,
        "characters": math.log1p(max((_characters(value) for value in values), default=0)),
        "length": math.log1p(max((len(found.text) for found in chosen), default=0)),
        "code size": math.log1p(code.size),
        "string calls": math.log1p(code.string_calls),
        "branches": math.log1p(code.branches),
    }
    made |= {
        f"answer: {name}": names.count(name) / count for name in ("text", "number", "truth", "unreadable")
    }
    made |= {f"code: {kind}": float(kind in code.kinds) for kind in CODE_KINDS}
    return made


def _kind(value: Any) -> str:
    if isinstance(value, Opaque):
        return "unreadable"
    if isinstance(value, bool) or value is None:
        return "truth"
    if isinstance(value, (int, float, complex)):
        return "number"
    return "text" if isinstance(value, (str, bytes)) else "container"


def _characters(value: Any) -> int:
    """Characters of all strings in a value: what models get wrong most."""
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return sum(map(_characters, value))
    if isinstance(value, dict):
        return sum(_characters(key) + _characters(item) for key, item in value.items())
    return 0


def asked(predictions: Sequence[Prediction]) -> list[list[str | None]]:
    """What every sample answers, question by question: each probe in each run (in order, where it is reached
    more than once), and how each run ends. A sample that was thrown away or says nothing has no answers."""
    said = [{} if prediction.thrown else _said(prediction) for prediction in predictions]
    questions = dict.fromkeys(question for answers in said for question in answers)
    return [[answers.get(question) for answers in said] for question in questions]


def checks(predictions: Sequence[Prediction]) -> dict[str, float]:
    """What checking without running says of the samples that count: the shares that were checked line by line
    with nothing found (``checked``), and that were asked for again or put right before (``redone``)."""
    usable = [prediction for prediction in predictions if not prediction.thrown]
    count = len(usable) or 1
    return {
        "checked": sum(prediction.checked == "consistent" for prediction in usable) / count,
        "redone": sum(bool(p.resampled or p.repaired) for p in usable) / count,
    }


def _said(prediction: Prediction) -> dict[tuple[int, str, int], str]:
    answers: dict[tuple[int, str, int], str] = {}
    count: dict[tuple[int, str], int] = {}
    for frame in prediction.trace.frames:
        if frame.probe is not None and frame.value is not None:
            number = count[frame.run, frame.probe] = count.get((frame.run, frame.probe), 0) + 1
            answers[frame.run, frame.probe, number] = frame.value
    for outcome in prediction.outcomes:
        answers[outcome.run, "", 0] = outcome.message if outcome.outcome != "passed" else "True"
    return answers
