"""Predictions, and who makes them: the protocol, and the two simulators that ask no model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent.world.questions.probes import ProbedTest
from agent.world.simulators.scene import Scene
from agent.world.trace import Outcome, Trace, read_trace


@dataclass(frozen=True)
class Prediction:
    """One sample. ``complete`` is False for a cut answer or none; ``illegal`` says why it can't be true.

    ``blind`` is False where the expected values could not all be kept from sight.
    """

    sample: int
    trace: Trace
    label: str
    complete: bool
    runs: int
    forgiven: tuple[str, ...] = ()
    raw: str = ""
    illegal: str = ""
    blind: bool = True
    dense: bool = False
    """Every line event of the functions that were shown is said to be there, so that each step is checked."""
    checked: str = ""
    """What checking says: ``consistent``, ``wrong``, ``unknown``; empty for what only its lines are checked
    of."""
    findings: tuple[str, ...] = ()
    """What checking found in this one, in the order of the trace."""
    resampled: int = 0
    """How many answers before this one were thrown away, because checking contradicted them."""
    repaired: int = 0
    """How often a wrong state was put right, or cut off, and the model went on from there."""

    @property
    def thrown(self) -> str:
        """Why nothing that it says counts: it is cut, cannot be true, or is contradicted; else empty."""
        if self.illegal or self.checked == "wrong":
            return self.illegal or next(iter(self.findings), "checking contradicts it")
        return "" if self.complete else "the answer is cut or no answer"

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """How the runs are predicted to end."""
        return self.trace.outcomes


class Simulator(Protocol):
    """Anything that predicts. An empty list says that it has no idea: unknown."""

    @property
    def label(self) -> str: ...

    def simulate(self, scene: Scene, *, runs: int, samples: int) -> list[Prediction]: ...


@dataclass(frozen=True)
class NoSimulator:
    """Predicts nothing: the verdict is unknown."""

    label: str = "none"

    def simulate(self, scene: Scene, *, runs: int, samples: int) -> list[Prediction]:
        """No prediction."""
        return []


@dataclass(frozen=True)
class OracleSimulator:
    """Predicts by executing, in a throwaway sandbox that the caller supplies: an upper bound, and labelled
    so.

    ``run_traced`` runs the probed test on the patched tree and returns its trace (JSON Lines).
    It is called once: what ran twice alike would count as agreement and is none.
    """

    run_traced: Callable[[ProbedTest], str]
    label: str = "oracle"

    def simulate(self, scene: Scene, *, runs: int, samples: int) -> list[Prediction]:
        """One prediction, whatever ``samples`` says."""
        text = self.run_traced(scene.probed)
        if not text.strip():
            return [Prediction(1, Trace(()), self.label, False, runs, ("nothing was traced",))]
        trace = read_trace(text)
        complete = len(trace.outcomes) >= runs
        return [Prediction(1, trace, self.label, complete, runs, raw=text, blind=False)]


def no_answer(scene: Scene, why: str, *, sample: int, label: str, runs: int, raw: str = "") -> Prediction:
    """A prediction that says nothing: not complete, so that it is never more than unknown."""
    return Prediction(sample, Trace(()), label, False, runs, (why,), raw, blind=scene.blind)
