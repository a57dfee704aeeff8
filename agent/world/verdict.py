"""Verdicts: predictions and observations laid beside expectations, and what the two together mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.world.intent import Expectation, Judgement, evaluate
from agent.world.simulate import Prediction
from agent.world.trace import Trace


@dataclass(frozen=True)
class Verdict:
    """``holds``, ``broken`` or ``unknown``; ``per_expectation``: id → one judgement a run.

    ``agreement`` is the share of judgements in which all samples agree, None with fewer than two samples.
    """

    value: Judgement
    reasons: tuple[str, ...] = ()
    per_expectation: Mapping[str, tuple[Judgement, ...]] = field(default_factory=dict)
    agreement: float | None = None
    why: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Expectation's id → why it is judged so, one text a run, with the values that it was judged by."""


def judge(predictions: Sequence[Prediction], expectations: Sequence[Expectation]) -> Verdict:
    """Lay predictions beside expectations. Cut, illegal and disputed ones are unknown, never a pass.

    An expectation that all samples break in some run makes it broken. It holds where every sample
    gets through every run and every assertion holds in each. Expectations from the report can break a
    verdict and
    say so, but one that can't be told does not keep it from holding.
    """
    if not predictions:
        return Verdict("unknown", ("nothing was predicted (no world model)",))
    whole = [p for p in predictions if not p.thrown]
    thrown = [f"sample {p.sample}: {p.thrown}" for p in predictions if p.thrown]
    if not whole:
        return Verdict("unknown", tuple(thrown))
    runs = range(1, max(p.runs for p in whole) + 1)
    table: dict[str, tuple[Judgement, ...]] = {}
    why_each: dict[str, tuple[str, ...]] = {}
    agreed: list[bool] = []
    reasons: list[str] = []
    for expectation in expectations:
        row: list[Judgement] = []
        texts: list[str] = []
        for run in runs:
            samples = [evaluate(expectation, p.trace, run) for p in whole]
            texts.append(_why(expectation, whole, samples, run))
            agreed.append(len(set(samples)) == 1)
            row.append(samples[0] if agreed[-1] else "unknown")
            if row[-1] == "broken":
                source = "" if expectation.origin == "assertion" else "expected from the report: "
                values = _values(expectation, whole[0].trace, run) or "predicted"
                reasons.append(f"run {run}: {source}{expectation.why} [{values}]")
        table[expectation.id] = tuple(row)
        why_each[expectation.id] = tuple(texts)
    endings = [[_ended(p, run) for p in whole] for run in runs]
    agreed += [len(set(ending)) == 1 for ending in endings]
    for run, ending in zip(runs, endings, strict=True):
        if set(ending) == {"broken"}:
            outcome = whole[0].trace.outcome(run)
            reasons.append(
                f"run {run} is predicted to end in {outcome.message if outcome else 'an exception'}"
            )
    agreement = sum(agreed) / len(agreed) if len(whole) > 1 and agreed else None
    if reasons:
        return Verdict("broken", (*reasons, *thrown), table, agreement, why_each)
    open_ = [e for e in expectations if e.origin == "assertion" and set(table[e.id]) != {"holds"}]
    asserted = any(e.origin == "assertion" for e in expectations)
    if asserted and not open_ and not thrown and all(set(ending) == {"holds"} for ending in endings):
        return Verdict(
            "holds", ("every assertion holds in every run and sample",), table, agreement, why_each
        )
    why = [f"can't be told, or disputed: {e.why}" for e in open_[:5]]
    if not asserted:
        why.append("the test has no assertion that could be asked about")
    if not all(set(ending) == {"holds"} for ending in endings):
        why.append("the samples do not agree that every run gets to its end")
    return Verdict("unknown", (*why, *thrown), table, agreement, why_each)


def _why(expectation: Expectation, whole: Sequence[Prediction], judged: Sequence[Judgement], run: int) -> str:
    """Why an expectation is judged so in one run: what each sample says, once where they say the same."""
    said = [
        _with(judgement, _values(expectation, p.trace, run))
        if judgement != "unknown"
        else "unknown (not reached, or not to be told from what is predicted)"
        for p, judgement in zip(whole, judged, strict=True)
    ]
    if len(set(judged)) == 1:
        return said[0]
    samples = (f"sample {p.sample}: {text}" for p, text in zip(whole, said, strict=True))
    return "disputed: " + "; ".join(samples)


def _ended(prediction: Prediction, run: int) -> Judgement:
    outcome = prediction.trace.outcome(run)
    if outcome is None or outcome.outcome == "skipped":
        return "unknown"
    return "holds" if outcome.outcome == "passed" else "broken"


def _values(expectation: Expectation, trace: Trace, run: int) -> str:
    probes = expectation.point.probes
    shown = [f"{f.probe} = {f.value}" for f in trace.frames if f.run == run and f.probe and f.probe in probes]
    return ", ".join(shown[:4])


def _with(judgement: Judgement, values: str) -> str:
    return f"{judgement} [{values}]" if values else judgement


def judge_observed(trace: Trace, expectations: Sequence[Expectation], *, passed: bool) -> Verdict:
    """The same for what was observed. A test that fails is broken, whatever else; Python judged its
    assertions.

    ``passed``: every run passed. Then the assertions hold, also those that the trace can't tell.
    """
    runs = trace.runs or (1,)
    table: dict[str, tuple[Judgement, ...]] = {}
    why: dict[str, tuple[str, ...]] = {}
    reasons: list[str] = []
    for expectation in expectations:
        row: tuple[Judgement, ...] = tuple(evaluate(expectation, trace, run) for run in runs)
        if passed and expectation.origin == "assertion":
            row = tuple("holds" for _ in runs)
        table[expectation.id] = row
        seen = [_values(expectation, trace, run) for run in runs]
        why[expectation.id] = tuple(_with(*pair) for pair in zip(row, seen, strict=True))
        for run, judged in zip(runs, row, strict=True):
            if judged == "broken":
                source = "" if expectation.origin == "assertion" else "expected from the report: "
                reasons.append(
                    f"run {run}: {source}{expectation.why} [{_values(expectation, trace, run) or 'observed'}]"
                )
    if not passed:
        failed = [f"run {o.run} {o.outcome}: {o.message}" for o in trace.outcomes if o.outcome != "passed"]
        return Verdict("broken", (*(failed or ["the test fails"]), *reasons), table, why=why)
    if reasons:
        return Verdict("broken", tuple(reasons), table, why=why)
    return Verdict("holds", ("the test passes in every run",), table, why=why)


def row(predicted: Verdict, observed: Verdict) -> str:
    """What a prediction and an observation mean together: the table of three ledgers."""
    if observed.value == "unknown":
        return "look again" if predicted.value == "broken" else "not known"
    if predicted.value == "unknown":
        return "fix, not predicted" if observed.value == "holds" else "no fix, not predicted"
    if predicted.value == "holds":
        return "understood fix" if observed.value == "holds" else "the model's idea is wrong"
    return "false alarm" if observed.value == "holds" else "foreseen failure"
