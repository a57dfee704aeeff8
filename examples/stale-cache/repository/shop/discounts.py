"""Reductions: of one product, and for buying many."""

from __future__ import annotations

TIERS = ((50, 10), (10, 5))
"""From this quantity on, this many percent off; the largest quantity first."""


def reduced(price: int, percent: int) -> int:
    """The price less a percentage of it, rounded in the customer's favour."""
    if not 0 <= percent <= 100:
        raise ValueError(f"a discount is between 0 and 100 percent, not {percent}")
    return price * (100 - percent) // 100


def percent_for(quantity: int) -> int:
    """How many percent a customer saves who buys this many of one product."""
    for at_least, percent in TIERS:
        if quantity >= at_least:
            return percent
    return 0
