"""What the start means for orders that polls and notifications find: their dates may shift, their ids only rise."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workflows.fakes.polled_storefront import Shop, numbered, seats
from tests.unit.workflows.fakes.storefront import JOHN, NOW, START, an_order, record, rows, run_of, states
from worker.clients.studiocart.models import Order as Record
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import orders, runs
from worker.sources.order import Order, Payment
from worker.sources.studiocart import to_order
from workflows.ingest.deliveries import SourcePolicy

OLD = START - timedelta(hours=5)
QUESTION = ("review", "older_than_start")
CAPTURES = Path(__file__).parents[2] / "captures" / "studiocart"


def redated(order: Order, hours: float) -> Order:
    assert order.created_at is not None
    return order.model_copy(update={"created_at": order.created_at + timedelta(hours=hours)})


def outcome(ledger: Ledger, order_id: str) -> tuple[str, str | None]:
    (row,) = rows(ledger, orders, orders.c.order_id == order_id)
    return row.state, row.reason


def test_older_orders_stay_decided_when_the_sites_time_zone_changes(ledger: Ledger, shop: Shop) -> None:
    """Seen at the vendor's plugin: 13 orders of before the start were dated since it, and given a second time."""
    old = numbered(*range(1, 14), created_at=OLD)
    shop.source.put(*old)
    shop.poll()
    shop.source.put(*(redated(order, 11) for order in old))
    for _ in range(2):
        shop.poll(days=1)
    for order in old:
        record(ledger, redated(order, 11).model_copy(update={"status": "completed"}), now=shop.clock.advance(minutes=1))
    assert rows(ledger, runs) == []
    assert {(row.state, row.reason) for row in rows(ledger, orders)} == {("ignored", "before_start")}


def test_order_is_provisioned_when_a_gateways_event_dated_it_before_the_start(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(1, created_at=OLD))
    shop.poll()
    record_g = Record.model_validate(json.loads((CAPTURES / "G-rest-order-redated-by-stripe-invoice.json").read_text()))
    order = to_order(record_g)
    assert order.created_at is not None
    shop.policy = SourcePolicy(start_at=order.created_at + timedelta(hours=10), baseline_days=9999)
    shop.clock.now = datetime(2026, 11, 28, 14, 0, tzinfo=UTC)
    shop.source.put(order)
    shop.poll()
    assert outcome(ledger, "21")[0] == "planned"
    assert QUESTION not in states(ledger).values()


@pytest.mark.parametrize("hours", [-28, 28])
def test_new_order_is_provisioned_when_its_date_shifts(ledger: Ledger, shop: Shop, hours: float) -> None:
    shop.source.put(*numbered(1, created_at=OLD))
    shop.poll()
    shop.source.put(*(redated(order, hours) for order in numbered(2, created_at=shop.clock.now)))
    shop.poll()
    record(ledger, redated(an_order("3", created_at=shop.clock.now), hours), now=shop.clock.now)
    assert states(ledger) == seats(2, 3)


def test_unpaid_order_is_provisioned_when_its_payment_dates_it_before_the_start(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(1, payment=Payment.WAITING))
    shop.poll()
    shop.source.put(*numbered(1, created_at=OLD))
    shop.poll()
    assert states(ledger) == seats(1)


def test_date_contradicted_by_a_lower_id_is_a_question_when_the_first_sweep_finds_it(
    ledger: Ledger, shop: Shop
) -> None:
    shop.source.put(*numbered(1, created_at=OLD), *numbered(2, created_at=NOW), *numbered(3, created_at=OLD))
    shop.poll()
    assert outcome(ledger, "1") == ("ignored", "before_start")
    assert states(ledger) == seats(2) | {"3/1107/buyer/501": QUESTION}


def test_imported_orders_are_questions_when_they_come_under_new_ids(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(1, created_at=OLD))
    shop.poll()
    imported = numbered(2, 3, created_at=START - timedelta(hours=49))
    shop.source.put(imported[0])
    shop.poll()
    record(ledger, imported[1], now=shop.clock.now)
    assert states(ledger) == {f"{each}/1107/buyer/501": QUESTION for each in (2, 3)}


