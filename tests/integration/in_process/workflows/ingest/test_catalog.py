"""`workflows.ingest.catalog`: the names of products, read once a day."""

from __future__ import annotations

import pytest

from tests.unit.workflows.fakes.storefront import NOW, Clock, rows
from worker.errors import ApiError, ServerError
from worker.ledger.orders.catalog import product_names
from worker.ledger.session import Ledger
from worker.ledger.tables.periodic import list_polls
from workflows.ingest.catalog import refresh


class Products:
    name = "studiocart"

    def __init__(self, **names: str) -> None:
        self.names = names
        self.error: ApiError | None = None
        self.asked = 0

    def product_names(self) -> dict[str, str]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.names


@pytest.fixture
def products() -> Products:
    return Products(**{"1107": "Course", "1130": "Book"})


def read(ledger: Ledger, products: Products, clock: Clock, holder: str = "here") -> bool:
    return refresh(ledger, products, holder=holder, clock=clock)


def names(ledger: Ledger, *ids: str) -> dict[str, str]:
    with ledger.read() as connection:
        return product_names(connection, "studiocart", ids)


def test_names_are_read_once_a_day_when_they_are_asked_for_often(
    ledger: Ledger, products: Products, clock: Clock
) -> None:
    assert read(ledger, products, clock)
    assert names(ledger, "1107", "7", "1107") == {"1107": "Course"}
    products.names = {"1107": "Course, second edition"}
    for _ in range(23):
        clock.advance(hours=1)
        assert not read(ledger, products, clock)
    clock.advance(hours=1)
    assert read(ledger, products, clock)
    assert (products.asked, names(ledger, "1107", "1130")) == (2, {"1107": "Course, second edition", "1130": "Book"})


def test_names_from_before_stay_when_the_source_fails(ledger: Ledger, products: Products, clock: Clock) -> None:
    read(ledger, products, clock)
    products.error = ServerError("down", system="studiocart", operation="list", status=500)
    clock.advance(days=1)
    assert not read(ledger, products, clock)
    (cursor,) = rows(ledger, list_polls)
    assert (cursor.failures, cursor.lease_holder) == (1, None)
    assert names(ledger, "1107") == {"1107": "Course"}
    products.error = None
    clock.advance(minutes=59)
    assert not read(ledger, products, clock)
    clock.advance(minutes=1)
    assert read(ledger, products, clock)
    (cursor,) = rows(ledger, list_polls)
    assert (cursor.failures, cursor.last_error) == (0, None)


def test_nothing_is_written_when_another_took_over_meanwhile(ledger: Ledger, products: Products, clock: Clock) -> None:
    ask = products.product_names

    def slowly() -> dict[str, str]:
        clock.advance(hours=2)
        products.product_names = ask  # type: ignore[method-assign]
        assert read(ledger, products, clock, "there")
        return {"1107": "stale"}

    products.product_names = slowly  # type: ignore[method-assign]
    assert not read(ledger, products, clock)
    assert names(ledger, "1107") == {"1107": "Course"}


def test_second_reader_does_nothing_when_one_is_at_it(ledger: Ledger, products: Products, clock: Clock) -> None:
    ask = products.product_names

    def long() -> dict[str, str]:
        clock.advance(hours=2)
        with ledger.write() as connection:
            connection.execute(list_polls.update().values(lease_until=clock.now.replace(year=NOW.year + 1)))
        assert not read(ledger, products, clock, "there")
        return ask()

    products.product_names = long  # type: ignore[method-assign]
    assert read(ledger, products, clock)


def test_name_is_forgotten_when_its_product_was_gone_for_a_year(
    ledger: Ledger, products: Products, clock: Clock
) -> None:
    read(ledger, products, clock)
    products.names = {"1107": "Course"}
    clock.advance(days=370)
    read(ledger, products, clock)
    assert names(ledger, "1107", "1130") == {"1107": "Course"}
