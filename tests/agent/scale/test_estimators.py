"""Statistics against published values, other forms of the same formula, and enumeration."""

from __future__ import annotations

import itertools
import math
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.scale.estimators import (
    bootstrap,
    holm,
    instances_needed,
    mcnemar,
    paired,
    pass_at_k,
    subsets,
    wilson,
)

COUNTS = st.integers(1, 12).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))
)  # fmt: skip


@given(COUNTS)
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_one(counts: tuple[int, int, int]) -> None:
    """A biased estimator, such as 1 - (1 - c/n)^k, would differ."""
    n, correct, k = counts
    chosen = list(itertools.combinations(range(n), k))
    assert pass_at_k(n, correct, k) == pytest.approx(fmean(min(s) < correct for s in chosen))


@given(st.integers(1, 300), st.data())
def test_pass_at_k_is_the_product_that_was_published(n: int, data: st.DataObject) -> None:
    """The numerically stable form in Chen et al., figure 3: 1 - prod(1 - k / i), i from n - c + 1 to n."""
    correct, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    product = 1.0 if n - correct < k else 1 - math.prod(1 - k / i for i in range(n - correct + 1, n + 1))
    assert pass_at_k(n, correct, k) == pytest.approx(product, abs=1e-9)


@pytest.mark.parametrize(("n", "correct", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 0), (3, 1, 4)])
def test_pass_at_k_refuses_impossible_counts(n: int, correct: int, k: int) -> None:
    """Silently clamping them would hide a mistake in the caller."""
    with pytest.raises(ValueError, match="expected"):
        pass_at_k(n, correct, k)


def test_subsets_are_all_of_them_while_they_are_few() -> None:
    """13 over 6 is 1716: exact. 40 over 16 is not, and the draw depends on the seed alone."""
    exact = subsets(13, 6)
    assert exact.exact
    assert len(set(exact.members)) == 1716
    drawn = subsets(40, 16, most=500, seed=3)
    assert not drawn.exact
    assert len(drawn.members) == 500
    assert all(len(set(s)) == 16 and max(s) < 40 for s in drawn.members)
    assert drawn == subsets(40, 16, most=500, seed=3)
    assert drawn != subsets(40, 16, most=500, seed=4)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_newcombes_examples(successes: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998 (Statistics in Medicine 17:857-872), table I, method 3."""
    found = wilson(successes, n)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_mcnemar_gives_a_published_example() -> None:
    """Fay's exact2x2 (R): discordant pairs 9 and 2 give p = 0.06543."""
    assert mcnemar(9, 2) == pytest.approx(0.0654296875)
    assert mcnemar(2, 9) == mcnemar(9, 2)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_a_probability(won: int, lost: int) -> None:
    """Doubling one tail passes 1 where both are equal."""
    assert 0 < mcnemar(won, lost) <= 1
    if won == lost:
        assert mcnemar(won, lost) == 1


def test_holm_gives_a_textbook_example() -> None:
    """A step that does not keep the order would give 0.04 for the third."""
    assert holm([0.01, 0.04, 0.03, 0.005, None]) == pytest.approx([0.03, 0.06, 0.06, 0.02, None])


def test_instances_needed_is_connors_formula() -> None:
    """30 % discordant, 10 points, power 0.8: (1.96 sqrt(.3) + .8416 sqrt(.29))^2 / .01 = 233.1."""
    differences = [1.0] * 20 + [-1.0] * 10 + [0.0] * 70
    assert instances_needed(differences) == 234
    assert instances_needed([0.0] * 9) is None
    assert instances_needed([1.0, -1.0]) is None


def test_bootstrap_agrees_with_the_normal_interval_where_that_holds() -> None:
    """Of 400 coin tosses the standard error is 0.025; the columns are resampled together."""
    column = [float(i % 2) for i in range(400)]
    first, second, difference = bootstrap([column, [1 - v for v in column], [0.0] * 400], seed=1)
    assert first.point == 0.5
    assert first.low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.004)
    assert first.high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.004)
    assert (second.low, second.high) == pytest.approx((1 - first.high, 1 - first.low))
    assert (difference.low, difference.high) == (0.0, 0.0)


def test_bootstrap_depends_on_the_seed_alone() -> None:
    """A hidden source of chance would make a report impossible to repeat."""
    column = [0.0, 1.0, 0.5, 0.25, 1.0]
    assert bootstrap([column], seed=7) == bootstrap([column], seed=7)
    assert bootstrap([column], seed=7, resamples=50) != bootstrap([column], seed=8, resamples=50)


def test_a_difference_is_a_gain_only_where_the_interval_leaves_zero_out() -> None:
    """Three wins of twenty are not; fifteen are; and nothing is told of five instances."""
    nothing = [0.0] * 20
    assert paired(nothing, [1.0] * 3 + [0.0] * 17).told == "no difference shown"
    assert paired(nothing, [1.0] * 15 + [0.0] * 5).told == "gain"
    assert paired([1.0] * 15 + [0.0] * 5, nothing).told == "loss"
    assert paired([0.0] * 5, [1.0] * 5).told == "too few instances to tell"


def test_mcnemar_is_left_out_where_values_are_shares() -> None:
    """The exact test is of yes and no; expectations over ties are neither."""
    found = paired([0.0, 0.5, 1.0], [1.0, 0.5, 1.0])
    assert found.p is None
    assert (found.won, found.lost, found.instances) == (1, 0, 3)
