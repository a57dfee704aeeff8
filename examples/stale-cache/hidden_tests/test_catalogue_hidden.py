"""What scores a patch to the example. Neither a prompt nor the agent's sandbox ever holds this file."""

from __future__ import annotations

import pytest

from shop import Catalogue, Change, Store


@pytest.fixture
def store() -> Store:
    return Store("harbour")


@pytest.fixture
def catalogue(store: Store) -> Catalogue:
    catalogue = Catalogue(store)
    catalogue.add("tea", 300)
    catalogue.add("mug", 850)
    return catalogue


def test_a_price_that_nobody_had_looked_at(catalogue: Catalogue) -> None:
    catalogue.set_price("mug", 700)
    assert catalogue.price("mug") == 700


def test_every_change_is_seen(catalogue: Catalogue) -> None:
    for price in (310, 320, 0, 330):
        catalogue.set_price("tea", price)
        assert catalogue.price("tea") == price


def test_several_prices(catalogue: Catalogue) -> None:
    assert catalogue.total({"tea": 1, "mug": 1}) == 1150
    catalogue.set_prices({"tea": 200, "mug": 800})
    assert catalogue.total({"tea": 1, "mug": 1}) == 1000


def test_the_discount_stays(catalogue: Catalogue) -> None:
    catalogue.set_discount("tea", 50)
    catalogue.set_price("tea", 500)
    assert catalogue.price("tea") == 250


def test_another_catalogue_over_the_same_store(catalogue: Catalogue, store: Store) -> None:
    other = Catalogue(store)
    assert other.price("tea") == 300
    catalogue.set_price("tea", 450)
    assert other.price("tea") == 450


def test_a_changed_price_is_remembered_too(catalogue: Catalogue, store: Store) -> None:
    catalogue.set_price("tea", 450)
    catalogue.price("tea")
    reads = store.reads
    assert catalogue.price("tea") == 450
    assert store.reads == reads


def test_the_other_product_is_not_read_again(catalogue: Catalogue, store: Store) -> None:
    catalogue.price("mug")
    catalogue.set_price("tea", 450)
    reads = store.reads
    assert catalogue.price("mug") == 850
    assert store.reads == reads


def test_the_record_of_changes(catalogue: Catalogue) -> None:
    catalogue.set_discount("tea", 10)
    catalogue.set_price("tea", 400)
    catalogue.set_price("tea", 500)
    assert catalogue.changes("tea") == [Change("tea", 270, 400), Change("tea", 360, 500)]
