from __future__ import annotations

import pytest

from shop import Catalogue, Change, Store, UnknownProduct


@pytest.fixture
def store() -> Store:
    return Store("high-street")


@pytest.fixture
def catalogue(store: Store) -> Catalogue:
    catalogue = Catalogue(store)
    catalogue.add("tea", 300)
    catalogue.add("mug", 850)
    return catalogue


def test_new_price(catalogue: Catalogue) -> None:
    first = catalogue.price("tea")
    catalogue.set_price("tea", 450)
    second = catalogue.price("tea")
    assert first == 300
    assert second == 450


def test_prices_are_remembered(catalogue: Catalogue, store: Store) -> None:
    catalogue.price("tea")
    reads = store.reads
    catalogue.price("tea")
    catalogue.price("tea")
    assert store.reads == reads


def test_a_change_leaves_other_prices_remembered(catalogue: Catalogue, store: Store) -> None:
    catalogue.price("mug")
    catalogue.set_price("tea", 450)
    reads = store.reads
    catalogue.price("mug")
    assert store.reads == reads


def test_changes_record_what_customers_paid(catalogue: Catalogue) -> None:
    catalogue.set_discount("tea", 10)
    catalogue.set_price("tea", 500)
    catalogue.set_price("mug", 900)
    catalogue.set_price("tea", 600)
    assert catalogue.changes("tea") == [Change("tea", 270, 500), Change("tea", 450, 600)]
    assert catalogue.changes("tea", last=1) == [Change("tea", 450, 600)]


def test_discount(catalogue: Catalogue) -> None:
    assert catalogue.price("tea") == 300
    catalogue.set_discount("tea", 25)
    assert catalogue.price("tea") == 225


def test_total_of_a_basket(catalogue: Catalogue) -> None:
    assert catalogue.total({"tea": 2, "mug": 1}) == 1450
    assert catalogue.total({"tea": 10}) == 2850
    assert catalogue.total({"tea": 50}) == 13500


def test_rename(catalogue: Catalogue) -> None:
    assert catalogue.price("mug") == 850
    catalogue.rename("mug", "cup")
    assert catalogue.price("cup") == 850
    with pytest.raises(UnknownProduct):
        catalogue.price("mug")


def test_remove(catalogue: Catalogue) -> None:
    assert catalogue.price("mug") == 850
    catalogue.remove("mug")
    with pytest.raises(UnknownProduct):
        catalogue.price("mug")


def test_currency(catalogue: Catalogue) -> None:
    catalogue.add("wine", 1200, "EUR")
    assert catalogue.currency("tea") == "GBP"
    assert catalogue.currency("wine") == "EUR"


@pytest.mark.parametrize("price", [-1, -300])
def test_a_price_is_not_negative(catalogue: Catalogue, price: int) -> None:
    with pytest.raises(ValueError, match="negative"):
        catalogue.set_price("tea", price)
    assert catalogue.price("tea") == 300
