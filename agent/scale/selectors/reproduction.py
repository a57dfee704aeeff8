"""Generated tests, by the recipe published with CWM (arXiv 2510.02387).

The existing tests that pass, plus the top five majority tests; most passes wins; tie: the majority patch;
tie: fewest tokens. There it is 40 patches and 40 tests; here as many as there are. A majority test is one
that other tests agree with: tests with the same outcomes on the same patches stand together, and the largest
such groups come first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from agent.scale.pool import Need, Pool
from agent.scale.selectors import top

TOP_TESTS = 5


class Reproduction:
    """CWM's recipe. Candidates whose tokens nobody counted leave the last tie as it is."""

    name = "reproduction"
    needs: tuple[Need, ...] = ("reproduction",)

    def best(self, pool: Pool, among: Sequence[int]) -> Sequence[int]:
        voters = pool.voters(among)
        tests = majority_tests(pool, among)[:TOP_TESTS]

        def passes(index: int) -> int:
            run = pool.run(index)
            return run.kept + sum(run.generated.get(test, False) for test in tests)

        votes = pool.votes(voters)
        best = top(top(voters, passes), lambda index: votes[index])
        tokens = [pool.candidates[index].tokens for index in best]
        known = [count for count in tokens if count is not None]
        if len(known) < len(best):
            return best
        return [index for index, count in zip(best, known, strict=True) if count == min(known)]


def majority_tests(pool: Pool, among: Sequence[int]) -> list[str]:
    """The generated tests that came with ``among`` (or with none), those that most others agree with first.

    A test that no patch passes says nothing, and is left out.
    """
    runs = [pool.run(index) for index in among]
    owners = {pool.candidates[index].order for index in among}
    names = sorted({test for run in runs for test in run.generated})
    outcomes = {
        test: tuple(run.generated.get(test, False) for run in runs)
        for test in names
        if pool.origin.get(test, -1) in owners or test not in pool.origin
    }
    agreement = Counter(outcomes.values())
    telling = [test for test, outcome in outcomes.items() if any(outcome)]
    return sorted(telling, key=lambda test: (-agreement[outcomes[test]], test))
