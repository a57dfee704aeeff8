"""Hidden tests, in a fresh sandbox: SWE-bench rows by swebench's own parsers and reports, others by pytest.

A ``Score`` is an answer about a patch. Whatever says nothing about the patch (the engine went away, the
eval script never began) is a ``SandboxError`` and never a ``Score``.
"""

from __future__ import annotations

import os
import secrets
import shlex
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from sandbox import ExecResult, Limits, Sandbox, SandboxSpec, open_sandbox
from sandbox.errors import PatchDoesNotApply, SandboxDied, ScoringError, UsageError

__all__ = ["Score", "score_pytest", "score_row"]

_COLUMNS = (
    "instance_id", "repo", "version", "FAIL_TO_PASS", "PASS_TO_PASS", "log_parser", "eval_type",
    "eval_script",
)  # fmt: skip
_MAX_LOG = 64 << 20
"""Bytes of a log that are still parsed. The largest logs of official runs have under 20 MB."""


@dataclass(frozen=True)
class Score:
    """What hidden tests say of a patch.

    ``passed`` and ``failed`` are the names of the tests that count. ``dropped`` are files that were
    taken out of the patch before. ``log`` is what the tests printed. ``seconds`` cover everything,
    the container's start included. ``detail`` says why a patch without results has none: ``applied``
    (False: it does not apply), ``timed_out``, ``report`` (swebench's own, for a row).
    """

    resolved: bool
    kind: Literal["swebench", "pytest"]
    passed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    log: str = ""
    seconds: float = 0.0
    detail: dict[str, Any] = field(default_factory=dict)


def score_row(
    row: Mapping[str, Any],
    patch: str,
    *,
    image: str,
    limits: Limits | None = None,
    timeout: float = 1800,
    dropped: Sequence[str] = (),
) -> Score:
    """Run a SWE-bench row's own eval script on ``patch`` in a fresh container of ``image``; grade its log.

    The verdict is swebench's (``make_test_spec``, ``get_eval_report``). An empty patch is run like any
    other. A patch that does not apply, and tests that run out of ``timeout`` seconds, are answers.
    Raises ``UsageError`` for a row without the columns, ``SandboxError`` (``ScoringError``) otherwise.
    """
    lacking = [column for column in _COLUMNS if column not in row]
    if lacking:
        raise UsageError(
            f"the row lacks {', '.join(lacking)}: it cannot be graded",
            cure="older exports of SWE-bench lack them; use one with the columns that swebench 5 needs",
        )
    began = time.monotonic()
    swebench = _swebench()
    spec = swebench.make_test_spec({**row, "image": image})
    detail: dict[str, Any] = {"image": image}
    log = ""
    try:
        with open_sandbox(SandboxSpec(kind="docker", image=image, limits=limits or Limits())) as sandbox:
            detail["applied"], detail["apply"] = _apply(sandbox, patch, swebench.commands)
            if detail["applied"]:
                ran, log = _evaluate(sandbox, spec.eval_script, timeout)
                detail.update(timed_out=ran.timed_out, exit_code=ran.exit_code)
    except SandboxDied as error:
        raise ScoringError(
            f"{row['instance_id']} was not scored: {error.problem}", cure="score it again; this is no answer"
        ) from error
    report: dict[str, Any] = {}
    if detail["applied"] and not detail["timed_out"]:
        if swebench.start not in log:
            raise ScoringError(
                f"{row['instance_id']} was not scored: its eval script ended (exit status "
                f"{detail['exit_code']}) before it ran a test; its output ends:\n{log[-2000:]}",
                cure=f"look at whether the image {image} is the row's own",
            )
        report = _grade(swebench, spec, patch, log)
        detail["report"] = report
    status = report.get("tests_status", {})
    counted = [status.get(name, {}) for name in ("FAIL_TO_PASS", "PASS_TO_PASS")]
    return Score(
        resolved=bool(report.get("resolved")),
        kind="swebench",
        passed=tuple(test for part in counted for test in part.get("success", ())),
        failed=tuple(test for part in counted for test in part.get("failure", ())),
        dropped=tuple(dropped),
        log=log,
        seconds=time.monotonic() - began,
        detail=detail,
    )