def test_restored_shops_order_is_a_question_when_its_id_was_another_buyers(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(1, 2, created_at=OLD))
    shop.poll()
    shop.source.put(*numbered(1, learner=JOHN, created_at=shop.clock.now))
    for _ in range(2):
        shop.poll()
    assert states(ledger) == {"1/1107/buyer/501": QUESTION}
    assert run_of(ledger, "1/1107/buyer/501").email == JOHN.email


def test_id_below_the_mark_is_a_question_when_the_first_sweep_did_not_find_it(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(1, 3, created_at=OLD))
    shop.poll()
    shop.source.put(*numbered(2, created_at=START + timedelta(hours=3)))
    shop.poll()
    assert states(ledger) == {"2/1107/buyer/501": QUESTION}
    shop.clock.advance(days=5)
    record(ledger, an_order("0", created_at=START + timedelta(days=4)), now=shop.clock.now)
    assert states(ledger)["0/1107/buyer/501"] == ("pending", None)


# The mark


@pytest.mark.parametrize(("ids", "expected"), [((), 0), ((4, 7, 5), 7)], ids=["no orders", "some"])
def test_mark_is_the_highest_id_of_the_first_list(shop: Shop, ids: tuple[int, ...], expected: int) -> None:
    shop.source.put(*numbered(*ids, created_at=OLD))
    shop.poll()
    shop.source.put(*numbered(9))
    shop.poll()
    assert shop.cursor.start_order_id == expected


def test_mark_stays_when_an_order_comes_during_the_first_sweep_or_it_begins_again(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(*range(1, 8), created_at=OLD))
    shop.source.pages_until_broken = 2
    shop.poll()
    shop.source.pages_until_broken = None
    shop.source.put(*(redated(order, -30) for order in numbered(8)))
    shop.poll()
    assert shop.cursor.start_order_id == 7
    assert states(ledger) == seats(8)


def test_mark_rises_until_the_start_when_it_is_in_the_future(ledger: Ledger, shop: Shop) -> None:
    start_at = NOW + timedelta(hours=6)
    shop.policy = SourcePolicy(start_at=start_at)
    shop.source.put(*numbered(1))
    shop.poll()
    shop.source.put(*numbered(2, created_at=start_at + timedelta(hours=1)))  # dated by another zone
    shop.poll()
    assert states(ledger) == {"2/1107/buyer/501": QUESTION}
    assert shop.cursor.start_order_id == 2
    shop.clock.now = start_at + timedelta(minutes=1)
    shop.source.put(*numbered(3, created_at=start_at - timedelta(hours=2)))
    shop.poll()
    assert (shop.cursor.start_order_id, states(ledger)["3/1107/buyer/501"]) == (2, ("pending", None))


def test_mark_is_of_a_later_start_when_the_start_is_moved(shop: Shop) -> None:
    shop.source.put(*numbered(1))
    shop.poll()
    shop.source.put(*numbered(2))
    shop.poll(days=1)
    moved_at = shop.clock.now + timedelta(hours=1)
    shop.source.put(*numbered(3))
    shop.poll(days=1)
    shop.policy = SourcePolicy(start_at=moved_at)
    shop.poll()
    assert (shop.cursor.start_order_id, shop.cursor.start_at) == (2, moved_at)
    shop.policy = SourcePolicy(start_at=START)
    shop.poll()
    assert shop.cursor.start_order_id == 2


def test_dates_decide_alone_when_the_source_keeps_its_own(ledger: Ledger, shop: Shop) -> None:
    shop.source.name = "frontcore"
    given: dict[str, Any] = {"update": {"source": "frontcore"}}
    shop.source.put(*(order.model_copy(**given) for order in numbered(1, created_at=OLD)))
    shop.poll()
    assert shop.cursor.start_order_id is None
    shop.source.put(*(order.model_copy(**given) for order in numbered(2, created_at=OLD)))
    shop.poll()
    assert outcome(ledger, "2") == ("planned", None)
    assert {reason for _, reason in states(ledger).values()} == {"unmapped_product"}
