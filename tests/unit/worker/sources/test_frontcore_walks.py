"""`worker.sources.frontcore`: how orders are fetched, walked and read from a webhook's body."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.worker.sources.frontcore_records import NOON, SAMPLES
from worker.clients.frontcore.client import FrontcoreClient
from worker.clients.frontcore.models import Order as Record
from worker.errors import NotFoundError, WebhookRejectedError
from worker.sources.frontcore import OVERLAP_ORDERS, FrontcoreSource, ProvisionWhen, to_order
from worker.sources.order import Payment
from worker.sources.source import Until

HOUR = timedelta(hours=1)


class Account(FrontcoreClient):
    """A client without an account: gives the pages it is told to, and remembers what was asked."""

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        self.pages = pages
        self.asked: list[dict[str, Any]] = []

    def iter_order_pages(self, **filters: Any) -> Iterator[list[Record]]:
        self.asked.append(filters)
        for page in self.pages:
            yield [Record.model_validate(each) for each in page]

    def retrieve_order(self, order_id: int, **details: Any) -> Record:
        for page in self.pages:
            for each in page:
                if each["id"] == order_id:
                    return Record.model_validate(each)
        raise NotFoundError("there is none")


def source(account: Account, provision_when: ProvisionWhen = "paid") -> FrontcoreSource:
    ticks = (NOON + number * HOUR for number in range(100))
    return FrontcoreSource(account, provision_when=provision_when, clock=lambda: next(ticks))


def test_one_order_is_fetched_when_it_is_asked_for() -> None:
    orders = source(Account(SAMPLES))
    assert orders.fetch("27243").payment is Payment.WAITING
    assert source(Account(SAMPLES), "created").fetch("27243").payment is Payment.PAID
    with pytest.raises(NotFoundError):
        orders.fetch("1")


def test_pages_tell_when_they_were_asked_for_when_they_are_walked() -> None:
    account = Account(SAMPLES[:1], SAMPLES[1:])
    pages = list(source(account, "created").walk_newest())
    assert [([order.id for order in page.orders], page.fetched_at) for page in pages] == [
        (["27244"], NOON),
        (["27243"], NOON + HOUR),
    ]
    assert account.asked == [{}]
    assert pages[1].orders[0].payment is Payment.PAID


def test_a_walk_begins_wider_than_any_zone_offset_before_when_it_has_a_beginning() -> None:
    account = Account(SAMPLES)
    assert [len(page.orders) for page in source(account).walk_changed(NOON)] == [2]
    assert len(list(source(account).walk_since(NOON))) == 1
    assert account.asked == [{"updated_at_min": NOON - 26 * HOUR}, {"created_at_min": NOON - 26 * HOUR}]


def test_a_poll_is_three_walks_when_nothing_is_asked_for_yet() -> None:
    account = Account(SAMPLES)
    walks = list(source(account).walks(polled_at=NOON, highest_id=27244))
    assert account.asked == []
    assert [(walk.until, walk.is_of_changes) for walk in walks] == [
        (Until.KNOWN_ID, False),
        (Until.END, False),
        (Until.END, True),
    ]
    assert [len(list(walk.pages)) for walk in walks] == [1, 1, 1]
    assert account.asked == [
        {"since_id": 27244 - OVERLAP_ORDERS},
        {"created_at_min": NOON - 26 * HOUR},
        {"updated_at_min": NOON - 26 * HOUR},
    ]


def test_all_orders_are_new_when_none_was_seen_before() -> None:
    account = Account(SAMPLES)
    newest = next(source(account).walks(polled_at=NOON, highest_id=0))
    assert len(list(newest.pages)) == 1
    assert account.asked == [{}]


def test_orders_are_as_before_when_they_are_annotated() -> None:
    orders = [to_order(Record.model_validate(each)) for each in SAMPLES]
    assert source(Account()).annotate(tuple(orders)) == orders


@pytest.mark.parametrize("id_field", ["id", "order_id", "OrderID"])
def test_an_order_is_read_from_a_body_when_that_is_a_whole_order(id_field: str) -> None:
    body = {name: value for name, value in SAMPLES[1].items() if name != "id"} | {id_field: "27243"}
    assert source(Account()).from_body(body) == to_order(Record.model_validate({"id": 27243} | body))
    assert source(Account(), "created").from_body(body).payment is Payment.PAID


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"id": 27243},
        {"id": 27243, "is_paid": True, "lines": []},
        {"id": 27243, "lines": "31399"},
        {"lines": SAMPLES[1]["lines"]},
        {"id": "lars@eksemel.ek", "lines": SAMPLES[1]["lines"]},
    ],
)
def test_a_body_is_refused_when_it_holds_no_order(body: dict[str, Any]) -> None:
    with pytest.raises(WebhookRejectedError) as caught:
        source(Account()).from_body(body)
    assert caught.value.status == 422
    assert caught.value.__context__ is None
    assert "lars" not in str(caught.value)
