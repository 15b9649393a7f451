from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.clients import studiocart_models as records
from worker.errors import ApiError, NotFoundError, ServerError, WebhookRejectedError
from worker.ledger.order_rows import content_hash
from worker.sources.order import Learner, Money, Order, Payment
from worker.sources.source import Until
from worker.sources.studiocart import LARGEST_QUANTITY, PAGE_SIZE, PAYMENTS, StudiocartSource, to_order

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)

ORDER_1109: dict[str, Any] = {
    "id": 1109,
    "customer_firstname": "Jane",
    "customer_lastname": "Doe",
    "customer_name": "Jane Doe",
    "customer_email": "janedoe@email.com",
    "product_id": "1107",
    "product_name": "SC Product 1",
    "gateway": "stripe",
    "shipping_amount": 0,
    "date": "2023-05-27",
    "date_time": "2023-05-27 08:14:00",
    "payment_plan": "Subscription Payment",
    "payment_plan_id": "price_1N4iASSEsjR3TKDuTSloXYv5",
    "order_amount": 500,
    "tax_amount": 0,
    "pre_tax_amount": 0,
    "tax_rate": 0,
    "tax_type": "tax",
    "currency": "INR",
    "transaction_id": "ch_3NCNPYSEsjR3TKDu0BcJrS1F",
    "status": "paid",
    "items": [
        {
            "product_name": "SC Product 1 x 1",
            "quantity": 1,
            "subtotal": 500,
            "total_amount": 500,
            "tax_amount": 0,
            "unit_price": 500,
            "sub_summary": "$5.00 / month",
        }
    ],
    "invoice_total": 0,
    "invoice_subtotal": 0,
    "website_url": "http://studiocart.local",
    "order_url": "/products/sc-product-1/",
    "link": "http://studiocart.local/wp-json/sc/v1/orders/1109",
}
"""The vendor's own sample, as its document prints it."""


def read(**changes: Any) -> Order:
    return to_order(records.Order.model_validate(ORDER_1109 | changes))


def item(name: Any, quantity: Any = None) -> dict[str, Any]:
    return {"product_name": name, "quantity": quantity}


def seats(order: Order) -> dict[str, list[tuple[str, str | None]]]:
    """The seats' ids and holds, by the line's product name."""
    return {line.title: [(seat.id, seat.hold) for seat in line.seats] for line in order.lines}


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


# Statuses


