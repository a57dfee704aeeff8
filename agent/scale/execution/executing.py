"""Runs what can be run on the distinct patches of an instance, without a model to write tests:

- existing tests that passed before: the files of the base commit nearest to what the candidates change; a
  benchmark's hidden tests and lists are never looked at;
- tests that candidates' patches add or change, and that do not pass on the base commit, on everyone's code;
- the statements that the issue shows: what they print and leave, with each candidate's code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.scale.candidates import Candidate
from agent.scale.execution.examples import examples, packages
from agent.scale.execution.parts import brought_tests, code_of
from agent.scale.execution.pieces import Brought, Existing, Nearest, Shown, Work
from agent.scale.execution.suites import Suite
from agent.scale.pool import Executed, Pool
from sandbox import SandboxSpec

__all__ = ["ExecutionSettings", "execute"]

BATCHES = 3
ENOUGH = 50
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
    *,
    issue: str = "",
    on_progress: Callable[[str], None] = lambda text: None,
) -> Pool:
    """One instance's candidates with what running says of them.

    Each distinct patch is run in a sandbox of its own. Raises ``SandboxError`` where the environment fails;
    then nothing is recorded for what was being run.
    """
    distinct: dict[str, str] = {}
    for candidate in candidates:
        form = candidate.canonical
        if not form.empty and not form.malformed:
            distinct.setdefault(candidate.key, code_of(candidate.patch))
    patches = sorted(distinct.values())
    tests = _brought(candidates, settings.generated)
    shown = _shown(issue, patches)
    work = Work(spec, suite, settings.cache, settings.timeout)
    on_progress("the base commit")
    base = _base(work, patches, tests, shown, settings.files)
    runs: dict[str, _Run] = {}
    for number, (key, patch) in enumerate(distinct.items(), 1):
        on_progress(f"patch {number} of {len(distinct)}")
        runs[key] = _run(work, patch, base.existing, tests, base.shown)
    told = sorted({name for run in runs.values() for name in run.brought} - base.brought)
    executed = {
        key: Executed(
            applied=run.applied,
            kept=len(run.passing & base.passing),
            before=len(base.passing),
            generated={name: name in run.brought for name in told},
            shown=tuple(run.shown[number] for number in base.steady) if run.applied else (),
            seconds=run.seconds,
        )
        for key, run in runs.items()
    }
    return Pool(tuple(candidates), executed, {name: int(name.partition(":")[0]) for name in told})


def _brought(candidates: Sequence[Candidate], most: int) -> dict[int, Brought]:
    """``order`` of the candidate → the tests that it brought along; the same ones once."""
    found: dict[Brought, int] = {}
    for candidate in candidates:
        parts = brought_tests(candidate.patch)
        if parts:
            found.setdefault(Brought("".join(parts.values()), tuple(parts)), candidate.order)
    return {order: brought for brought, order in list(found.items())[:most]}


def _shown(issue: str, patches: Sequence[str]) -> Shown | None:
    statements = examples(issue)
    return Shown(statements, tuple(packages(patches))) if statements else None


@dataclass(frozen=True)
class _Base:
    """What to run on each patch, and what the base commit does. ``steady``: the numbers of the statements
    that did the same twice."""

    existing: tuple[Existing, ...]
    passing: frozenset[str]
    brought: frozenset[str]
    shown: Shown | None
    steady: tuple[int, ...]


def _base(
    work: Work, patches: Sequence[str], tests: Mapping[int, Brought], shown: Shown | None, a_few: int
) -> _Base:
    named = tuple(sorted({path for brought in tests.values() for path in brought.files}))
    existing: list[Existing] = []
    passing: set[str] = set()
    with work.on("") as do:
        nearest = do(Nearest(tuple(patches), named, a_few * BATCHES)).lines
        for begin in range(0, len(nearest), a_few):
            batch = Existing(nearest[begin : begin + a_few])
            ran = do(batch)
            if ran.lines and not ran.timed_out:
                existing.append(batch)  # a test that passes now and then says nothing
                passing |= set(ran.lines) & set(do(Existing(batch.files, turn=1)).lines)
            if len(passing) >= ENOUGH:
                break
        brought = {f"{order}:{test}" for order, piece in tests.items() for test in do(piece).lines}
        turns = [do(replace(shown, turn=turn)).lines for turn in (0, 1)] if shown else [(), ()]
    steady = tuple(n for n, (one, two) in enumerate(zip(*turns, strict=True)) if one == two)
    return _Base(tuple(existing), frozenset(passing), frozenset(brought), shown if steady else None, steady)


@dataclass(frozen=True)
class _Run:
    applied: bool
    passing: frozenset[str]
    brought: frozenset[str]
    shown: tuple[str, ...]
    seconds: float


def _run(
    work: Work, patch: str, existing: Sequence[Existing], tests: Mapping[int, Brought], shown: Shown | None
) -> _Run:
    """What a patch does. One that does not apply does nothing: that is an answer."""
    with work.on(patch) as do:
        ran = [do(piece) for piece in existing or (Existing(()),)]
        brought = {order: do(piece) for order, piece in tests.items()}
        outcomes = do(shown) if shown else None
    done = [*ran, *brought.values(), *([outcomes] if outcomes else [])]
    return _Run(
        applied=all(result.applied for result in done),
        passing=frozenset(test for result in ran for test in result.lines),
        brought=frozenset(f"{order}:{test}" for order, result in brought.items() for test in result.lines),
        shown=outcomes.lines if outcomes else (),
        seconds=sum(result.seconds for result in done),
    )
