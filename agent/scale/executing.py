"""Runs tests on the distinct patches of an instance: existing ones that passed before, and those that the
candidates brought along. Results are kept by content, so that the same work is never done twice.

The existing tests are the files of the base commit nearest to what the candidates change; a benchmark's
hidden tests and lists are never looked at. A generated test is one that a candidate's patch adds or changes,
and that does not pass on the base commit; it is run on every candidate's code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import PatchDoesNotApply
from agent.record import write_atomically
from agent.scale.candidates import Candidate
from agent.scale.nearest import nearest_tests
from agent.scale.parts import brought_tests, code_of
from agent.scale.pool import Executed, Pool
from agent.scale.suites import Suite
from sandbox import Sandbox, SandboxSpec, open_sandbox

__all__ = ["ExecutionSettings", "execute"]

RECIPE = 1
"""Changes whenever results may differ for the same content."""


BATCHES = 3
ENOUGH = 10
"""Existing test files are taken a few at a time, at most so often, until so many tests pass."""


@dataclass(frozen=True)
class ExecutionSettings:
    """``timeout``: seconds for one run of tests. ``files``: existing test files to take at a time.
    ``generated``: at most so many candidates' own tests."""

    cache: Path
    timeout: float = 600.0
    files: int = 2
    generated: int = 4


def execute(
    candidates: Sequence[Candidate],
    spec: SandboxSpec,
    suite: Suite,
    settings: ExecutionSettings,
    on_progress: Callable[[str], None] = lambda text: None,
) -> Pool:
    """One instance's candidates with what tests say of them.

    Each distinct patch is run in a sandbox of its own. Raises ``SandboxError`` where the environment fails;
    then nothing is recorded for that patch.
    """
    distinct: dict[str, str] = {}
    for candidate in candidates:
        form = candidate.canonical
        if not form.empty and not form.malformed:
            distinct.setdefault(candidate.key, code_of(candidate.patch))
    tests = _brought(candidates, settings.generated)
    work = _Work(spec, suite, settings)
    on_progress("tests on the base commit")
    files, base = work.base(sorted(distinct.values()), tests)
    runs: dict[str, _Result] = {}
    for number, (key, patch) in enumerate(distinct.items(), 1):
        on_progress(f"patch {number} of {len(distinct)}")
        runs[key] = work.patch(patch, files, tests)
    told = sorted({name for run in runs.values() for name in run.brought} - base.brought)
    executed = {
        key: Executed(
            applied=run.applied,
            kept=len(run.passing & base.passing),
            before=len(base.passing),
            generated={name: name in run.brought for name in told},
            seconds=run.seconds,
        )
        for key, run in runs.items()
    }
    return Pool(tuple(candidates), executed, {name: int(name.partition(":")[0]) for name in told})


@dataclass(frozen=True)
class _Tests:
    """Test files that one candidate brought along: its ``order``, the patch that makes them, their paths."""

    order: int
    patch: str
    files: tuple[str, ...]


def _brought(candidates: Sequence[Candidate], most: int) -> list[_Tests]:
    found: dict[str, _Tests] = {}
    for candidate in candidates:
        parts = brought_tests(candidate.patch)
        text = "".join(parts.values())
        if parts and text not in found:
            found[text] = _Tests(candidate.order, text, tuple(parts))
    return list(found.values())[:most]


@dataclass(frozen=True)
class _Result:
    """The tests that pass: existing ones, and brought ones as ``ORDER:TEST``. ``seconds``: of containers."""

    applied: bool
    passing: frozenset[str]
    brought: frozenset[str]
    seconds: float


