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
from agent.scale.parts import code_of, test_parts
from agent.scale.pool import Executed, Pool
from agent.scale.suites import Suite
from sandbox import Sandbox, SandboxSpec, open_sandbox

__all__ = ["ExecutionSettings", "execute"]

RECIPE = 1
"""Changes whenever results may differ for the same content."""


@dataclass(frozen=True)
class ExecutionSettings:
    """``timeout``: seconds for one run of tests. ``files``: existing test files. ``generated``: at most so
    many candidates' own tests."""

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
        parts = test_parts(candidate.patch)
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
            files = nearest_tests(box, patches, settings.files)
            while files:
                ran = self._suite.run(box, files, settings.timeout)
                if not ran.timed_out:
                    break
                files = files[: len(files) // 2]  # those left out take too long
            passing = {test for test, passed in ran.outcomes.items() if passed} if files else set()
            brought = self._run_brought(box, "", tests)
            result = _Result(True, frozenset(passing), brought, box.seconds)
        self._keep(content, result, files=files)
        return files, result

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
                result = _Result(False, frozenset(), frozenset(), box.seconds)
            else:
                ran = self._suite.run(box, files, self._settings.timeout) if files else None
                passing = {test for test, passed in ran.outcomes.items() if passed} if ran else set()
                brought = self._run_brought(box, patch, tests)
                result = _Result(True, frozenset(passing), brought, box.seconds)
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
            "seconds": round(result.seconds, 3),
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
