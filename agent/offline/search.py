"""Program repair by search: try the likeliest edits first, rank what passes, combine what came closer."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agent.offline import locate, rank
from agent.offline.mutate import Mutant, fingerprint, mutants
from agent.offline.source import Source
from agent.offline.trials import Outcome, Trials
from agent.patch import is_test_path
from sandbox import Sandbox
from sandbox.errors import UsageError

MAX_FILES = 12
MAX_NEIGHBOURS = 60
MARGIN = 2.2
"""After the first passing edit the search goes on to edits this much costlier, so that better ones can
compete."""

GRACE = 300
"""... and for no longer than half as many trials again as it took, and this many"""
PATIENCE = 8.0
"""... and no longer than 1.3 times the seconds it took, and this many."""
FIRST_BATCH = 100
BATCH_SECONDS = 6.0
"""Roughly: a batch has fixed costs, and between batches it is decided whether to go on."""
COLD = 0.3
"""Suspicion, where the test never ends, of the lines outside the endless loop."""


@dataclass(frozen=True)
class Budget:
    """What one search may use."""

    candidates: int = 20_000
    seconds: float = 60.0


@dataclass(frozen=True)
class Candidate:
    """A patch that passes the failing tests and keeps the neighbours passing."""

    patch: str
    description: str
    rank: int
    tried: int
    confidence: float
    """Share of the plausible edits' likelihood that agrees with this one's behaviour, 0..1."""


@dataclass(frozen=True)
class Report:
    """What a search did, so far."""

    generated: int = 0
    tried: int = 0
    plausible: int = 0
    seconds: float = 0.0
    exhausted: bool = False
    """Every generated candidate was tried."""

    def __str__(self) -> str:
        found = f"found {self.plausible} that pass" if self.plausible else "found none"
        return f"tried {self.tried} candidates of {self.generated} generated in {self.seconds:.1f} s, {found}"


Progress = Callable[[int, int, str], None]


class Search:
    """One search. Iterate for candidates, best first; ``report`` says what was tried until now."""

    def __init__(
        self,
        sandbox: Sandbox,
        tests: Sequence[str],
        *,
        neighbours: Sequence[str] = (),
        prose: str = "",
        budget: Budget | None = None,
        seed: int = 0,
        jobs: int = 0,
        on_progress: Progress | None = None,
    ) -> None:
        if not tests:
            raise UsageError("the offline proposer needs a failing test", cure="name one with --test")
        self.tests = list(tests)
        self.neighbours = [t for t in neighbours if t not in tests]
        self.prose = prose
        self.budget = budget or Budget()
        self.seed = seed
        self.on_progress = on_progress
        self.trials = Trials(sandbox, jobs=jobs)
        self.sources: dict[str, Source] = {}
        self._started = time.monotonic()
        self._tried = self._generated = self._plausible = 0
        self._exhausted = False
        self._seen: set[str] = set()
        self._kept: list[tuple[str, str, list[Any]]] = []
        self._iterator = self._candidates()

    def __iter__(self) -> Iterator[Candidate]:
        return self._iterator

    @property
    def report(self) -> Report:
        return Report(self._generated, self._tried, self._plausible, self._elapsed, self._exhausted)

    @property
    def kept(self) -> list[str]:
        """The neighbours that pass on the unchanged code, and so on every candidate."""
        return [test for test, _, _ in self._kept]

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _left(self) -> bool:
        return self._tried < self.budget.candidates and self._elapsed < self.budget.seconds

    def _candidates(self) -> Iterator[Candidate]:
        base, mode, spec = self.trials.base(self.tests)
        if base.ok:
            raise UsageError(
                f"the tests pass before any change: {', '.join(self.tests)}",
                cure="name a test that shows the bug",
            )
        suspicion = self._locate(base)
        self._prepare(base, suspicion)
        queue: list[Mutant] = []
        for path, lines in suspicion.items():
            queue += mutants(self.sources[path], lines, self.prose, base.why)
        queue.sort(key=lambda m: m.cost)
        self._generated = len(queue)

        passing: list[Mutant] = []
        close: list[tuple[Mutant, Outcome]] = []
        for mutant, outcome in self._try(mode, spec, queue, passing):
            if not outcome.ok and outcome.signature != base.signature and outcome.passed >= base.passed:
                close.append((mutant, outcome))
        if not passing and self._left():
            for _ in self._try(mode, spec, self._pairs(queue, close, base), passing):
                pass
        self._exhausted = self._left() and not passing
        self._plausible = len(passing)
        ranked = rank.rank(passing, self.sources, self.trials, base, prose=self.prose, seed=self.seed)
        for position, (mutant, confidence) in enumerate(ranked, 1):
            source = self.sources[mutant.path]
            yield Candidate(
                patch=git_diff(mutant.path, source.text, mutant.text(source)),
                description=f"{mutant.path}:{mutant.line}: {mutant.kind}",
                rank=position,
                tried=self._tried,
                confidence=confidence,
            )

    def _locate(self, base: Outcome) -> dict[str, dict[int, float]]:
        covered = self.trials.cover(self.neighbours[:MAX_NEIGHBOURS])
        self._kept = [(test, mode, spec) for test, mode, spec, outcome in covered if outcome.ok]
        passing = [outcome.lines for _, _, _, outcome in covered if outcome.ok]
        scores = locate.ochiai([base.lines], passing)
        scores = {path: lines for path, lines in scores.items() if not self._is_test(path)}
        if base.hangs:
            for path, lines in scores.items():
                hot = set(base.hot.get(path, ()))
                scores[path] = {line: score if line in hot else COLD * score for line, score in lines.items()}
        best = sorted(scores, key=lambda p: -max(scores[p].values()))[:MAX_FILES]
        if not best:
            raise UsageError(
                f"the failing tests execute no source file of the repository: {', '.join(self.tests)}",
                cure="name a test that runs the code with the bug",
            )
        return {path: scores[path] for path in best}

    def _is_test(self, path: str) -> bool:
        return is_test_path(path) or path in {t.partition("::")[0] for t in self.tests}

    def _prepare(self, base: Outcome, suspicion: dict[str, dict[int, float]]) -> None:
        for path in suspicion:
            text = self.trials.read(path)
            self.sources[path] = Source(path, text)
            self.trials.bases[path] = text
        self.trials.set_limit(base)

    def _try(
        self, mode: str, spec: list[Any], queue: Sequence[Mutant], passing: list[Mutant]
    ) -> Iterator[tuple[Mutant, Outcome]]:
        """Try a queue in its order, in batches that grow, until it, the budget or the interest ends.

        Those that pass, neighbours too, are added to ``passing``.
        """
        position, size = 0, FIRST_BATCH
        enough: tuple[float, float] | None = None
        while position < len(queue) and self._left():
            if passing:
                enough = enough or (1.5 * self._tried + GRACE, 1.3 * self._elapsed + PATIENCE)
                if (
                    self._tried >= enough[0]
                    or self._elapsed >= enough[1]
                    or queue[position].cost > min(m.cost for m in passing) + MARGIN
                ):
                    return
                size = min(size, int(enough[0] - self._tried) + 1)
            batch: list[Mutant] = []
            while position < len(queue) and len(batch) < size:
                mutant = queue[position]
                position += 1
                print_of = fingerprint(self.sources[mutant.path], mutant)
                if print_of is not None and print_of not in self._seen:
                    self._seen.add(print_of)
                    batch.append(mutant)
            if not batch:
                return
            began = time.monotonic()
            outcomes = self.trials.run(
                mode, spec, batch, seconds=max(0.5, self.budget.seconds - self._elapsed)
            )
            took = max(time.monotonic() - began, 1e-3)
            size = max(FIRST_BATCH // 2, min(1000, 2 * size, int(BATCH_SECONDS * len(batch) / took)))
            self._tried += len(outcomes)
            passing += self._keep_neighbours(
                [batch[n] for n, outcome in sorted(outcomes.items()) if outcome.ok]
            )
            for number, outcome in sorted(outcomes.items()):
                yield batch[number], outcome
            if self.on_progress is not None:
                self.on_progress(self._tried, self._generated, f"{len(passing)} pass")

    def _pairs(
        self, queue: Sequence[Mutant], close: Sequence[tuple[Mutant, Outcome]], base: Outcome
    ) -> list[Mutant]:
        """Second-order mutants: edits that changed the failure for the better, then any likely ones,
        with a likely edit elsewhere in the file."""
        better = sorted(close, key=lambda pair: (-(pair[1].passed - pair[1].failed), pair[0].cost))[:60]
        pairs: list[Mutant] = []
        firsts = [(m, 1.5 if o.passed > base.passed else 0.7) for m, o in better]
        firsts += [(m, 0.0) for m in queue[:150]]
        for first, bonus in firsts:
            for second in queue[:400]:
                if second.path == first.path and not overlap(first, second):
                    kind = f"{first.kind} and {second.kind} (line {second.line})"
                    cost = first.cost + second.cost - bonus
                    pairs.append(Mutant(first.path, first.edits + second.edits, kind, first.line, cost))
        pairs.sort(key=lambda m: m.cost)
        self._generated += len(pairs)
        return pairs

    def _keep_neighbours(self, passing: list[Mutant]) -> list[Mutant]:
        """Those that break no test which passes on the unchanged code."""
        for mode in ("direct", "pytest"):
            spec = [item for _, kind, items in self._kept if kind == mode for item in items]
            if spec and passing:
                outcomes = self.trials.run(mode, spec, passing, seconds=60, first=True)
                passing = [m for i, m in enumerate(passing) if i in outcomes and outcomes[i].ok]
        return passing


def overlap(first: Mutant, second: Mutant) -> bool:
    return any(
        (a.start < b.end and b.start < a.end) or a.start == b.start for a in first.edits for b in second.edits
    )


def git_diff(path: str, before: str, after: str) -> str:
    """The change of one file as git's unified diff."""
    rows = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{path}", f"b/{path}"
    )
    text = "".join(row if row.endswith("\n") else row + "\n\\ No newline at end of file\n" for row in rows)
    return f"diff --git a/{path} b/{path}\n{text}"
