"""A small shop: what it sells, for how much."""

from shop.catalogue import Catalogue, Change
from shop.store import Product, Store, UnknownProduct

__all__ = ["Catalogue", "Change", "Product", "Store", "UnknownProduct"]
