"""Prices as customers see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from shop.discounts import percent_for, reduced
from shop.store import Product, Store

_caches: dict[str, dict[str, int]] = {}
"""Prices by product, for each store: every catalogue over one store shares them."""


@dataclass(frozen=True)
class Change:
    """A price that was changed: what customers paid before, and the new price."""

    name: str
    before: int
    after: int


class Catalogue:
    """What a store sells. Prices are remembered, so that a page of them costs no reads."""

    def __init__(self, store: Store, currency: str = "GBP") -> None:
        self._store = store
        self._currency = currency
        self._cache = _caches.setdefault(store.label, {})
        self._changes: list[Change] = []

    def add(self, name: str, price: int, currency: str | None = None) -> None:
        """Put a product on sale."""
        self._store.save(Product(name, price, currency or self._currency))
        self._cache.pop(name, None)

    def remove(self, name: str) -> None:
        """Take a product off sale."""
        self._store.delete(name)
        self._cache.pop(name, None)

    def rename(self, old: str, new: str) -> None:
        """Sell a product under another name."""
        product = self._store.load(old)
        self._store.delete(old)
        self._store.save(replace(product, name=new))
        self._cache.pop(old, None)
        self._cache.pop(new, None)

    def price(self, name: str) -> int:
        """What one costs, with its discount."""
        if name not in self._cache:
            product = self._store.load(name)
            self._cache[name] = reduced(product.price, product.discount)
        return self._cache[name]

    def total(self, basket: Mapping[str, int]) -> int:
        """What a basket (product → quantity) costs, with the reductions for buying many."""
        amount = 0
        for name, quantity in basket.items():
            amount += reduced(self.price(name) * quantity, percent_for(quantity))
        return amount

    def set_price(self, name: str, price: int) -> None:
        """Change a product's price, and keep a record of the change."""
        if price < 0:
            raise ValueError(f"a price cannot be negative: {price}")
        product = self._store.load(name)
        self._cache.pop(name, None)
        before = self.price(name)
        self._store.save(replace(product, price=price))
        self._changes.append(Change(name, before, price))

    def set_prices(self, prices: Mapping[str, int]) -> None:
        """Change several prices."""
        for name, price in prices.items():
            self.set_price(name, price)

    def set_discount(self, name: str, percent: int) -> None:
        """Sell a product for this many percent less."""
        product = self._store.load(name)
        self._store.save(replace(product, discount=percent))
        self._cache.pop(name, None)

    def changes(self, name: str, last: int = 10) -> list[Change]:
        """The last few changes of a product's price, oldest first."""
        return [change for change in self._changes if change.name == name][-last:]

    def currency(self, name: str) -> str:
        """The currency a product is priced in."""
        return self._store.load(name).currency
