"""`worker.sources.studiocart`: a record of Studiocart's as an order of ours: status, dates, money, buyer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.worker.sources.studiocart_records import ORDER_1109, item, read
from worker.clients.studiocart import models as records
from worker.ledger.orders.order_rows import content_hash
from worker.sources.order import Learner, Money, Payment
from worker.sources.studiocart import PAYMENTS, to_order


def test_order_is_read_whole_when_it_is_the_vendors_sample() -> None:
    order = read()
    assert (order.source, order.id, order.status, order.payment) == ("studiocart", "1109", "paid", Payment.PAID)
    assert order.created_at == datetime(2023, 5, 27, 8, 14, tzinfo=UTC)
    assert (order.buyer_email, order.buyer_name) == ("janedoe@email.com", "Jane Doe")
    assert order.total == Money(minor_units=500, currency="INR")
    (line,) = order.lines
    assert (line.id, line.title) == ("1107", "SC Product 1")
    assert (line.product.product_id, line.product.product_name) == ("1107", "SC Product 1")
    assert line.product.plan_id == "price_1N4iASSEsjR3TKDuTSloXYv5"
    (seat,) = line.seats
    assert (seat.id, seat.hold) == ("buyer", None)
    assert seat.learner == Learner(email="janedoe@email.com", first_name="Jane", last_name="Doe")
    assert (order.lines_known, order.renewal) == (True, False)
    assert order.raw | {"tax_rate": 0} == ORDER_1109
    assert (order.recurring, order.subscription_id, order.trial) == (True, None, False)


# Statuses


@pytest.mark.parametrize(
    ("payment", "statuses"),
    [
        (Payment.PAID, "paid completed"),
        (
            Payment.WAITING,
            "pending-payment initiated pending incomplete past_due unpaid uncollectible paused trialing active",
        ),
        (Payment.CANCELLED, "failed canceled trash"),
        (Payment.REFUNDED, "refunded"),
        (Payment.UNKNOWN, "cancelled Paid processing on-hold 0 paid,completed"),
    ],
)
def test_status_means_what_the_issue_says(payment: Payment, statuses: str) -> None:
    assert {read(status=status).payment for status in statuses.split()} == {payment}


def test_every_status_of_the_vendors_list_is_ruled_on() -> None:
    listed = (
        "pending-payment pending initiated paid completed refunded failed past_due uncollectible active unpaid paused "
        "canceled incomplete trialing"
    )
    assert set(PAYMENTS) == set(listed.split())


@pytest.mark.parametrize("status", [None, "", "  ", [], {}, False])
def test_order_waits_for_its_status_and_is_asked_about_when_there_is_none(status: object) -> None:
    order = read(status=status)
    assert (order.status, order.payment, order.payment_unproven) == ("", Payment.WAITING, True)
    told_elsewhere = read(status=status, order_status="paid")
    assert (told_elsewhere.status, told_elsewhere.payment, told_elsewhere.payment_unproven) == (
        "paid",
        Payment.PAID,
        False,
    )


def test_status_is_known_when_spaces_stand_around_it() -> None:
    assert read(status=" paid ").payment is Payment.PAID


@pytest.mark.parametrize("status", sorted(PAYMENTS))
def test_zero_total_is_paid_only_where_the_status_says_so(status: str) -> None:
    """An unfinished checkout of a trial, or with a full coupon, is stored with a total of 0."""
    assert read(status=status, order_amount=0).payment is PAYMENTS[status]


@pytest.mark.parametrize("field", ["status", "order_status", "post_status"])
def test_trashed_order_is_not_planned_where_its_record_shows_it(field: str) -> None:
    assert read(**({"status": "paid"} | {field: "trash"})).payment is Payment.CANCELLED


# Dates and money


@pytest.mark.parametrize(
    ("date_time", "date", "expected"),
    [
        ("2023-05-27 08:14:00", "2023-05-27", datetime(2023, 5, 27, 8, 14, tzinfo=UTC)),
        ("2023-05-27T13:44:00+05:30", None, datetime(2023, 5, 27, 8, 14, tzinfo=UTC)),
        (None, "2023-05-27", datetime(2023, 5, 27, tzinfo=UTC)),
        ("", "2023-05-27", datetime(2023, 5, 27, tzinfo=UTC)),
        ("0000-00-00 00:00:00", "2023-05-27", datetime(2023, 5, 27, tzinfo=UTC)),
        ("27 May", "yesterday", None),
        ("0001-01-01T00:00:00+05:30", None, None),
        (None, None, None),
        (False, 5, None),
    ],
)
def test_order_was_made_at_its_date_time_in_utc_or_on_its_date(
    date_time: object, date: object, expected: datetime | None
) -> None:
    assert read(date_time=date_time, date=date).created_at == expected


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (500, "INR", Money(minor_units=500, currency="INR")),
        ("2500000000", "idr", Money(minor_units=2_500_000_000, currency="IDR")),
        (500, "JPY", Money(minor_units=500, currency="JPY")),
        (None, "INR", None),
        (500, None, None),
        (500, "", None),
        ("a lot", "INR", None),
        (10**40, "INR", None),
    ],
)
def test_total_keeps_its_minor_units_and_currency(amount: object, currency: object, expected: Money | None) -> None:
    assert read(order_amount=amount, currency=currency).total == expected


# Buyers


@pytest.mark.parametrize(
    ("given", "hold"),
    [
        ({"customer_email": None}, "missing_email"),
        ({"customer_email": "  "}, "missing_email"),
        ({"customer_email": False}, "missing_email"),
        ({"customer_email": "jane at email.com"}, "invalid_email"),
        ({"customer_email": "jane@localhost"}, "invalid_email"),
        ({"customer_email": "jane@email.com, john@email.com"}, "invalid_email"),
    ],
)
def test_seat_is_held_when_its_email_is_missing_or_wrong(given: dict[str, Any], hold: str) -> None:
    (line,) = read(**given).lines
    assert [(seat.learner, seat.hold) for seat in line.seats] == [(None, hold)]


@pytest.mark.parametrize(
    ("first", "last", "name", "expected"),
    [
        ("Jane", "Doe", "ignored", ("Jane", "Doe")),
        (" Jane ", None, "ignored", ("Jane", "")),
        (None, None, "Jane van der Doe", ("Jane", "van der Doe")),
        ("", "", "Jane", ("Jane", "")),
        (False, False, None, ("", "")),
    ],
)
def test_learner_has_the_names_there_are(first: object, last: object, name: object, expected: tuple[str, str]) -> None:
    order = read(customer_firstname=first, customer_lastname=last, customer_name=name, customer_email=" j@email.com ")
    learner = order.lines[0].seats[0].learner
    assert learner is not None
    assert (learner.first_name, learner.last_name, learner.email) == (*expected, "j@email.com")
    assert order.buyer_name == " ".join(part for part in expected if part)


# Whatever comes


def test_order_is_read_when_its_id_is_all_it_has() -> None:
    order = to_order(records.Order.model_validate({"id": "7"}))
    assert (order.id, order.payment, order.created_at, order.total) == ("7", Payment.WAITING, None, None)
    (line,) = order.lines
    assert [seat.hold for seat in line.seats] == ["missing_email"]


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)
some_items = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "product_name": st.sampled_from(["A", "a", "A x 2", "B", "SC Product 1", "SC Product 1 x 1", ""])
            | anything,
            "quantity": st.integers(min_value=-2, max_value=5) | anything,
        },
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([name for name in ORDER_1109 if name not in {"id", "items"}]), anything, max_size=4
    ),
    some_items | anything,
)
def test_any_record_with_an_id_is_an_order_with_distinct_lines_and_seats(changes: dict[str, Any], items: Any) -> None:
    order = read(**changes, items=items)
    assert len({line.id for line in order.lines}) == len(order.lines)
    assert all(line.id for line in order.lines)
    for line in order.lines:
        assert len({seat.id for seat in line.seats}) == len(line.seats)
        assert all(seat.learner is not None or seat.hold is not None for seat in line.seats)
    assert order.lines[0].seats
    assert order.created_at is None or order.created_at.tzinfo is UTC


def test_content_is_another_when_anything_we_read_changes() -> None:
    changes: list[dict[str, Any]] = [
        {"status": "completed"},
        {"customer_email": "j@email.com"},
        {"customer_lastname": "Roe"},
        {"product_id": "1"},
        {"payment_plan_id": "p"},
        {"order_amount": 501},
        {"items": [item("SC Product 1", 2)]},
        {"items": None},
    ]
    assert len({content_hash(read(**change)) for change in changes} | {content_hash(read())}) == len(changes) + 1
    dated = {"date_time": "2023-05-27 08:15:00", "date": "2023-05-27"}  # computed from the site's present zone
    assert content_hash(read(**dated)) == content_hash(read())
    assert content_hash(read(gateway="paypal", transaction_id="x", new_field=1)) == content_hash(read())
