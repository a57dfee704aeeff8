"""What a proposer is told about its patch: before it is run, where it is not run, and after it was."""

from __future__ import annotations

import re

from agent.evidence import tail
from agent.trial import Feedback, Trial
from agent.world.questions.probes import PROBE
from agent.world.verdict import Verdict
from prompts import render

_PROBED = re.compile(re.escape(PROBE) + r"\((['\"])p\d+\1, \(")
_WHERE = re.compile(r"\n[E ]*\+ +where [^\n]* = " + re.escape(PROBE) + r"\([^\n]*?\)(?=\n|;|$| \[)")
"""pytest's line about what the probe returned: the operand itself."""

__all__ = ["after_run", "passed_over", "second_look"]


def second_look(predicted: Verdict) -> str:
    """Before a patch is run that is predicted to fail."""
    return render("second_look.md.j2", reasons=_listed(predicted))


def passed_over(trial: Trial) -> str:
    """Of a patch that was predicted to fail and not run."""
    return render(
        "passed_over.md.j2", reasons=_listed(trial.foreseen.verdict), record=trial.observed.passed_over
    )


def after_run(trial: Trial, told: Feedback, rounds_left: int) -> str:
    """Of a patch that was run and does not hold."""
    if told == "none":
        return render("not_accepted.md.j2", rounds_left=rounds_left)
    observed, foreseen = trial.observed, trial.foreseen.verdict
    whole = told == "full"
    return render(
        "feedback.md.j2",
        headline=as_written(f"Observed: {observed.verdict.value}. {'; '.join(observed.verdict.reasons)}"),
        outcomes=observed.outcomes,
        broken_neighbours=observed.broken_neighbours,
        predicted=foreseen.value if whole and foreseen.value != "unknown" else "",
        divergence=trial.divergence.text if whole and trial.divergence else "",
        output=as_written(tail(observed.output)),
        rounds_left=rounds_left,
    )


def as_written(text: str) -> str:
    """What a probed test printed, as the test in the repository would have: its operands without probes."""
    text, done = _WHERE.sub("", text), 0
    while (found := _PROBED.search(text, done)) is not None:
        done, end = found.start(), _closing(text, found.end())
        if end is None:
            done = found.end()
        else:
            text = text[: found.start()] + text[found.end() : end] + text[end + 2 :]
    return text


def _closing(text: str, start: int) -> int | None:
    """Where the bracket before ``start`` closes, and the call's own behind it; None: not on that line."""
    depth = 0
    for place in range(start, len(text)):
        if text[place] == "\n":
            return None
        depth += (text[place] in "([{") - (text[place] in ")]}")
        if depth < 0:
            return place if text[place : place + 2] == "))" else None
    return None


def _listed(predicted: Verdict) -> str:
    return as_written("\n".join(f"- {reason}" for reason in predicted.reasons))
