"""`worker.sources.threedcart`: what an order of the store is to us, and what a poll walks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from worker.clients.threedcart import models as records
from worker.errors import NotFoundError, WebhookRejectedError
from worker.sources.order import Order, Payment
from worker.sources.source import NoOrderError, Until
from worker.sources.threedcart import OVERLAP, ThreedcartSource, to_order
from workflows.planning.offers import Offers, parse_offers

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STORE = timezone(timedelta(hours=-5))


def a_record(**changes: Any) -> dict[str, Any]:
    return {
        "OrderID": 7,
        "InvoiceNumberPrefix": "AB-",
        "InvoiceNumber": 1007,
        "OrderDate": "2026-03-01T09:30:00",
        "LastUpdate": "2026-03-01T09:31:00",
        "OrderStatusID": 4,
        "BillingFirstName": " Ann ",
        "BillingLastName": "Doe",
        "BillingEmail": " ann@example.test ",
        "OrderItemList": [an_item()],
    } | changes


def an_item(catalog_id: object = 1234, sku: object = "FIRST-AID-101", quantity: object = 1.0) -> dict[str, Any]:
    return {"CatalogID": catalog_id, "ItemID": sku, "ItemQuantity": quantity, "ItemUnitPrice": 25.0}


def read(paid_statuses: frozenset[int] = frozenset({2, 4}), **changes: Any) -> Order:
    return to_order(records.Order.model_validate(a_record(**changes)), zone=STORE, paid_statuses=paid_statuses)


def seats(order: Order) -> dict[str, list[tuple[str, str | None]]]:
    return {line.id: [(seat.id, seat.hold) for seat in line.seats] for line in order.lines}


class Store:
    """A client that answers with what it holds."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.orders = [records.Order.model_validate(row) for row in rows]
        self.asked: list[dict[str, datetime]] = []

    def retrieve_order(self, order_id: int) -> records.Order:
        return next(order for order in self.orders if order.id == order_id)

    def iter_order_pages(self, **filters: datetime) -> Iterator[list[records.Order]]:
        self.asked.append(filters)
        yield self.orders


def source(*rows: dict[str, Any]) -> tuple[ThreedcartSource, Store]:
    store = Store(*rows)
    return ThreedcartSource(store, zone=STORE, clock=lambda: NOW), store  # type: ignore[arg-type]


def test_an_order_is_ours_when_it_is_read() -> None:
    order = read(BillingAddress="Street 1", BillingCity="Town", BillingCountry="US", CardNumber="4111")
    assert (order.source, order.id, order.status, order.payment) == ("threedcart", "7", "4 Shipped", Payment.PAID)
    assert (order.buyer_email, order.buyer_name) == ("ann@example.test", "Ann Doe")
    assert order.created_at == datetime(2026, 3, 1, 14, 30, tzinfo=UTC)
    [line] = order.lines
    assert (line.id, line.product.product_id, line.product.sku) == ("1234-FIRST-AID-101", "1234", "FIRST-AID-101")
    learner = line.seats[0].learner
    assert learner is not None
    assert (learner.email, learner.first_name, learner.last_name) == ("ann@example.test", "Ann", "Doe")
    assert learner.address is not None
    assert (learner.address.line_1, learner.address.country) == ("Street 1", "US")
    assert order.raw["invoice_number"] == 1007
    assert "4111" not in str(order.raw)
    nobody = read().lines[0].seats[0].learner
    assert nobody is not None
    assert nobody.address is None


