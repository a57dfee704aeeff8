"""One candidate for one SWE-bench instance: fresh containers, and two verdicts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from sandbox import Limits, Sandbox, SandboxSpec, open_sandbox
from sandbox.errors import SandboxDied, ScoringError
from sandbox.scoring.control import run_control
from sandbox.scoring.hardened import Plan, find, mark, objections, tidy
from sandbox.scoring.official import Ran, Spec, apply, evaluate
from sandbox.scoring.result import Hardened, Score

__all__ = ["check_row", "score_row"]


def check_row(row: Mapping[str, Any]) -> None:
    """Raise ``UsageError`` for a row that cannot be graded."""
    Spec(row, "")


def score_row(
    row: Mapping[str, Any],
    patch: str,
    *,
    image: str,
    limits: Limits | None = None,
    timeout: float = 1800,
    harden: bool = True,
) -> Score:
    """Run a SWE-bench row's own eval script on ``patch`` in a fresh container of ``image``; grade its log.

    The official verdict is swebench's (``make_test_spec``, ``get_eval_report``) on the patch as it is.
    With ``harden``, the hardened one stands beside it: what may not count is taken out (then the tests
    run once more, in another container), and a patch that is resolved then has to survive the control
    run. An empty patch is run like any other. A patch that does not apply, and tests that run out of
    ``timeout`` seconds, are answers. Raises ``UsageError`` for a row without the columns, ``SandboxError``
    (``ScoringError``) where nothing can be said about the patch.
    """
    spec = Spec(row, image)
    job = _Job(spec, patch, image, limits or Limits(), timeout)
    began = time.monotonic()
    detail: dict[str, Any] = {"image": image}
    plan: Plan | None = None
    ran: Ran | None = None
    with job.open() as sandbox:
        detail["applied"], detail["apply"], plan = job.apply(sandbox)
        if detail["applied"]:
            ran = job.run(sandbox, "tests")
            detail.update(timed_out=ran.timed_out, exit_code=ran.exit_code)
    graded = _Graded.of(spec, patch, ran)
    if ran is not None and not ran.timed_out:
        detail["report"] = graded.report
    hardened = _hardened(job, plan, ran, graded) if harden else None
    detail["phases"] = {name: round(seconds, 3) for name, seconds in job.spent.items()}
    return Score(
        resolved=graded.resolved,
        kind="swebench",
        passed=graded.passed,
        failed=graded.failed,
        dropped=plan.removed,
        log=ran.log if ran else "",
        hardened=hardened,
        seconds=time.monotonic() - began,
        detail=detail,
    )


@dataclass(frozen=True)
class _Job:
    spec: Spec
    patch: str
    image: str
    limits: Limits
    timeout: float
    spent: dict[str, float] = field(default_factory=dict)
    """Seconds by phase: open, apply, tests, and those of the hardened verdict."""

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.spent[phase] = self.spent.get(phase, 0.0) + time.monotonic() - began

    @contextmanager
    def open(self) -> Iterator[Sandbox]:
        """A fresh container; when it dies, that is no answer."""
        try:
            with ExitStack() as stack:
                with self.timed("open"):
                    spec = SandboxSpec(kind="docker", image=self.image, limits=self.limits)
                    sandbox = stack.enter_context(open_sandbox(spec))
                yield sandbox
                with self.timed("close"):
                    sandbox.close()
        except SandboxDied as error:
            raise ScoringError(
                f"{self.spec.instance_id} was not scored: {error.problem}",
                cure="score it again; this is no answer",
            ) from error

    def apply(self, sandbox: Sandbox) -> tuple[bool, str, Plan]:
        """Whether the patch applies, by which command or why not, and what of it may not count."""
        nothing = Plan((), {}, ())
        if not self.patch.strip():
            return True, "empty", nothing
        with self.timed("apply"):
            mark(sandbox)
            applied, said = apply(sandbox, self.patch)
            return applied, said, find(sandbox, self.spec) if applied else nothing

    def apply_again(self, sandbox: Sandbox, plan: Plan) -> None:
        """The patch in another container, without what may not count."""
        with self.timed("apply"):
            if plan:
                mark(sandbox)
            applied, said = apply(sandbox, self.patch)
            if not applied:
                raise ScoringError(
                    f"the patch for {self.spec.instance_id} applies in one container of {self.image} and "
                    f"not in the next: {said}",
                    cure="score it again; this is no answer",
                )
            if plan:
                tidy(sandbox, plan)

    def run(self, sandbox: Sandbox, phase: str) -> Ran:
        """The row's own eval script."""
        with self.timed(phase):
            return evaluate(sandbox, self.spec, self.spec.script, self.timeout)


@dataclass(frozen=True)
class _Graded:
    """swebench's report, or its absence, in short."""

    resolved: bool
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    report: Mapping[str, Any]

    @classmethod
    def of(cls, spec: Spec, patch: str, ran: Ran | None) -> _Graded:
        report = spec.report(patch, ran.log) if ran is not None and not ran.timed_out else {}
        status = report.get("tests_status", {})
        counted = [status.get(name, {}) for name in ("FAIL_TO_PASS", "PASS_TO_PASS")]
        return cls(
            bool(report.get("resolved")),
            tuple(test for part in counted for test in part.get("success", ())),
            tuple(test for part in counted for test in part.get("failure", ())),
            report,
        )


def _hardened(job: _Job, plan: Plan, ran: Ran | None, graded: _Graded) -> Hardened:
    if ran is None:
        return Hardened(False, reasons=("the patch does not apply",))
    logs: dict[str, str] = {}
    if plan:
        with job.open() as sandbox:
            job.apply_again(sandbox, plan)
            ran = job.run(sandbox, "tests without what was taken out")
        graded = _Graded.of(job.spec, job.patch, ran)
        logs["hardened"] = ran.log
    reasons: Sequence[str] = ("the tests ran out of time",) if ran.timed_out else ()
    controlled = 0
    if graded.resolved:
        with job.open() as sandbox:
            job.apply_again(sandbox, plan)
            with job.timed("control"):
                control = run_control(sandbox, job.spec, job.timeout)
        logs["control"] = control.ran.log
        reasons, controlled = objections(job.spec, ran, control, lambda: _before(job, logs))
    return Hardened(
        resolved=graded.resolved and not reasons,
        removed=plan.removed,
        reasons=tuple(reasons),
        passed=graded.passed,
        failed=graded.failed,
        controlled=controlled,
        logs=logs,
    )


def _before(job: _Job, logs: dict[str, str]) -> Mapping[str, str]:
    """The statuses of the tests without the patch."""
    with job.open() as sandbox:
        ran = job.run(sandbox, "tests without the patch")
    logs["before"] = ran.log
    return job.spec.statuses(ran.log)
