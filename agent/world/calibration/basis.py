"""What a verdict on predictions rests on: features, kinds of code, trust, and whether it has earned to skip
execution. It is written down with the verdict, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.world.calibration.features import asked, checks, features
from agent.world.calibration.gate import Earned, earned
from agent.world.calibration.kinds import Code, code_of
from agent.world.calibration.ledger import Ledger
from agent.world.simulate import Prediction
from agent.world.simulators.scene import Scene
from agent.world.trust import Trust, trust
from agent.world.verdict import Verdict

NOTHING = Earned(False, "nothing is predicted to fail")


@dataclass(frozen=True)
class Basis:
    """``trust`` is None where nothing was predicted, and for the oracle."""

    simulator: str
    blind: bool
    kinds: tuple[str, ...]
    features: Mapping[str, float] = field(default_factory=dict)
    trust: Trust | None = None
    earned: Earned = NOTHING
    findings: tuple[str, ...] = ()
    """What checking found in the samples, those thrown away among them, one line each."""

    def to_json(self) -> dict[str, Any]:
        """As it stands beside the verdict in ``predicted.jsonl``."""
        return {
            "simulator": self.simulator,
            "blind": self.blind,
            "kinds": list(self.kinds),
            "features": {name: round(value, 4) for name, value in self.features.items()},
            "trust": self.trust.to_json() if self.trust else None,
            "earned": {"allowed": self.earned.allowed, "why": self.earned.why},
            "findings": list(self.findings),
        }


def basis(scene: Scene | None, predictions: Sequence[Prediction], verdict: Verdict, ledger: Ledger) -> Basis:
    """What ``verdict`` on ``predictions`` about ``scene`` rests on."""
    if not predictions:
        return Basis("none", True, ())
    code = code_of(function.source for function in scene.functions) if scene else Code(frozenset())
    kinds = tuple(sorted(code.kinds))
    simulator = predictions[0].label
    blind = all(prediction.blind for prediction in predictions)
    record = ledger.of(simulator)
    made = features(code, asked(predictions)) | checks(predictions)
    may = NOTHING
    if verdict.value == "broken":
        may = earned(record, kinds) if blind else Earned(False, "the simulation was not blind")
    findings = [f"sample {p.sample}: {found}" for p in predictions for found in p.findings[:1]]
    return Basis(
        simulator,
        blind,
        kinds,
        made,
        trust(made, kinds, verdict.value, simulator, record),
        may,
        tuple(findings),
    )