class _Work:
    def __init__(self, spec: SandboxSpec, suite: Suite, settings: ExecutionSettings) -> None:
        self._spec, self._suite, self._settings = spec, suite, settings

    def base(self, patches: Sequence[str], tests: Sequence[_Tests]) -> tuple[list[str], _Result]:
        """The existing test files to use, and what passes on the base commit."""
        settings = self._settings
        content = ["base", patches, self._told(tests), settings.files]
        kept = self._kept(content)
        if kept is not None:
            return kept["files"], _result(kept)
        with open_sandbox(self._spec) as box:
            files, passing = self._existing(box, patches)
            brought = self._run_brought(box, "", tests)
            result = _Result(True, frozenset(passing), brought, round(box.seconds, 3))
        self._keep(content, result, files=files)
        return files, result

    def _existing(self, box: Sandbox, patches: Sequence[str]) -> tuple[list[str], set[str]]:
        """The nearest test files that run in time, a few at a time until enough tests pass; and these."""
        a_few = self._settings.files
        nearest = nearest_tests(box, patches, a_few * BATCHES)
        files: list[str] = []
        passing: set[str] = set()
        for begin in range(0, len(nearest), a_few):
            batch = nearest[begin : begin + a_few]
            ran = self._suite.run(box, batch, self._settings.timeout)
            found = {test for test, passed in ran.outcomes.items() if passed}
            if found and not ran.timed_out:
                files += batch
                passing |= found
            if len(passing) >= ENOUGH:
                break
        return files, passing

    def patch(self, patch: str, files: Sequence[str], tests: Sequence[_Tests]) -> _Result:
        """What passes with ``patch``. A patch that does not apply passes nothing: that is an answer."""
        content = ["patch", patch, list(files), self._told(tests)]
        kept = self._kept(content)
        if kept is not None:
            return _result(kept)
        with open_sandbox(self._spec) as box:
            try:
                box.apply(patch)
            except PatchDoesNotApply:
                result = _Result(False, frozenset(), frozenset(), round(box.seconds, 3))
            else:
                ran = self._suite.run(box, files, self._settings.timeout) if files else None
                passing = {test for test, passed in ran.outcomes.items() if passed} if ran else set()
                brought = self._run_brought(box, patch, tests)
                result = _Result(True, frozenset(passing), brought, round(box.seconds, 3))
        self._keep(content, result)
        return result

    def _run_brought(self, box: Sandbox, patch: str, tests: Sequence[_Tests]) -> frozenset[str]:
        """The brought tests that pass with ``patch``, each candidate's files by themselves."""
        found = set()
        for brought in tests:
            box.reset()
            try:
                if patch:
                    box.apply(patch)
                box.apply(brought.patch)
            except PatchDoesNotApply:
                continue
            ran = self._suite.run(box, brought.files, self._settings.timeout)
            found |= {f"{brought.order}:{test}" for test, passed in ran.outcomes.items() if passed}
        return frozenset(found)

    # results by content

    def _told(self, tests: Sequence[_Tests]) -> list[tuple[int, str]]:
        return [(brought.order, brought.patch) for brought in tests]

    def _place(self, content: Sequence[Any]) -> Path:
        spec = self._spec
        place = [
            spec.image,
            spec.python or "",
            spec.base_commit,
            self._suite.fingerprint,
            self._settings.timeout,
        ]
        text = json.dumps([RECIPE, place, content], default=str)
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        return self._settings.cache / digest[:2] / f"{digest[2:34]}.json"

    def _kept(self, content: Sequence[Any]) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(self._place(content).read_text("utf-8"))
            _result(found)
        except (OSError, ValueError, KeyError, TypeError):
            return None  # absent, or spoilt: it is run again
        return found

    def _keep(self, content: Sequence[Any], result: _Result, **more: object) -> None:
        value = {
            "applied": result.applied,
            "passing": sorted(result.passing),
            "brought": sorted(result.brought),
            "seconds": result.seconds,
            **more,
        }
        write_atomically(self._place(content), json.dumps(value) + "\n")


def _result(value: Mapping[str, Any]) -> _Result:
    return _Result(
        bool(value["applied"]),
        frozenset(value["passing"]),
        frozenset(value["brought"]),
        float(value["seconds"]),
    )
