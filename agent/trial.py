"""The values that pass between the stages of an attempt (``loop.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agent.world.calibration.basis import Basis
from agent.world.calibration.gate import Gate
from agent.world.compare import Divergence
from agent.world.questions.probes import ProbedTest
from agent.world.simulate import Prediction
from agent.world.simulators.scene import Scene
from agent.world.trace import Trace
from agent.world.verdict import Verdict

Feedback = Literal["full", "outcome", "none"]
"""What is told of a run. ``full``: what happened, what was predicted, and where the two part; ``outcome``:
what happened; ``none``: that the patch is not accepted. Each says less than the one before it."""

WorldModel = Literal["chat", "lines", "cwm", "cwm-step", "cwm-single", "cwm-chat", "oracle", "none"]


@dataclass(frozen=True)
class LoopSettings:
    """How one attempt goes."""

    world_model: WorldModel = "chat"
    runs: int = 2
    """How often the test runs back to back, in the head and for real."""
    samples: int = 2
    """Independent simulations of those runs."""
    gate: Gate = "advisory"
    """What a predicted failure may do."""
    max_rounds: int = 3
    blind: bool = True
    """Whether what the test expects is kept from who simulates. Without it the prediction earns no trust."""
    feedback: Feedback = "full"
    """What the proposer is told of a run."""
    test_seconds: float = 300.0
    """Time limit of one go of the tests."""


@dataclass(frozen=True)
class Bench:
    """The test that shows the bug, and what it did on the base commit."""

    tests: tuple[str, ...]
    """All that fail; the first is the one that is simulated and traced."""
    probed: ProbedTest
    before: Trace
    outcomes: tuple[str, ...]
    output: str
    neighbours: tuple[str, ...]
    texts: dict[str, bytes]
    """The test files as they are on the base commit: what a patch does to them does not count."""

    @property
    def test(self) -> str:
        return self.tests[0]


@dataclass(frozen=True)
class Imagined:
    """What was simulated, and the samples that came of it; neither where there is no test."""

    scene: Scene | None = None
    predictions: Sequence[Prediction] = ()


@dataclass(frozen=True)
class Foreseen:
    """Predictions, the verdict on them, and what that rests on."""

    predictions: Sequence[Prediction]
    verdict: Verdict
    basis: Basis


@dataclass(frozen=True)
class Observation:
    """What happened when a patch ran. ``passed_over``: why it was not run at all; empty where it was."""

    verdict: Verdict
    trace: Trace
    outcomes: tuple[str, ...]
    broken_neighbours: tuple[str, ...]
    output: str
    passed: bool = False
    """The failing tests pass now, in every run."""
    passed_over: str = ""


@dataclass(frozen=True)
class Trial:
    """One proposal that was judged, and all that was learnt."""

    patch: str
    foreseen: Foreseen
    observed: Observation
    divergence: Divergence | None
    second_look: bool

    @property
    def merit(self) -> tuple[bool, bool, bool, bool]:
        """Orders the rounds: passing tests count most, then having been run, then what else was expected."""
        seen = self.observed
        return (
            seen.passed,
            not seen.passed_over,
            not seen.broken_neighbours,
            seen.verdict.value == "holds",
        )
