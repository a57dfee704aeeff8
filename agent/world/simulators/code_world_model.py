"""Code World Models as simulators: a test is put into the form in which they trace, and back."""

from __future__ import annotations

from dataclasses import dataclass

from agent.errors import ModelError, UsageError
from agent.world.beside import as_observed
from agent.world.simulate import Prediction, no_answer
from agent.world.simulators.entry import as_answers, as_test, enter_test
from agent.world.simulators.native import Teller, Told
from agent.world.simulators.one_run import CannotEnterError
from agent.world.simulators.scene import Scene
from agent.world.trace import Trace


@dataclass(frozen=True)
class CwmSimulator:
    """A ``Simulator`` over a ``Teller``. ``single``: only what the entry function returns is asked for, which
    is then every answer."""

    teller: Teller
    single: bool = False

    @property
    def label(self) -> str:
        """The teller's: ``cwm:<model>``, ``cwm-chat:<model>``, …"""
        return self.teller.label

    def simulate(self, scene: Scene, *, runs: int, samples: int) -> list[Prediction]:
        """Independent samples. A model that fails, and a test that cannot be put into the form, give
        predictions that are not complete. Budget errors pass through."""
        result = []
        for sample in range(1, samples + 1):
            try:
                result.append(self.predict(scene, runs=runs, sample=sample))
            except (ModelError, UsageError) as error:
                why = f"no answer: {error.problem}"
                result.append(no_answer(scene, why, sample=sample, label=self.label, runs=runs))
            except CannotEnterError as error:
                why = f"this test cannot be put into CWM's form: {error}"
                return [no_answer(scene, why, sample=1, label=self.label, runs=runs)]
        return result

    def predict(self, scene: Scene, *, runs: int, sample: int = 1) -> Prediction:
        """One sample. Raises ``ModelError`` (and below), ``BudgetExhausted`` and ``CannotEnterError``."""
        entry = enter_test(scene, runs, collecting=self.single)
        told = self.teller.tell(entry.program, entry.source)
        if self.single:
            trace = as_answers(told.value, scene) if told.value is not None else None
        else:
            trace = as_test(as_observed(told.reading.trace, entry.program), entry, scene)
        return self._prediction(trace, told, scene, runs, sample)

    def _prediction(
        self, trace: Trace | None, told: Told, scene: Scene, runs: int, sample: int
    ) -> Prediction:
        checked = "" if self.single else told.checked.verdict
        findings = tuple(finding.text for finding in told.checked.findings)
        return Prediction(
            sample,
            trace or Trace(()),
            self.label,
            complete=told.reading.complete and trace is not None and len(trace.outcomes) >= runs,
            runs=runs,
            forgiven=told.reading.forgiven if trace is not None else ("no value that holds the answers",),
            raw=told.raw,
            illegal=findings[0] if findings and checked == "wrong" else "",
            blind=scene.blind,
            dense=not self.single,
            checked=checked,
            findings=findings,
            resampled=told.resampled,
            repaired=told.repaired,
        )
