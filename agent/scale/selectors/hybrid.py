"""Everything that is known, added up with stated weights.

    score = 2 x (1 where no other candidate keeps more existing tests passing, else 0)
          + 2 x share of the majority generated tests that pass
          + 0.5 x what was predicted, weighted by trust (-1 to 1)
          + 1 x share of the candidates that do the same (the majority vote)

What was not run or predicted adds the same nothing to every candidate. Executed tests outweigh votes: a patch
that breaks a test which another keeps loses to that one, other things equal, however many agree on it.
The weights are round numbers, not fitted.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.scale.pool import Need, Pool
from agent.scale.selectors import top
from agent.scale.selectors.reproduction import TOP_TESTS, majority_tests
from agent.scale.selectors.simulated import predicted_weight

REGRESSION = 2.0
REPRODUCTION = 2.0
SIMULATION = 0.5
MAJORITY = 1.0


class Hybrid:
    """Regression, reproduction, simulation and majority; each where there is something to add."""

    name = "hybrid"
    needs: tuple[Need, ...] = ("regression",)

    def best(self, pool: Pool, among: Sequence[int]) -> Sequence[int]:
        voters = pool.voters(among)
        tests = majority_tests(pool, among)[:TOP_TESTS]
        predicted = predicted_weight(pool, voters)
        votes = pool.votes(voters)
        most = max(pool.run(index).kept for index in voters)

        def score(index: int) -> float:
            run = pool.run(index)
            passed = sum(run.generated.get(test, False) for test in tests) / len(tests) if tests else 0.0
            return (
                REGRESSION * (run.applied and run.kept == most)
                + REPRODUCTION * passed
                + SIMULATION * predicted[pool.keys[index]]
                + MAJORITY * votes[index] / len(voters)
            )

        return top(voters, score)