@pytest.mark.parametrize(
    ("payment", "statuses"),
    [
        (Payment.PAID, "paid completed"),
        (
            Payment.WAITING,
            "pending-payment initiated pending incomplete past_due unpaid uncollectible paused trialing active",
        ),
        (Payment.CANCELLED, "failed canceled"),
        (Payment.REFUNDED, "refunded"),
        (Payment.UNKNOWN, "cancelled Paid processing on-hold trash 0 paid,completed"),
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
def test_status_is_unknown_when_there_is_none(status: object) -> None:
    order = read(status=status)
    assert (order.status, order.payment) == ("", Payment.UNKNOWN)


def test_status_is_known_when_spaces_stand_around_it() -> None:
    assert read(status=" paid ").payment is Payment.PAID


@pytest.mark.parametrize("status", ["pending-payment", "pending", "unpaid"])
def test_zero_total_counts_as_paid_when_the_checkout_is_finished(status: str) -> None:
    assert read(status=status, order_amount=0).payment is Payment.PAID
    assert read(status=status, order_amount="0.00").payment is Payment.PAID
    assert read(status=status, order_amount=None).payment is Payment.WAITING
    assert read(status=status, order_amount=1).payment is Payment.WAITING


@pytest.mark.parametrize("status", ["canceled", "refunded", "failed", "initiated", "incomplete", "processing"])
def test_zero_total_pays_nothing_when_the_order_is_not_placed(status: str) -> None:
    assert read(status=status, order_amount=0).payment is not Payment.PAID


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


# Lines and seats


def test_quantity_is_the_buyer_and_nameless_seats() -> None:
    order = read(items=[item("SC Product 1 x 3", 3)])
    assert seats(order) == {"SC Product 1": [("buyer", None), ("seat-2", "unnamed_seat"), ("seat-3", "unnamed_seat")]}
    assert [seat.learner is None for seat in order.lines[0].seats] == [False, True, True]


@pytest.mark.parametrize(
    ("quantity", "name", "count"),
    [
        (2, "SC Product 1 x 1", 2),
        ("2", "SC Product 1 x 1", 2),
        (2.0, "SC Product 1 x 1", 2),
        (None, "SC Product 1 x 2", 2),
        ("two", "SC Product 1 X 2", 2),
        (None, "SC Product 1", 1),
        ([], "SC Product 1", 1),
        (LARGEST_QUANTITY, "SC Product 1", LARGEST_QUANTITY),
    ],
)
def test_quantity_is_the_items_own_else_the_one_in_its_name(quantity: object, name: str, count: int) -> None:
    (line,) = read(items=[item(name, quantity)]).lines
    assert len(line.seats) == count


@pytest.mark.parametrize("quantity", [0, -1, LARGEST_QUANTITY + 1, 2**63 - 1])
def test_line_is_one_seat_in_review_when_its_quantity_cannot_be_meant(quantity: int) -> None:
    assert seats(read(items=[item("SC Product 1", quantity)])) == {"SC Product 1": [("buyer", "invalid_quantity")]}


def test_order_can_be_read_when_the_number_in_a_name_is_longer_than_python_reads() -> None:
    (line,) = read(items=[item("SC Product 1 x " + "9" * 5000)]).lines
    assert len(line.seats) == 1


def test_bumps_are_lines_of_their_own_named_without_their_quantity() -> None:
    order = read(items=[item("SC Product 1 x 1", 1), item("Fire Safety Refresher x 2", 2), item("Book", 1)])
    assert seats(order) == {
        "SC Product 1": [("buyer", None)],
        "Fire Safety Refresher": [("buyer", None), ("seat-2", "unnamed_seat")],
        "Book": [("buyer", None)],
    }
    assert [line.product.product_id for line in order.lines] == ["1107", None, None]
    assert [line.product.product_name for line in order.lines] == ["SC Product 1", "Fire Safety Refresher", "Book"]
    assert order.lines[1].product.plan_id is None


@pytest.mark.parametrize("position", range(3))
def test_main_item_is_known_by_its_name_wherever_it_stands(position: int) -> None:
    items = [item("A bump", 1), item("B bump", 1)]
    items.insert(position, item("sc  PRODUCT 1 x 2", 2))
    order = read(items=items)
    assert (order.lines[0].id, len(order.lines[0].seats)) == ("1107", 2)
    assert [line.title for line in order.lines[1:]] == ["A bump", "B bump"]


def test_first_item_is_the_main_one_when_none_bears_the_products_name() -> None:
    order = read(items=[item("SC Product 1 (monthly) x 2", 2), item("Book", 1)])
    assert seats(order) == {"SC Product 1": [("buyer", None), ("seat-2", "unnamed_seat")], "Book": [("buyer", None)]}


@pytest.mark.parametrize("second", ["Book x 2", "BOOK", "  book "])
def test_bump_that_stands_there_twice_is_one_line(second: str) -> None:
    order = read(items=[item("SC Product 1", 1), item("Book x 1", 1), item(second, 2)])
    assert [seat.id for seat in order.lines[1].seats] == ["buyer", "seat-2", "seat-3"]
    assert len(order.lines) == 2


@pytest.mark.parametrize("product_id", ["1107", None])
def test_main_item_that_stands_there_twice_is_one_line(product_id: str | None) -> None:
    order = read(product_id=product_id, items=[item("SC Product 1 x 1", 1), item("SC Product 1 x 1", 1)])
    assert seats(order) == {"SC Product 1": [("buyer", None), ("seat-2", "unnamed_seat")]}


def test_bump_of_which_none_was_bought_has_no_seat() -> None:
    assert seats(read(items=[item("SC Product 1", 1), item("Book", 0)]))["Book"] == []


@pytest.mark.parametrize("names", [("Bump A", "Bump B"), ("日本語", "中文"), ("", "Bump")])
def test_line_ids_are_stable_and_distinct_and_survive_a_reordering(names: tuple[str, str]) -> None:
    main = item("SC Product 1", 1)
    one = read(items=[main, *(item(name, 1) for name in names)])
    other = read(items=[*(item(name, 1) for name in names[::-1]), main])
    assert len({line.id for line in one.lines}) == 3
    assert {line.id for line in one.lines} == {line.id for line in other.lines}
    assert all("/" not in line.id and "@" not in line.id for line in one.lines)


@pytest.mark.parametrize("items", [None, "", 5, {"a": 1}])
def test_lines_are_not_known_when_the_items_were_not_sent(items: object) -> None:
    order = read(items=items)
    assert (order.lines_known, seats(order)) == (False, {"SC Product 1": [("buyer", None)]})


def test_main_line_is_there_when_the_list_of_items_is_empty() -> None:
    order = read(items=[])
    assert (order.lines_known, seats(order)) == (True, {"SC Product 1": [("buyer", None)]})


def test_items_are_read_when_php_wrote_them_as_an_object() -> None:
    order = read(items={"0": item("SC Product 1", 1), "2": item("Book", 1)})
    assert list(seats(order)) == ["SC Product 1", "Book"]


def test_product_is_known_by_name_when_it_has_no_id() -> None:
    (line,) = read(product_id=None).lines
    assert (line.product.product_id, line.product.product_name) == (None, "SC Product 1")
    assert line.id == read(product_id="").lines[0].id != ""


def test_order_is_read_when_its_id_is_all_it_has() -> None:
    order = to_order(records.Order.model_validate({"id": "7"}))
    assert (order.id, order.payment, order.created_at, order.total) == ("7", Payment.UNKNOWN, None, None)
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
        {"date_time": "2023-05-27 08:15:00"},
    ]
    assert len({content_hash(read(**change)) for change in changes} | {content_hash(read())}) == len(changes) + 1
    assert content_hash(read(gateway="paypal", transaction_id="x", new_field=1)) == content_hash(read())


# The source


class FakeClient:
    """Answers as the client does, from lists."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.orders: list[dict[str, Any]] = []
        self.subscriptions: list[dict[str, Any]] = []
        self.error: ApiError | None = None
        self.read = 0

    def retrieve_order(self, order_id: int) -> records.Order:
        found = [order for order in self.orders if order["id"] == order_id]
        if not found:
            raise NotFoundError("no such order", status=404)
        return records.Order.model_validate(found[0])

    def iter_order_pages(self, *, per_page: int, **filters: Any) -> Iterator[list[records.Order]]:
        self.asked.append(filters)
        for start in range(0, len(self.orders), per_page):
            yield [records.Order.model_validate(order) for order in self.orders[start : start + per_page]]

    def list_subscriptions(self, **filters: Any) -> Iterator[records.Subscription]:
        self.asked.append(filters)
        if self.error is not None:
            raise self.error
        for subscription in self.subscriptions:
            self.read += 1
            yield records.Subscription.model_validate(subscription)


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def source(client: FakeClient) -> StudiocartSource:
    moments = iter(NOW + timedelta(seconds=number) for number in range(100))
    return StudiocartSource(client, clock=lambda: next(moments))  # type: ignore[arg-type]


def test_one_order_is_fetched_by_its_number(client: FakeClient, source: StudiocartSource) -> None:
    client.orders = [ORDER_1109]
    assert source.fetch("1109") == read()


@pytest.mark.parametrize("order_id", ["1110", "abc", "", "-1", "1.5", "²", "٣", "1109 "])
def test_order_is_not_found_when_the_site_cannot_know_it(source: StudiocartSource, order_id: str) -> None:
    with pytest.raises(NotFoundError):
        source.fetch(order_id)


def test_pages_carry_the_moment_they_were_asked_for(client: FakeClient, source: StudiocartSource) -> None:
    client.orders = [ORDER_1109 | {"id": number} for number in range(1, PAGE_SIZE + 2)]
    pages = list(source.walk_newest())
    assert [(len(page.orders), page.fetched_at) for page in pages] == [
        (PAGE_SIZE, NOW),
        (1, NOW + timedelta(seconds=1)),
    ]


def test_a_poll_walks_by_id_and_by_change(client: FakeClient, source: StudiocartSource) -> None:
    walks = list(source.walks(polled_at=NOW, highest_id=1109))
    assert [(walk.until, walk.is_of_changes) for walk in walks] == [(Until.KNOWN_ID, False), (Until.UNCHANGED, True)]
    assert [list(walk.pages) for walk in walks] == [[], []]
    assert [asked["orderby"] for asked in client.asked] == ["id", "date_modified"]


def test_walks_ask_for_their_order(client: FakeClient, source: StudiocartSource) -> None:
    for walk in (source.walk_newest(), source.walk_changed(), source.walk_since(NOW)):
        assert list(walk) == []
    assert client.asked == [
        {"orderby": "id", "order": "desc"},
        {"orderby": "date_modified", "order": "desc"},
        {"orderby": "id", "order": "desc", "date_after": "2026-03-08"},
    ]


# Renewals


def subscription(number: int, *invoices: tuple[int | None, str | None]) -> dict[str, Any]:
    return {"id": number, "invoices": [{"id": order_id, "status": status} for order_id, status in invoices]}


@pytest.mark.parametrize(
    ("invoices", "is_renewal"),
    [
        ([(1109, "paid")], False),
        ([(1109, "paid"), (1150, "paid")], False),
        ([(1000, "paid"), (1109, "paid")], True),
        ([(1109, "paid"), (1000, "completed")], True),
        ([(1000, "refunded"), (1109, "paid")], True),
        ([(1000, "failed"), (1109, "paid")], False),
        ([(1000, "pending-payment"), (1050, "canceled"), (1109, "paid"), (1150, "paid")], False),
        ([(1000, "failed"), (1050, "paid"), (1109, "paid")], True),
        ([(1000, "failed"), (1109, "failed")], False),
        ([(None, "paid"), (1109, None)], False),
    ],
)
def test_renewal_is_told_by_the_invoices_that_were_paid_before(
    client: FakeClient, source: StudiocartSource, invoices: list[tuple[int | None, str | None]], is_renewal: bool
) -> None:
    client.subscriptions = [subscription(1, (7, "paid")), subscription(1108, *invoices), subscription(2)]
    (order,) = source.annotate([read()])
    assert (order.renewal, order.subscription_id) == (is_renewal, "1108")
    assert client.read == 2
    assert content_hash(order) == content_hash(read())


def test_order_is_no_renewal_when_no_subscription_names_it(client: FakeClient, source: StudiocartSource) -> None:
    client.subscriptions = [{"id": 1, "invoices": None}, subscription(2, (7, "paid"))]
    assert source.annotate([read()]) == [read()]


@pytest.mark.parametrize(("summary", "expected"), [("$5.00 / month", PAGE_SIZE + 50), (None, PAGE_SIZE)])
def test_only_orders_that_recur_are_looked_for_beyond_the_first_page(
    client: FakeClient, source: StudiocartSource, summary: str | None, expected: int
) -> None:
    client.subscriptions = [subscription(number, (number, "paid")) for number in range(2000, 2000 + PAGE_SIZE + 50)]
    source.annotate([read(items=[item("SC Product 1", 1) | {"sub_summary": summary}])])
    assert client.read == expected


def test_many_orders_are_told_in_one_walk(client: FakeClient, source: StudiocartSource) -> None:
    client.subscriptions = [subscription(1, (5, "paid"), (6, "paid")), subscription(2, (7, "paid"))]
    told = source.annotate([read(id=number) for number in (5, 6, 7, 8)])
    assert [(order.id, order.renewal, order.subscription_id) for order in told] == [
        ("5", False, "1"),
        ("6", True, "1"),
        ("7", False, "2"),
        ("8", False, None),
    ]
    assert len(client.asked) == 1


def test_nothing_is_a_renewal_when_the_site_lists_no_subscriptions(
    client: FakeClient, source: StudiocartSource
) -> None:
    client.error = NotFoundError("no route", status=404)
    assert source.annotate([read()]) == [read()]


def test_renewal_is_not_guessed_when_the_site_fails(client: FakeClient, source: StudiocartSource) -> None:
    client.error = ServerError("boom", status=500)
    with pytest.raises(ServerError):
        source.annotate([read()])


# Webhook bodies


def test_order_is_read_from_a_body_when_a_setting_trusts_it(source: StudiocartSource) -> None:
    body = {"order_id": "1109", "status": "completed", "customer_email": "j@email.com", "product_id": "1107"}
    order = source.from_body(body | {"studiocart_secret": "s3cret", "order_amount": "5.00"})
    assert (order.id, order.payment, order.total, order.lines_known) == ("1109", Payment.PAID, None, False)
    assert seats(order) == {"": [("buyer", None)]}
    assert "s3cret" not in str(order.raw) + repr(order)


@pytest.mark.parametrize("body", [{}, {"id": "x"}, {"id": None, "order_id": ""}, {"id": -1}, {"status": "paid"}])
def test_body_is_refused_when_it_names_no_order(source: StudiocartSource, body: dict[str, Any]) -> None:
    with pytest.raises(WebhookRejectedError) as caught:
        source.from_body(body | {"customer_email": "planted@email.com"})
    assert caught.value.status == 422
    assert "planted" not in str(caught.value)
    assert caught.value.__cause__ is None
