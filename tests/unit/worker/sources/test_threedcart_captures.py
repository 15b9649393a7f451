"""What each captured order of a 3dcart store is to us: every file is read whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from worker.clients.threedcart import models as records
from worker.errors import ApiError, ApiTimeoutError, AuthenticationError, NotFoundError, PermissionDeniedError
from worker.sources.order import Order, Payment
from worker.sources.source import NoOrderError, SampleOrderError
from worker.sources.threedcart import ThreedcartSource, to_order

CAPTURES = Path(__file__).parents[3] / "captures" / "threedcart"
STORE = timezone(timedelta(hours=-5))
COURSE = "12-FA-COURSE-MAY"


def rows(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((CAPTURES / name).read_text(encoding="utf-8"))
    return found


def read(name: str) -> list[Order]:
    return [to_order(records.Order.model_validate(row), zone=STORE) for row in rows(name)]


def seats(order: Order) -> dict[str, list[tuple[str, str | None, str | None]]]:
    return {
        line.id: [(seat.id, seat.learner.email if seat.learner else None, seat.hold) for seat in line.seats]
        for line in order.lines
    }


def source() -> ThreedcartSource:
    return ThreedcartSource(None, zone=STORE, clock=lambda: datetime(2026, 5, 2, tzinfo=UTC))  # type: ignore[arg-type]


def test_a_card_sale_is_paid_when_it_is_new() -> None:
    [order] = read("order_full.json")
    assert (order.id, order.status, order.payment) == ("1001", "1 New", Payment.PAID)
    assert order.created_at == datetime(2026, 5, 1, 14, 12, 44, tzinfo=UTC)
    assert seats(order) == {COURSE: [("buyer", "kari@prove.example", None)]}
    assert order.lines[0].title == "First aid Date: May 9"


def test_each_status_is_read_as_ruled_when_all_are_listed() -> None:
    paid, waiting, unknown = Payment.PAID, Payment.WAITING, Payment.UNKNOWN
    completed = [row for row in rows("orders_every_status.json") if row["OrderStatusID"] != 7]
    found = {order.id: (order.payment, order.status) for order in map(source().from_body, completed)}
    assert found == {
        "1101": (paid, "1 New"),
        "1102": (paid, "2 Processing"),
        "1103": (paid, "3 Partial"),
        "1104": (paid, "4 Shipped"),
        "1105": (Payment.CANCELLED, "5 Cancel"),
        "1106": (waiting, "6 Hold"),
        "1108": (unknown, "8"),
        "1109": (unknown, "9"),
        "1110": (unknown, "10"),
        "1111": (waiting, "11 Unpaid"),
        "1112": (waiting, "12 Review"),
        "1113": (waiting, "13 Review"),
        "1121": (waiting, "21 Quote"),
    }


@pytest.mark.parametrize("name", ["not_completed_7.json", "orders_every_status.json"])
def test_a_checkout_is_no_order_when_it_was_not_completed(name: str) -> None:
    [begun] = [row for row in rows(name) if row["OrderStatusID"] == 7]
    with pytest.raises(NoOrderError):
        source().from_body(begun)


def test_only_products_are_lines_when_discounts_and_kit_parts_are_items() -> None:
    [order] = read("order_discount_and_kit.json")
    assert seats(order) == {COURSE: [("buyer", "kari@prove.example", None)]}


def test_a_seat_waits_and_names_the_question_when_the_order_has_no_billing_email() -> None:
    [order] = read("order_no_billing_email.json")
    assert order.payment is Payment.PAID
    assert seats(order) == {COURSE: [("buyer", None, "missing_email")]}
    assert order.lines[0].seats[0].note == (
        'The order\'s question "E-mail of the person who takes the course" was answered with an address.'
    )


def test_an_order_keeps_its_own_date_when_its_last_update_is_older() -> None:
    [order] = read("order_stale_last_update.json")
    assert (order.payment, order.created_at) == (Payment.PAID, datetime(2026, 5, 1, 14, 12, 44, tzinfo=UTC))


@pytest.mark.parametrize("name", ["webhook_order_new.json", "webhook_order_status_change.json"])
def test_a_webhook_s_body_is_what_the_store_lists_when_it_is_trusted(name: str) -> None:
    [body] = rows(name)
    [listed] = read(name)
    trusted = source().from_body({**body, "id": "1002"})
    assert (trusted.id, trusted.payment, trusted.lines) == ("1002", Payment.PAID, listed.lines)


class Refusing:
    """A client of a store that answers every call for an order with an error."""

    def __init__(self, error: ApiError) -> None:
        self.error = error

    def retrieve_order(self, order_id: int) -> records.Order:
        assert order_id == 1
        raise self.error


@pytest.mark.parametrize("error", [NotFoundError("no"), AuthenticationError("no"), PermissionDeniedError("no")])
def test_the_vendor_s_test_is_no_order_when_its_body_is_trusted_and_the_store_has_none(error: ApiError) -> None:
    [body] = rows("webhook_test_order_1.json")
    store: Any = Refusing(error)
    ours = ThreedcartSource(store, zone=STORE, clock=lambda: datetime(2026, 5, 2, tzinfo=UTC))
    with pytest.raises(SampleOrderError):
        ours.from_body({**body, "id": "1"})


def test_the_vendor_s_test_is_looked_for_when_the_store_does_not_answer() -> None:
    [body] = rows("webhook_test_order_1.json")
    store: Any = Refusing(ApiTimeoutError("no"))
    ours = ThreedcartSource(store, zone=STORE, clock=lambda: datetime(2026, 5, 2, tzinfo=UTC))
    with pytest.raises(ApiTimeoutError):
        ours.from_body(body)


@pytest.mark.parametrize(
    "name", ["order_full.json", "orders_every_status.json", "order_discount_and_kit.json", "not_completed_7.json"]
)
def test_no_address_key_or_card_is_kept_when_an_order_is_read(name: str) -> None:
    for row, order in zip(rows(name), read(name), strict=True):
        nested = records.Order.model_validate(
            {**row, "Extra": [{"IP": "192.0.2.7", "ContinueURL": row["ContinueURL"]}]}
        )
        for stored in (order.raw, nested.model_dump(mode="json"), repr(nested)):
            text = str(stored)
            for secret in ("192.0.2.7", "ABCDEFGHJKLMNPQ", "www.example", "Visa", "-0000", "0000000001"):
                assert secret not in text, secret


def test_the_kept_record_is_read_alike_when_it_is_read_again() -> None:
    """What a newer version needs to tell a changed reading from a payment."""
    for name in ("order_full.json", "orders_every_status.json", "order_discount_and_kit.json"):
        for order in read(name):
            again = to_order(records.Order.model_validate(order.raw), zone=STORE)
            assert again == order
