"""Hidden pytest tests, or a script, in a fresh sandbox."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from sandbox import SandboxSpec, open_sandbox
from sandbox.errors import PatchDoesNotApply, SandboxDied, ScoringError, UsageError
from sandbox.scoring.result import Score

__all__ = ["score_pytest"]


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
