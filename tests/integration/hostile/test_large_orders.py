"""Orders that say more than anybody bought: a few KiB of lines must not become millions of seats, nor take minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC
from typing import Any

import pytest

from tests.captures import capture
from worker.clients.frontcore.models import Order as FrontcoreRecord
from worker.clients.studiocart.models import Order as StudiocartRecord
from worker.clients.threedcart.models import Order as ThreedcartRecord
from worker.ledger.orders.changes import changes
from worker.sources.frontcore import to_order as frontcore_order
from worker.sources.order import LARGEST_QUANTITY, MOST_LINES, MOST_SEATS, Order
from worker.sources.studiocart import to_order as studiocart_order
from worker.sources.threedcart import to_order as threedcart_order

SC_ORDER = capture("studiocart", "rest-order-paid.json")
FC_ORDER = capture("frontcore", "orders_group_shared_email.json")[0]
TD_ORDER = capture("threedcart", "order_full.json")[0]
MANY = 50_000


def studiocart(lines: int, quantity: int) -> Order:
    items = [{"product_id": number + 1, "product_name": "Course", "quantity": quantity} for number in range(lines)]
    return studiocart_order(StudiocartRecord.model_validate({**SC_ORDER, "items": items}))


def frontcore(lines: int, quantity: int) -> Order:
    given = [{"id": number + 1, "quantity": quantity, "product": {"id": 81}} for number in range(lines)]
    return frontcore_order(FrontcoreRecord.model_validate({**FC_ORDER, "lines": given}))


def threedcart(lines: int, quantity: int) -> Order:
    items = [{"CatalogID": number + 1, "ItemID": "A", "ItemQuantity": quantity} for number in range(lines)]
    return threedcart_order(ThreedcartRecord.model_validate({**TD_ORDER, "OrderItemList": items}), zone=UTC)


SOURCES = [studiocart, frontcore, threedcart]


@pytest.mark.parametrize("order_of", SOURCES)
def test_every_seat_is_there_when_an_order_has_as_many_as_it_may(order_of: Callable[[int, int], Order]) -> None:
    seats = [seat for line in order_of(MOST_SEATS // LARGEST_QUANTITY, LARGEST_QUANTITY).lines for seat in line.seats]
    assert MOST_SEATS <= len(seats) <= MOST_SEATS + 1
    assert "invalid_quantity" not in {seat.hold for seat in seats}


@pytest.mark.parametrize("order_of", SOURCES)
@pytest.mark.parametrize(("lines", "quantity"), [(6, LARGEST_QUANTITY), (200, LARGEST_QUANTITY), (5_500, 1)])
def test_a_person_looks_at_each_line_when_the_order_has_more_seats(
    order_of: Callable[[int, int], Order], lines: int, quantity: int
) -> None:
    found = order_of(lines, quantity).lines
    assert min(lines, MOST_LINES) <= len(found) <= min(lines, MOST_LINES) + 1
    assert {seat.hold for line in found for seat in line.seats} == {"invalid_quantity"}
    assert sum(len(line.seats) for line in found) <= len(found)


@pytest.mark.parametrize("order_of", SOURCES)
def test_one_line_alone_is_held_when_only_it_has_too_many_seats(order_of: Callable[[int, int], Order]) -> None:
    line = order_of(1, 10 * MOST_SEATS).lines[-1]
    assert [seat.hold for seat in line.seats] == ["invalid_quantity"]


def test_lines_without_ids_are_told_apart_in_no_time_when_they_are_very_many() -> None:
    began = time.thread_time()
    nameless: list[dict[str, Any]] = [{} for _ in range(MANY)]
    frontcore_order(FrontcoreRecord.model_validate({**FC_ORDER, "lines": nameless}))
    before = {"lines": [{"id": "a", "title": ""} for _ in range(MANY)]}
    after = {"lines": [{"id": "a", "title": "b"} for _ in range(MANY)]}
    assert len(changes(before, after)) == MANY
    assert time.thread_time() - began < 60.0  # some 3 s; it took longer than an hour
