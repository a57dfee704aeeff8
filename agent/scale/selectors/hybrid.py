"""Everything that is known, added up with stated weights.

    score = 2 x share of the existing tests that still pass, cubed
          + 2 x share of the majority generated tests that pass
          + 0.5 x what was predicted, weighted by trust (-1 to 1)
          + 1 x share of the other candidates' agreement (their mean similarity to this one)

What was not run or predicted adds the same nothing to every candidate. Executed tests outweigh text: a patch
that breaks tests or fails every generated one loses to one that does not, however many agree on it. The
cube makes a few broken tests count for more than their share (one in ten: 0.27 of the term).
The weights were set beforehand, not fitted to the benchmark that they are measured on.
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
AGREEMENT = 1.0


class Hybrid:
    """Regression, reproduction, simulation and agreement; the last three where there is something to add."""

    name = "hybrid"
    needs: tuple[Need, ...] = ("regression",)

    def best(self, pool: Pool, among: Sequence[int]) -> Sequence[int]:
        voters = pool.voters(among)
        tests = majority_tests(pool, among)[:TOP_TESTS]
        predicted = predicted_weight(pool, voters)
        others = max(len(voters) - 1, 1)

        def score(index: int) -> float:
            run = pool.run(index)
            kept = run.kept / run.before if run.before else float(run.applied)
            passed = sum(run.generated.get(test, False) for test in tests) / len(tests) if tests else 0.0
            alike = (sum(pool.similarity[index][other] for other in voters) - 1.0) / others
            return (
                REGRESSION * kept**3
                + REPRODUCTION * passed
                + SIMULATION * predicted[pool.keys[index]]
                + AGREEMENT * alike
            )

        return top(voters, score)
