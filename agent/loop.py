"""One attempt, from a task to a scored patch. ``Attempt.run`` is the algorithm; each stage is one method.

The proposer never sees hidden tests: ``score`` alone touches them, in a sandbox of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from agent import evidence, feedback
from agent.errors import (
    BudgetExhausted,
    FixbugError,
    NotReproduced,
    RecordExhausted,
    SandboxDied,
    SandboxError,
    TracingError,
    UsageError,
)
from agent.events import Listener, Progress, Stage, silent
from agent.llm import Model
from agent.llm.budget import Budget
from agent.llm.recorded import Session, end_line, session_line
from agent.outcome import Outcome, Reproduced, Round
from agent.patch import split, without_tests
from agent.proposer import Brief, Proposal, Proposer
from agent.record import AttemptRecord
from agent.task import Task
from agent.trial import Bench, Foreseen, Imagined, LoopSettings, Observation, Trial
from agent.world.calibration.basis import basis
from agent.world.calibration.ledger import Ledger
from agent.world.compare import Divergence, first_divergence
from agent.world.intent import Expectation, draw_expectations, from_probes
from agent.world.questions.probes import ProbedTest, probe_test
from agent.world.questions.reach import imported_files
from agent.world.simulate import NoSimulator, OracleSimulator, Prediction, Simulator
from agent.world.simulators.chat import ChatSimulator
from agent.world.simulators.scene import build_scene
from agent.world.trace import Trace, read_trace
from agent.world.verdict import Verdict, judge, judge_observed, row
from sandbox import Sandbox, SandboxSpec, open_sandbox
from sandbox.scoring import Score, score_pytest, score_row
from sandbox.testing import TestRun, TracedTest, run_tests, trace_test

HUNG_SECONDS = 10.0
"""For the trace of a test that has run into its time limit before: its start is worth seeing."""


@dataclass
class Attempt:
    """One attempt at ``task``. ``spec`` says where it works; ``model`` simulates (chat world model only)."""

    task: Task
    spec: SandboxSpec
    proposer: Proposer
    record: AttemptRecord
    budget: Budget
    settings: LoopSettings = field(default_factory=LoopSettings)
    model: Model | None = None
    simulator: Simulator | None = None
    """Who simulates, where that is neither the model in chat nor the oracle."""
    session: Session | None = None
    """The recorded session that is replayed, to compare with."""
    ledger: Ledger = field(default_factory=Ledger)
    """What earlier predictions came to."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """How the proposer was asked (temperature, seed, prompt): for the record."""
    listener: Listener = silent

    def __post_init__(self) -> None:
        self.ended = ""
        self.notes: list[str] = []
        self.rounds: list[Round] = []
        self.container_seconds = 0.0
        self.dropped = 0

    def run(self) -> Outcome:
        """The attempt, stage by stage.

        Raises ``FixbugError`` where the task or the environment, not the patch, is at fault; then
        no ``attempt.json`` is written, and what was done so far is kept.
        """
        self.record.line("trajectory.jsonl", session_line(self.task.instance_id, self.proposer.protocol))
        with self._open("open") as box, self._keep_work(box):
            bench = self.reproduce(box)
            expectations = self.intend(box, bench)
            best: Trial | None = None
            told: str | None = None
            for number in range(1, self.settings.max_rounds + 1):
                proposal = self.propose(box, bench, told)
                if proposal is None:
                    break
                if bench is None and proposal.test:
                    bench, expectations = self.adopt(box, proposal)
                foreseen = self.check(self.simulate(box, bench, proposal), expectations)
                passed_over = self.pass_over(number, proposal, foreseen)
                second_look = not passed_over and self.doubts(proposal, foreseen)
                if second_look:
                    second = self.propose(box, bench, self._second_look(foreseen.verdict))
                    if second is not None and second.patch != proposal.patch:
                        proposal = second
                        foreseen = self.check(self.simulate(box, bench, proposal), expectations)
                        passed_over = self.pass_over(number, proposal, foreseen)
                if passed_over:
                    observation = evidence.not_run(passed_over)
                else:
                    observation = self.execute(box, bench, proposal, expectations)
                divergence = self.compare(box, foreseen.predictions, observation)
                trial = Trial(proposal.patch, foreseen, observation, divergence, second_look)
                best = trial if best is None or trial.merit >= best.merit else best
                self._close_round(number, trial)
                if self.decide(observation):
                    break
                told = self._feedback(number, trial)
        score = self.score(best.patch) if best else None
        return self._close(bench, expectations, best, score)

    # --- the stages -------------------------------------------------------------------------

    def reproduce(self, box: Sandbox) -> Bench | None:
        """See the visible test fail on the base commit. None: there is no such test (yet)."""
        tests = self.task.tests or self._failing_tests(box)
        if not tests:
            self._say("reproduce", "no failing test was given or found: the proposer has to write one")
            return None
        self._say("reproduce", f"running {', '.join(tests)} on the base commit", passing=True)
        run = run_tests(box, tests, timeout=self.settings.test_seconds)
        if not run.failed_ids:
            raise NotReproduced(
                f"{', '.join(tests)}: passes on the base commit "
                f"{box.base_commit[:12]}, so it does not show the bug",
                cure="name a test that fails because of the bug, or another --ref",
            )
        bench = self._bench(box, run)
        self._say("reproduce", f"{bench.test} fails on the base commit: {evidence.first_failure(run)}")
        self.record.step("reproduced", tests=bench.tests, outcomes=bench.outcomes, output=bench.output)
        return bench

    def intend(self, box: Sandbox, bench: Bench | None) -> tuple[Expectation, ...]:
        """What should happen: the test's own assertions, and what the report promises. No patch in sight."""
        if bench is None:
            return ()
        beside = imported_files(bench.probed.source) if bench.probed.raises else []
        known = evidence.sources(box, bench.before, beside)
        expectations = list(from_probes(bench.probed, known))
        if self.model is not None and self.settings.world_model not in ("oracle", "none"):
            try:
                drawn, self.dropped = draw_expectations(
                    self.model,
                    self.task.problem_statement,
                    bench.probed,
                    evidence.sources(box, bench.before, ()),
                )
                expectations += drawn
            except BudgetExhausted as error:
                self._end(error)
        self._say("intend", f"{len(expectations)} expectations from the test and the report")
        self.record.step("intended", expectations=[asdict(e) for e in expectations], dropped=self.dropped)
        return tuple(expectations)

    def propose(self, box: Sandbox, bench: Bench | None, told: str | None) -> Proposal | None:
        """The next patch; when the proposer is at its end, the work tree as it left it, if that is new."""
        brief = Brief(
            self.task.problem_statement,
            bench.tests if bench else (),
            bench.neighbours if bench else (),
            bench.output if bench else "",
        )
        if self.ended:
            return None
        try:
            self.budget.check()
            proposal = self.proposer.propose(box, brief, told)
        except (BudgetExhausted, RecordExhausted) as error:
            self._end(error)
            proposal = None
        if proposal is None:
            self.ended = self.ended or "the proposer had nothing more to propose"
            proposal = Proposal(box.diff(), note="the work tree as the proposer left it")
        patch = self._without_given_tests(proposal.patch)
        if any(patch == done.patch and not done.passed_over for done in self.rounds):
            self.ended = self.ended or "the proposer proposed the same patch again"
            return None
        if not patch.strip():
            return None
        self.record.begin()
        self.record.step("proposal", patch=patch, test=proposal.test, note=proposal.note)
        self.record.patch(patch)
        self._say("propose", f"a patch of {evidence.size(patch)} by {self.proposer.name}")
        return Proposal(patch, proposal.test, proposal.note)

    def adopt(self, box: Sandbox, proposal: Proposal) -> tuple[Bench | None, tuple[Expectation, ...]]:
        """Take the proposer's own test as the visible one, once it is seen to fail without the patch.

        What should happen is drawn from it while the patch is out of sight, as always.
        """
        test = proposal.test or ""
        path = test.partition("::")[0]
        alone = "".join(part.text for part in split(proposal.patch) if path in part.paths)
        try:
            self._put(box, alone)
            run = run_tests(box, [test], timeout=self.settings.test_seconds)
            if not run.failed_ids:
                self._note(f"the proposer's test {test} passes without the patch: it does not show the bug")
                return None, ()
            bench = self._bench(box, run)
            self._say("reproduce", f"{test} (written by the proposer) fails without the patch")
            self.record.step("reproduced", tests=bench.tests, outcomes=bench.outcomes, output=bench.output)
            return bench, self.intend(box, bench)
        except SandboxDied:
            raise
        except (UsageError, SandboxError) as error:
            self._note(f"the proposer's test {test!r} cannot be used: {error.problem}")
            return None, ()
        finally:
            self._put(box, proposal.patch)

    def simulate(self, box: Sandbox, bench: Bench | None, proposal: Proposal) -> Imagined:
        """Walk the test through the patched code, blind; every prediction is on disk before anything runs."""
        if bench is None:
            return Imagined()
        simulator = self._simulator(proposal)
        self._say("simulate", f"{bench.test}, {self.settings.runs} runs, by {simulator.label}", passing=True)
        self._put(box, proposal.patch)
        sources = evidence.sources(
            box, bench.before, tuple(p for x in split(proposal.patch) for p in x.paths)
        )
        scene = build_scene(bench.probed, sources, bench.before, proposal.patch, blind=self.settings.blind)
        try:
            predictions = simulator.simulate(scene, runs=self.settings.runs, samples=self.settings.samples)
        except BudgetExhausted as error:
            self._end(error)
            predictions = []
        for prediction in predictions:
            self.record.predicted(round=len(self.rounds) + 1, **evidence.prediction_json(prediction))
        return Imagined(scene, predictions)

    def check(self, imagined: Imagined, expectations: tuple[Expectation, ...]) -> Foreseen:
        """Lay the predictions beside the intentions. The verdict is on disk before anything runs, with how
        far it is to be trusted and what that rests on."""
        predictions = imagined.predictions
        verdict = judge(predictions, expectations)
        rests_on = basis(imagined.scene, predictions, verdict, self.ledger)
        self.record.predicted(
            round=len(self.rounds) + 1, verdict=asdict(verdict), gate=self.settings.gate, **rests_on.to_json()
        )
        if predictions:
            trust = f", {rests_on.trust.text}" if rests_on.trust else ""
            reasons = evidence.first_line("; ".join(verdict.reasons))
            self._say("check", f"predicted: {verdict.value}{trust} ({reasons})")
        return Foreseen(predictions, verdict, rests_on)

    def doubts(self, proposal: Proposal, foreseen: Foreseen) -> bool:
        """Whether a predicted failure sends the proposer back once before the patch is run."""
        if self.settings.gate == "off" or self.ended or self._passed_over_before(proposal):
            return False
        return foreseen.verdict.value == "broken"

    def pass_over(self, number: int, proposal: Proposal, foreseen: Foreseen) -> str:
        """Why a patch that is predicted to fail is not run; empty where it is to be run.

        Only with ``--gate earned``, where the record allows it. A patch that is proposed again, the last
        round's, and the last one of a proposer or a budget at its end are always run.
        """
        last = number == self.settings.max_rounds or bool(self.ended) or self._passed_over_before(proposal)
        if self.settings.gate != "earned" or last or foreseen.verdict.value != "broken":
            return ""
        if not foreseen.basis.earned.allowed:
            self._say("decide", f"it will be run: {foreseen.basis.earned.why}")
            return ""
        self._note(f"round {number}: not run, since it is predicted to fail: {foreseen.basis.earned.why}")
        self._say("decide", f"predicted to fail, and not run: {foreseen.basis.earned.why}")
        return foreseen.basis.earned.why

    def execute(
        self, box: Sandbox, bench: Bench | None, proposal: Proposal, expectations: tuple[Expectation, ...]
    ) -> Observation:
        """Run the same test back to back and traced, then its neighbours, on the patched tree."""
        if bench is None:
            return Observation(Verdict("unknown", ("there is no test to run",)), Trace(()), (), (), "")
        self._say("run", f"{bench.test}, {self.settings.runs} runs, then its neighbours", passing=True)
        self._put(box, proposal.patch)
        for path, data in bench.texts.items():
            box.write(path, data)
        try:
            traced, trace = self._trace(box, bench.probed)
            whole = run_tests(box, [*bench.tests, *bench.neighbours], timeout=self.settings.test_seconds)
        finally:
            self._put(box, proposal.patch)
        outcomes = evidence.outcomes(traced)
        failing = set(whole.failed_ids)
        broken = tuple(test for test in bench.neighbours if test in failing)
        still = tuple(test for test in bench.tests if test in failing)
        passed = all(run.passed for run in traced.runs) and not still and (whole.passed or bool(broken))
        verdict = judge_observed(trace, expectations, passed=passed)
        if outcomes[:1] == ("passed",) and not still and "failed" in outcomes:
            self._note(f"{bench.test} passes once and fails when it runs again: see --runs")
        self._say(
            "run",
            f"observed: {verdict.value} (runs: {', '.join(outcomes) or 'none'}; "
            f"{len(bench.neighbours) - len(broken)} of {len(bench.neighbours)} neighbours pass)",
        )
        self.record.observed(
            round=len(self.rounds) + 1,
            outcomes=outcomes,
            broken_neighbours=broken,
            verdict=asdict(verdict),
            trace=traced.trace,
            notes=traced.notes,
        )
        output = evidence.failing_output(traced) or whole.output
        return Observation(verdict, trace, outcomes, broken, output, passed)

    def compare(
        self, box: Sandbox, predictions: Sequence[Prediction], observation: Observation
    ) -> Divergence | None:
        """The first place where a prediction and reality part."""
        sources = evidence.sources(box, observation.trace, ()) if predictions else {}
        for prediction in predictions:
            divergence = first_divergence(prediction.trace, observation.trace, sources)
            if divergence is not None:
                self._say("compare", f"prediction and reality part: {evidence.first_line(divergence.text)}")
                return divergence
        return None

    def decide(self, observation: Observation) -> bool:
        """Whether to stop here: the patch holds, there is nothing to judge it by, or no budget is left."""
        if observation.passed_over:
            return False
        if observation.verdict.value == "unknown" and not observation.outcomes:
            self.ended = self.ended or "done: there is no visible test to judge the patch by"
        elif observation.verdict.value == "holds" and not observation.broken_neighbours:
            self.ended = self.ended or "done"
        return bool(self.ended)

    def score(self, patch: str) -> Score | None:
        """Hidden tests, in fresh sandboxes: by both verdicts for a row, else without its changes to tests."""
        hidden = self.task.hidden
        if hidden is None or not patch.strip():
            return None
        self._say("score", "hidden tests, in a fresh sandbox", passing=True)
        started = time.monotonic()
        if hidden.row is not None:
            score = score_row(hidden.row, patch, image=self.spec.image or "")
        else:
            assert hidden.tests is not None
            cleaned, dropped = without_tests(patch)
            score = score_pytest(self.spec, cleaned, hidden.tests, dropped=dropped)
        self.container_seconds += time.monotonic() - started
        self.record.hidden_log(score.log)
        said = "passed" if score.resolved else "failed"
        self._say("score", f"hidden tests {said} ({len(score.passed)} passed, {len(score.failed)} failed)")
        if score.hardened is not None and score.hardened.resolved != score.resolved:
            said = "resolved" if score.hardened.resolved else "not resolved"
            why = "; ".join(score.hardened.reasons) or f"without {', '.join(score.dropped)}"
            self._say("score", f"the hardened verdict: {said} ({why})")
        return score

    # --- what the stages share --------------------------------------------------------------

    @contextmanager
    def _open(self, stage: Stage) -> Iterator[Sandbox]:
        """A sandbox with the repository at its base commit and the visible tests in place."""
        self._say(stage, "opening a sandbox", passing=True)
        with open_sandbox(self.spec) as box:
            try:
                self._put(box, "")
                if stage == "open":
                    where = f"{box.kind}, {box.base_commit[:12]}"
                    self._say(stage, where if box.isolated else f"{where}: it isolates nothing")
                yield box
            finally:
                self.container_seconds += box.seconds

    @contextmanager
    def _keep_work(self, box: Sandbox) -> Iterator[None]:
        """Whatever ends the attempt early, the work tree is kept beside the trajectory."""
        try:
            yield
        except BaseException:
            if self.record.begun:
                with suppress(FixbugError, OSError):
                    self.record.unfinished(box.diff())
                self.listener(Progress("decide", f"kept: fixbug --resume {self.record.run_folder} goes on"))
            raise

    def _put(self, box: Sandbox, patch: str) -> None:
        """Bring the work tree to the base commit, the given test files and ``patch``."""
        wanted = self._without_given_tests(patch)
        if self._without_given_tests(box.diff()) != wanted:
            box.reset()
            if wanted.strip():
                box.apply(wanted)
        for path, text in self.task.test_files.items():
            box.write(path, text.encode())

    def _without_given_tests(self, patch: str) -> str:
        given = self.task.test_files
        if not given:
            return patch
        return "".join(part.text for part in split(patch) if not any(p in given for p in part.paths))

    def _failing_tests(self, box: Sandbox) -> tuple[str, ...]:
        """Without a named test: those of the whole suite that fail, for a proposer that can't write one.

        Any other would take tests that fail for reasons of their own (no network, say) for the bug.
        """
        if self.proposer.writes_tests:
            return ()
        self._say("reproduce", "no test was named: running the whole suite for failing ones", passing=True)
        try:
            return run_tests(box, [], timeout=self.settings.test_seconds).failed_ids
        except UsageError:
            return ()

    def _bench(self, box: Sandbox, run: TestRun) -> Bench:
        tests = run.failed_ids
        paths = tuple(dict.fromkeys(test.partition("::")[0] for test in tests))
        texts = {path: box.read(path) for path in paths}
        source = texts[paths[0]].decode("utf-8", "replace")
        probed = probe_test(paths[0], source, tests[0], evidence.conftests(box, paths[0]))
        traced, before = self._trace(box, probed, known=run)
        beside = run if run.timed_out else run_tests(box, paths, timeout=self.settings.test_seconds)
        neighbours = [case.id for case in beside.cases if case.outcome == "passed" and case.id not in tests]
        return Bench(tests, probed, before, evidence.outcomes(traced), run.output, tuple(neighbours), texts)

    def _trace(
        self, box: Sandbox, probed: ProbedTest, known: TestRun | None = None
    ) -> tuple[TracedTest, Trace]:
        """The probed test, run back to back. Without a trace (noted) the outcomes still count.

        ``known``: a run of the same code. Where it ended with the time limit, that is not waited for again.
        """
        hung = known is not None and known.timed_out
        try:
            traced = trace_test(
                box,
                probed.test,
                runs=self.settings.runs,
                replace={probed.path: probed.transparent},
                timeout=min(HUNG_SECONDS, self.settings.test_seconds) if hung else self.settings.test_seconds,
            )
            return traced, read_trace(traced.trace)
        except TracingError as error:
            self._note(f"no trace: {error.problem}")
            if known is None or not hung:
                known = run_tests(box, [probed.test], timeout=self.settings.test_seconds)
            return TracedTest((known,), "", ()), Trace(())

    def _simulator(self, proposal: Proposal) -> Simulator:
        if self.settings.world_model == "oracle":
            return OracleSimulator(lambda probed: self._in_throwaway(probed, proposal.patch))
        if self.simulator is not None:
            return self.simulator
        if self.settings.world_model == "chat" and self.model is not None:
            return ChatSimulator(self.model)
        return NoSimulator()

    def _in_throwaway(self, probed: ProbedTest, patch: str) -> str:
        with self._open("simulate") as box:
            self._put(box, patch)
            return self._trace(box, probed)[0].trace

    def _passed_over_before(self, proposal: Proposal) -> bool:
        return any(proposal.patch == done.patch for done in self.rounds if done.passed_over)

    def _second_look(self, predicted: Verdict) -> str:
        self._say("decide", "predicted to fail: the proposer gets a second look before it is run")
        return feedback.second_look(predicted)

    def _feedback(self, number: int, trial: Trial) -> str:
        if trial.observed.passed_over:
            text = feedback.passed_over(trial)
        else:
            text = feedback.after_run(trial, self.settings.feedback, self.settings.max_rounds - number)
        self.record.step("feedback", text=text)
        return text

    def _close_round(self, number: int, trial: Trial) -> None:
        foreseen = trial.foreseen
        meaning = row(foreseen.verdict, trial.observed.verdict)
        closed = Round(
            number=number,
            patch=trial.patch,
            predicted=foreseen.verdict.value,
            predicted_reasons=foreseen.verdict.reasons,
            observed=trial.observed.verdict.value,
            outcomes=trial.observed.outcomes,
            broken_neighbours=trial.observed.broken_neighbours,
            row=meaning,
            divergence=trial.divergence.text if trial.divergence else None,
            second_look=trial.second_look,
            expectations=foreseen.verdict.why,
            kinds=foreseen.basis.kinds,
            agreement=foreseen.verdict.agreement,
            trust=foreseen.basis.trust.to_json() if foreseen.basis.trust else None,
            findings=foreseen.basis.findings,
            passed_over=trial.observed.passed_over,
        )
        self.rounds.append(closed)
        self._say("decide", f"round {number}: {meaning}")
        self.record.step("round", **asdict(closed))

    def _close(
        self,
        bench: Bench | None,
        expectations: tuple[Expectation, ...],
        best: Trial | None,
        score: Score | None,
    ) -> Outcome:
        patch = best.patch if best else ""
        predictions = best.foreseen.predictions if best else ()
        outcome = Outcome(
            instance_id=self.task.instance_id,
            status=evidence.status(best, score),
            ended=self.ended or "rounds",
            patch=patch,
            reproduction=Reproduced(
                bench.tests, True, bench.outcomes, evidence.tail(bench.output), bench.neighbours
            )
            if bench
            else None,
            intended=tuple(asdict(expectation) for expectation in expectations),
            dropped_expectations=self.dropped,
            rounds=tuple(self.rounds),
            table=evidence.table(
                bench.probed, bench.before, predictions, best.observed.trace if best else None
            )
            if bench
            else (),
            simulator=predictions[0].label if predictions else "none",
            runs=self.settings.runs,
            samples=self.settings.samples,
            gate=self.settings.gate,
            blind=self.settings.blind,
            feedback=self.settings.feedback,
            score=score.to_json() if score else None,
            cost=self._cost(),
            sandbox={"kind": self.spec.kind, "image": self.spec.image, "network": self.spec.network},
            paths={"run": str(self.record.run_folder), "attempt": str(self.record.folder)},
            notes=tuple(self.notes),
            proposer={
                **self.asked,
                "name": self.proposer.name,
                "summary": self.proposer.summary(),
                "record": evidence.against_record(self.session, patch, score) if self.session else None,
            },
        )
        self.record.begin()
        self.record.line("trajectory.jsonl", end_line(patch, status=outcome.status, ended=outcome.ended))
        self.record.close(outcome.to_json())
        return outcome

    def _cost(self) -> dict[str, Any]:
        used = self.budget.snapshot()
        return {
            "tokens": used["tokens"],
            "prompt_tokens": used["prompt_tokens"],
            "completion_tokens": used["completion_tokens"],
            "usd": "unknown" if used["usd"] is None else used["usd"],
            "requests": used["requests"],
            "steps": used["steps"],
            "seconds": round(used["seconds"], 3),
            "container_seconds": round(self.container_seconds, 3),
            "models": used["models"],
        }

    def _end(self, error: BudgetExhausted | RecordExhausted) -> None:
        if isinstance(error, BudgetExhausted):
            self.ended = f"budget: {error.resource}"
        else:
            self.ended = "the record has no further turn"
        self.record.step("ended", why=error.problem)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
            self.record.step("note", text=text)

    def _say(self, stage: Stage, text: str, *, passing: bool = False) -> None:
        self.listener(Progress(stage, text, passing))
        if not passing:
            self.record.step("stage", stage=stage, text=text)
