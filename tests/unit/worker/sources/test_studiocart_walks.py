"""`worker.sources.studiocart`: how orders are fetched, walked, told from renewals and read from a webhook's body."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.worker.sources.studiocart_records import NOW, ORDER_1109, item, read, seats
from worker.clients.studiocart import models as records
from worker.errors import ApiError, NotFoundError, ServerError, WebhookRejectedError
from worker.ledger.orders.order_rows import content_hash
from worker.sources.order import Payment
from worker.sources.source import Until
from worker.sources.studiocart import PAGE_SIZE, StudiocartSource


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

    def retrieve_subscription(self, subscription_id: int) -> records.Subscription:
        self.asked.append({"id": subscription_id})
        if self.error is not None:
            raise self.error
        found = [each for each in self.subscriptions if each["id"] == subscription_id]
        if not found:
            raise NotFoundError("no such subscription", status=404)
        return records.Subscription.model_validate(found[0])

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
    reported = source.annotate([read(id=number) for number in (5, 6, 7, 8)])
    assert [(order.id, order.renewal, order.subscription_id) for order in reported] == [
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


def test_no_order_waits_here_when_the_site_fails(client: FakeClient, source: StudiocartSource) -> None:
    """What needs its subscription is planned without it, and waits there."""
    client.error = ServerError("boom", status=504)
    orders = [read(), read(subscription_id="1108"), read(subscription_id=0, items=[])]
    assert source.annotate(orders) == orders


def test_nothing_is_asked_for_an_order_that_names_no_subscription(client: FakeClient, source: StudiocartSource) -> None:
    one_time = read(subscription_id=0, items=[item("SC Product 1", 1)])
    assert source.annotate([one_time]) == [one_time]
    assert client.asked == []


def test_subscription_is_asked_for_by_its_id_when_an_order_names_it(
    client: FakeClient, source: StudiocartSource
) -> None:
    client.subscriptions = [subscription(1108, (1100, "paid"))]  # a cache: it does not list the order yet
    (order,) = source.annotate([read(subscription_id="1108")])
    assert (order.renewal, order.subscription_id) == (True, "1108")
    assert client.asked == [{"id": 1108}]


def test_many_subscriptions_are_looked_for_in_the_list_first(client: FakeClient, source: StudiocartSource) -> None:
    client.subscriptions = [subscription(number, (number - 500, "paid")) for number in range(1001, 1012)]
    reported = source.annotate([read(id=number - 500, subscription_id=number) for number in range(1001, 1012)])
    assert [(order.renewal, order.subscription_id) for order in reported] == [
        (False, str(n)) for n in range(1001, 1012)
    ]
    assert [asked for asked in client.asked if "id" in asked] == []
    lost = source.annotate([read(id=number, subscription_id=number) for number in range(2001, 2012)])
    assert [order.subscription for order in lost] == [None] * 11


# Webhook bodies


def test_order_is_read_from_a_body_when_a_setting_trusts_it(source: StudiocartSource) -> None:
    body = {"order_id": "1109", "status": "completed", "customer_email": "j@email.com", "product_id": "1107"}
    order = source.from_body(body | {"studiocart_secret": "s3cret", "order_amount": "5.00"})
    assert (order.id, order.payment, order.total, order.lines_known) == (
        "1109",
        Payment.PAID,
        None,
        False,
    )
    assert seats(order) == {"": [("buyer", None)]}
    assert "s3cret" not in str(order.raw) + repr(order)


@pytest.mark.parametrize("body", [{}, {"id": "x"}, {"id": None, "order_id": ""}, {"id": -1}, {"status": "paid"}])
def test_body_is_refused_when_it_names_no_order(source: StudiocartSource, body: dict[str, Any]) -> None:
    with pytest.raises(WebhookRejectedError) as caught:
        source.from_body(body | {"customer_email": "planted@email.com"})
    assert caught.value.status == 422
    assert "planted" not in str(caught.value)
    assert caught.value.__cause__ is None
