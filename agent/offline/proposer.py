"""The search as the loop's proposer: one candidate a round, each checked by the ordinary tests before
it is proposed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from agent.events import Listener, Progress, silent
from agent.offline.search import Budget, Candidate, Search
from agent.patch import files
from agent.proposer import Brief, Proposal
from sandbox import Sandbox
from sandbox.errors import FixbugError
from sandbox.testing import collect, run_tests

COLLECT_SECONDS = 20.0
"""For the names of other tests: a file that hangs where it is imported must not take the search's time."""


class OfflineProposer:
    """Proposes the search's candidates, best first, until there are none."""

    name = "offline"
    protocol = "offline"
    writes_tests = False

    def __init__(self, budget: Budget | None = None, *, seed: int = 0, listener: Listener = silent) -> None:
        self._budget = budget
        self._seed = seed
        self._listener = listener
        self._search: Search | None = None
        self._candidates: Iterator[Candidate] = iter(())

    def propose(self, box: Sandbox, brief: Brief, feedback: str | None) -> Proposal | None:
        """The next candidate. ``feedback`` changes nothing: a rejected patch is simply not the last
        one tried.

        Raises ``UsageError`` when the tests pass already, or run none of the repository's code.
        """
        if self._search is None:
            self._search = Search(
                box,
                brief.tests,
                neighbours=[*brief.neighbours, *_others(box, brief)],
                prose=brief.problem_statement,
                budget=self._budget,
                seed=self._seed,
                on_progress=self._show,
            )
            self._candidates = iter(self._search)
        for candidate in self._candidates:
            if self._passes(box, [*brief.tests, *self._search.kept], candidate):
                note = (
                    f"{candidate.description} (candidate {candidate.rank} of {self._search.report.plausible} that "  # noqa: E501
                    f"pass; agreement {candidate.confidence:.0%}; {self._search.report})"
                )
                return Proposal(candidate.patch, note=note)
        return None

    def summary(self) -> str:
        return f"offline search: {self._search.report if self._search else 'not started'}"

    def _show(self, tried: int, generated: int, best: str) -> None:
        self._listener(Progress("propose", f"tried {tried} of {generated} candidates, {best}", passing=True))

    def _passes(self, box: Sandbox, tests: Sequence[str], candidate: Candidate) -> bool:
        """Whether the tests pass on the real tree, which is left as it was."""
        before = {path: box.read(path) for path in files(candidate.patch)}
        box.apply(candidate.patch)
        try:
            return run_tests(box, tests).passed
        finally:
            for path, data in before.items():
                box.write(path, data)


def _others(box: Sandbox, brief: Brief) -> list[str]:
    """Tests of other files, nearest folders first: a wrong edit that passes one test seldom passes all."""
    folders = [PurePosixPath(test.partition("::")[0]).parts[:-1] for test in brief.tests]
    known = {*brief.tests, *brief.neighbours}

    def distance(test: str) -> int:
        own = PurePosixPath(test.partition("::")[0]).parts[:-1]
        return min(len(set(own) ^ set(folder)) for folder in folders)

    try:
        found = [test for test in collect(box, timeout=COLLECT_SECONDS) if test not in known]
    except FixbugError:
        return []  # nothing to collect, or not by pytest
    return sorted(found, key=distance)