def test_a_date_is_read_in_the_store_s_zone_when_it_names_none() -> None:
    for text, moment in (
        ("2026-03-01T09:30:00", datetime(2026, 3, 1, 14, 30, tzinfo=UTC)),
        ("03/01/2026 9:30:00 PM", datetime(2026, 3, 2, 2, 30, tzinfo=UTC)),
        ("2026-03-01T09:30:00Z", datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        ("2026-03-01T09:30:00+01:00", datetime(2026, 3, 1, 8, 30, tzinfo=UTC)),
        ("/Date(1700000000000-0500)/", datetime.fromtimestamp(1_700_000_000, UTC)),
        ("9999-12-31T23:30:00", None),
        ("soon", None),
        (None, None),
    ):
        assert read(OrderDate=text).created_at == moment, text
    summer = records.Order.model_validate(a_record(OrderDate="2026-07-01T09:30:00"))
    assert to_order(summer, zone=ZoneInfo("America/New_York")).created_at == datetime(2026, 7, 1, 13, 30, tzinfo=UTC)


def test_each_product_is_a_line_with_a_seat_for_each_when_items_are_read() -> None:
    items = [an_item(quantity=2), an_item(5, "A b"), an_item(quantity="1"), an_item(5, ""), an_item(0, "B", None)]
    order = read(OrderItemList=items)
    assert list(seats(order).values()) == [
        [("buyer", None), ("seat-2", "unnamed_seat"), ("seat-3", "unnamed_seat")],
        *[[("buyer", None)]] * 3,
    ]
    ids = [line.id for line in order.lines]
    assert (ids[0], ids[1][:7], *ids[2:]) == ("1234-FIRST-AID-101", "5-item-", "5", "sku-B")
    assert [line.product.sku for line in order.lines] == ["FIRST-AID-101", "A b", None, "B"]
    assert read(OrderItemList=items[1:2]).lines[0].id == ids[1]


def test_a_buyer_s_name_is_as_people_read_it_when_the_store_sends_entities() -> None:
    order = read(BillingFirstName="Sin&eacute;ad", BillingLastName=" O&#39;Neil", BillingCity="Tr&oslash;ndelag")
    learner = order.lines[0].seats[0].learner
    assert learner is not None
    assert (order.buyer_name, learner.first_name, learner.last_name) == ("Sinéad O'Neil", "Sinéad", "O'Neil")
    assert learner.address is not None
    assert learner.address.city == "Trøndelag"


def test_a_quantity_is_a_question_when_it_counts_no_seats() -> None:
    held = [("buyer", "invalid_quantity")]
    for quantity in (-1, 1.5, 1001, "9E999999", 0, "2,0", {"Quantity": 2}):
        assert list(seats(read(OrderItemList=[an_item(quantity=quantity)])).values()) == [held], quantity
    some = read(OrderItemList=[an_item(quantity=0), an_item(5, "B", 2), an_item(5, "B", -1)])
    assert list(seats(some).values()) == [[], [("buyer", None)]]
    for nothing, is_known in (([], True), (None, False)):
        empty = read(OrderItemList=nothing)
        assert (seats(empty), empty.lines_known) == ({"order": [("buyer", None)]}, is_known)
        assert Offers().match("threedcart", empty.lines[0]) is None


def test_a_seat_waits_for_an_address_when_the_buyer_s_email_is_none() -> None:
    for email, hold in (("", "missing_email"), (None, "missing_email"), ("ann at home", "invalid_email")):
        assert [seat.hold for seat in read(BillingEmail=email).lines[0].seats] == [hold]


def test_an_offer_matches_when_it_names_the_sku_or_the_catalog_id() -> None:
    for selector in ('sku = "FIRST-AID-101"', "product_id = 1234"):
        offers = parse_offers(f'[[offer]]\nsource = "threedcart"\n{selector}\ngrants = [{{ price_id = 701 }}]\n')
        assert offers.match("threedcart", read().lines[0]) == offers.offers[0]


def test_a_checkout_that_was_not_completed_is_no_order_when_met() -> None:
    begun, order = a_record(OrderStatusID=7), a_record(OrderID=8)
    ours, _ = source(begun, order)
    assert ours.fetch("8").id == "8"
    with pytest.raises(NoOrderError, match="not completed"):
        ours.fetch("7")
    with pytest.raises(NoOrderError):
        ours.from_body(begun)
    assert [[each.id for each in page.orders] for page in ours.walk_since(NOW)] == [["8"]]
    with pytest.raises(NotFoundError):
        ours.fetch("AB-1007")


def test_both_lists_are_walked_to_their_end_when_polled() -> None:
    ours, store = source(a_record())
    walks = list(ours.walks(polled_at=NOW, highest_id=7))
    assert [(walk.until, walk.is_of_changes) for walk in walks] == [(Until.END, False), (Until.END, True)]
    assert store.asked == []
    pages = [page for walk in walks for page in walk.pages]
    assert [(page.orders[0].id, page.fetched_at) for page in pages] == [("7", NOW)] * 2
    assert store.asked == [{"date_start": NOW - OVERLAP}, {"last_update_start": NOW - OVERLAP}]
    assert ours.annotate([pages[0].orders[0]]) == [pages[0].orders[0]]


def test_a_body_is_an_order_when_it_is_whole() -> None:
    ours, _ = source()
    fetched = read()
    body = a_record(OrderID=None) | {"id": "7"}
    trusted = ours.from_body(body)
    assert (trusted.id, trusted.lines) == (fetched.id, fetched.lines)
    assert ours.from_body(a_record()).lines == fetched.lines
    bare = {"ItemID": "FIRST-AID-101", "ItemQuantity": 1}
    for wrong in ({}, {"id": "7"}, a_record(OrderID="x"), a_record(OrderItemList=[]), a_record(OrderItemList=[bare])):
        with pytest.raises(WebhookRejectedError):
            ours.from_body(wrong)