def score_pytest(
    spec: SandboxSpec, patch: str, tests: Path, *, timeout: float = 300, dropped: Sequence[str] = ()
) -> Score:
    """Apply ``patch`` in a fresh sandbox from ``spec``, and run the hidden ``tests`` (file or directory).

    They lie in a directory of their own directly below the repository's root, where the repository's
    own conftest.py and configuration hold for them, and under a name that the patch cannot know. A file
    without tests is run as a script. Resolved: something passed, and nothing failed.
    """
    from sandbox.testing import run_tests

    files = _files(tests)
    began = time.monotonic()
    place = f"hidden_tests_{secrets.token_hex(6)}"
    try:
        with open_sandbox(spec) as sandbox:
            if patch.strip():
                try:
                    sandbox.apply(patch)
                except PatchDoesNotApply as error:
                    return Score(
                        resolved=False,
                        kind="pytest",
                        dropped=tuple(dropped),
                        seconds=time.monotonic() - began,
                        detail={"applied": False, "apply": error.problem},
                    )
            for path, data in files.items():
                sandbox.write(f"{place}/{path}", data)
            what = place if tests.is_dir() else f"{place}/{tests.name}"
            try:
                run = run_tests(sandbox, [what], timeout=timeout)
            except UsageError as error:
                raise ScoringError(
                    f"the hidden tests in {tests} were not run: {error.problem}",
                    cure="give a file or a directory of pytest tests, or a script with assertions",
                ) from error
    except SandboxDied as error:
        raise ScoringError(
            f"the hidden tests were not run to their end: {error.problem}",
            cure="score it again; this is no answer",
        ) from error
    return Score(
        resolved=run.passed,
        kind="pytest",
        passed=tuple(_shown(case.id, place) for case in run.cases if case.outcome == "passed"),
        failed=tuple(_shown(case, place) for case in run.failed_ids),
        dropped=tuple(dropped),
        log=run.output,
        seconds=time.monotonic() - began,
        detail={"applied": True, "timed_out": run.timed_out, "exit_code": run.exit_code},
    )


def _files(tests: Path) -> dict[str, bytes]:
    """Relative path → content of a test file, or of everything in a directory of tests."""
    if tests.is_file():
        return {tests.name: tests.read_bytes()}
    if not tests.is_dir():
        raise UsageError(f"no hidden tests at {tests}", cure="give a file or a directory of pytest tests")
    paths = (path for path in sorted(tests.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(tests).as_posix(): path.read_bytes() for path in paths}


def _shown(test: str, place: str) -> str:
    return test.removeprefix(f"{place}/")


def _apply(sandbox: Sandbox, patch: str, commands: Sequence[str]) -> tuple[bool, str]:
    """Apply ``patch`` by the commands that swebench tries, in its order; what the last one said."""
    if not patch.strip():
        return True, "empty"
    path = f"{sandbox.scratch}/patch.diff"
    sandbox.write(path, patch.encode("utf-8", "surrogateescape"))
    said = ""
    for number, command in enumerate(commands):
        if number:  # a failed attempt (--reject) leaves parts behind
            sandbox.run("git checkout -- . ; git clean -fdq")
        ran = sandbox.run(f"{command} {path}")
        if ran.timed_out:
            raise ScoringError(f"{command} did not end", cure="score it again; this is no answer")
        if ran.ok:
            return True, command
        said = ran.output
    # every command can exit non-zero with the patch in place
    if sandbox.run(f"git apply --check --reverse {path}").ok:
        return True, "already applied"
    return False, said[-4000:]


def _evaluate(sandbox: Sandbox, script: str, timeout: float) -> tuple[ExecResult, str]:
    """Run the eval script as swebench does; its whole output, which goes to a file and is not cut."""
    path, out = f"{sandbox.scratch}/eval.sh", f"{sandbox.scratch}/eval.log"
    sandbox.write(path, script.encode())
    quoted = shlex.quote(out)
    ran = sandbox.run(f"bash {shlex.quote(path)} >{quoted} 2>&1", timeout=timeout)
    # the tests could have put anything in the log's place, and more than anyone reads
    size = sandbox.run(f"test -f {quoted} && test ! -L {quoted} && stat -c %s {quoted}").output.strip()
    if not size.isdigit() or int(size) > _MAX_LOG:
        raise ScoringError(
            f"the log of the tests cannot be read: expected a file of at most {_MAX_LOG} bytes, "
            f"got {size or 'none'}"
        )
    return ran, sandbox.read(out).decode("utf-8", "replace")


def _grade(swebench: SimpleNamespace, spec: Any, patch: str, log: str) -> dict[str, Any]:
    """swebench's report on a saved log.

    It may keep results by (model name, instance): each call has a name and a directory of its own.
    """
    prediction = {
        "instance_id": spec.instance_id,
        "model_name_or_path": f"fixbug-{secrets.token_hex(8)}",
        "model_patch": patch,
    }
    with tempfile.TemporaryDirectory(prefix="fixbug-") as directory:
        path = Path(directory, "test_output.txt")
        path.write_text(log, encoding="utf-8")
        try:
            report = swebench.get_eval_report(spec, prediction, str(path), True)
        except Exception as error:  # its parsers raise whatever an odd log makes them raise
            raise ScoringError(
                f"swebench could not grade the log of {spec.instance_id}: {type(error).__name__}: {error}",
                cure=f"check the row's log_parser ({spec.log_parser}) and eval_type ({spec.eval_type})",
            ) from error
    return dict(report[spec.instance_id])


@cache
def _swebench() -> SimpleNamespace:
    """What is used of swebench. Its import takes a second, and reads a ``.env`` file into the environment."""
    before = dict(os.environ)
    try:
        from swebench.harness.constants import START_TEST_OUTPUT
        from swebench.harness.grading import get_eval_report
        from swebench.harness.run_evaluation import GIT_APPLY_CMDS
        from swebench.harness.utils import make_test_spec
    finally:
        os.environ.clear()
        os.environ.update(before)
    return SimpleNamespace(
        make_test_spec=make_test_spec,
        get_eval_report=get_eval_report,
        commands=tuple(GIT_APPLY_CMDS),
        start=START_TEST_OUTPUT,
    )
