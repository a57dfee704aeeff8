"""Counting, and stopping."""

from __future__ import annotations

import threading

import pytest

from agent.errors import BudgetExhausted
from agent.llm import Usage
from agent.llm.budget import Budget
from agent.llm.protocol import Steps


@pytest.mark.parametrize(
    ("limits", "charge"),
    [({"tokens": 10}, (Usage(6, 4), 0.0)), ({"usd": 0.5}, (Usage(1, 1), 0.5))],
)
def test_charging_never_raises_but_the_next_check_does(
    limits: dict[str, float], charge: tuple[Usage, float]
) -> None:
    """An answer that has been paid for must not be lost to the limit it reaches."""
    budget = Budget(**limits)  # type: ignore[arg-type]
    budget.check()
    budget.charge(*charge)
    with pytest.raises(BudgetExhausted) as caught:
        budget.check()
    assert caught.value.resource == next(iter(limits))


def test_seconds_run_on_the_clock() -> None:
    """Time is counted from construction, and what is left never goes below zero."""
    now = [100.0]
    budget = Budget(seconds=5, clock=lambda: now[0])
    now[0] = 104
    budget.check()
    assert budget.seconds_left == 1
    now[0] = 107
    assert budget.seconds_left == 0
    with pytest.raises(BudgetExhausted, match="5 seconds"):
        budget.check()
    assert Budget().seconds_left is None


def test_steps_do_not_stop_other_requests() -> None:
    """After its last step a proposal still has to be simulated."""
    budget = Budget(steps=1)
    budget.step()
    budget.check()
    with pytest.raises(BudgetExhausted) as caught:
        budget.check(step=True)
    assert caught.value.resource == "steps"
    with pytest.raises(BudgetExhausted):
        budget.step()


def test_one_correction_in_a_row_is_free() -> None:
    """A model that never gets the format right must run out of steps; one slip must cost none."""
    budget = Budget(steps=3)
    steps = Steps(budget)
    for malformed in (True, False, True, True):
        steps.malformed() if malformed else steps.count()
    assert budget.snapshot()["steps"] == 2
    steps.malformed()
    with pytest.raises(BudgetExhausted):
        steps.check()


def test_snapshot_says_unknown() -> None:
    """A sum that leaves out an unpriced request is not the cost."""
    budget = Budget(usd=9)
    budget.charge(Usage(10, 5, 4), 0.25)
    assert not budget.price_unknown()
    assert budget.snapshot()["usd"] == 0.25
    budget.charge(Usage(1, 1), None, estimated=True)
    assert (budget.price_unknown(), budget.price_unknown()) == (True, False)
    got = budget.snapshot()
    assert (got["usd"], got["usd_known"], got["tokens"], got["estimated_requests"]) == (None, 0.25, 17, 1)


def test_threads_lose_no_count() -> None:
    """Simulations are drawn side by side and share the attempt's budget."""
    budget = Budget()

    def work() -> None:
        for _ in range(500):
            budget.charge(Usage(1, 1), 0.5)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = budget.snapshot()
    assert (got["tokens"], got["usd"], got["requests"]) == (8000, 2000.0, 4000)
