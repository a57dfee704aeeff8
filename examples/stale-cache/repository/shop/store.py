"""Where products are kept. Reading from here is slow in production, so it is counted."""

from __future__ import annotations

from dataclasses import dataclass


class UnknownProduct(KeyError):
    """No product has this name."""


@dataclass(frozen=True)
class Product:
    """One thing for sale. The price is in the currency's smallest unit, before the discount."""

    name: str
    price: int
    currency: str = "GBP"
    discount: int = 0


class Store:
    """Products by name. ``reads`` counts how often one was loaded."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.reads = 0
        self._rows: dict[str, Product] = {}

    def load(self, name: str) -> Product:
        self.reads += 1
        if name not in self._rows:
            raise UnknownProduct(name)
        return self._rows[name]

    def save(self, product: Product) -> None:
        self._rows[product.name] = product

    def delete(self, name: str) -> None:
        if name not in self._rows:
            raise UnknownProduct(name)
        del self._rows[name]

    def names(self) -> list[str]:
        return sorted(self._rows)
