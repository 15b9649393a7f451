"""`workflows.ingest.half_written`: an order met by a poll while it is being written is read again a minute later."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.worker.sources.captured import order_of
from tests.unit.workflows.fakes.polled_storefront import Shop
from tests.unit.workflows.fakes.storefront import NOW, START, Clock, FakeSource, an_order, rows, states
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import deliveries, orders
from worker.sources.order import Order
from workflows.ingest.backfill import Backfiller, Window
from workflows.ingest.deliveries import DeliveryReader, SourcePolicy
from workflows.ingest.half_written import is_half_written, put_off
from workflows.planning.offers_file import OffersFile

HALF = order_of("N-order-read-while-being-written").model_copy(update={"id": "1109", "created_at": NOW})


def test_poll_has_it_read_again_in_a_minute_and_asks_nobody(
    ledger: Ledger, shop: Shop, source: FakeSource, reader: DeliveryReader, clock: Clock
) -> None:
    shop.poll()
    source.put(HALF)
    shop.poll()
    shop.poll()
    waiting = [row for row in rows(ledger, deliveries) if row.order_id == "1109"]
    assert [(row.state, row.reason, row.via) for row in waiting] == [("waiting", "order_incomplete", "poll")]
    assert (states(ledger), [row for row in rows(ledger, orders) if row.order_id == "1109"]) == ({}, [])
    source.put(an_order(created_at=clock.now))
    clock.now = max(clock.now, waiting[0].next_attempt_at)
    reader.look("studiocart", "1109")
    assert states(ledger) == {"1109/1107/buyer/501": ("pending", None)}


def test_runs_stay_when_a_known_order_is_read_half_written(
    ledger: Ledger, shop: Shop, source: FakeSource, clock: Clock
) -> None:
    shop.poll()
    source.put(an_order(created_at=clock.now))
    shop.poll()
    source.put(HALF)
    shop.poll()
    assert states(ledger) == {"1109/1107/buyer/501": ("pending", None)}


def test_it_is_taken_as_it_is_when_it_was_read_again_already(
    ledger: Ledger, shop: Shop, source: FakeSource, reader: DeliveryReader, clock: Clock
) -> None:
    shop.poll()
    source.put(HALF)
    shop.poll()
    clock.advance(minutes=2)
    reader.look("studiocart", "1109")
    assert len(states(ledger)) == 1
    shop.poll()
    with ledger.write() as connection:
        assert put_off(connection, [HALF], now=clock.now + timedelta(minutes=1)) == set()


@pytest.mark.parametrize("is_polled_first", [False, True])
def test_backfill_has_it_read_again_in_a_minute_for_its_operator(
    ledger: Ledger,
    shop: Shop,
    source: FakeSource,
    reader: DeliveryReader,
    clock: Clock,
    *,
    offers_reader: OffersFile,
    is_polled_first: bool,
) -> None:
    shop.poll()
    source.put(HALF)
    if is_polled_first:
        shop.poll()
    window = Window(NOW - timedelta(days=1), clock.now + timedelta(days=1))
    for _ in range(2):
        filler = Backfiller(ledger, source, SourcePolicy(start_at=START), offers_reader, clock=clock)
        assert filler.preview(window).reasons == {"order_incomplete": 1}
        assert filler.run(window, actor="operator:ann").reasons == {"order_incomplete": 1}
    assert states(ledger) == {}
    waiting = [row for row in rows(ledger, deliveries) if row.order_id == "1109" and row.via == "manual"]
    assert [(row.state, row.reason, row.actor) for row in waiting] == [("waiting", "order_incomplete", "operator:ann")]
    source.put(an_order(created_at=START - timedelta(days=2)))  # made before the start, and named by the operator
    clock.now = max(clock.now, waiting[0].next_attempt_at)
    reader.look("studiocart", "1109")
    assert states(ledger) == {"1109/1107/buyer/501": ("pending", None)}


def test_order_with_a_learner_or_a_product_is_not_half_written() -> None:
    assert is_half_written(HALF)
    assert not is_half_written(an_order())
    assert not is_half_written(Order.model_validate(HALF.model_dump() | {"payment": "waiting"}))


def test_nothing_is_taken_from_a_known_order_when_a_cache_shows_it_half_written(
    ledger: Ledger, shop: Shop, source: FakeSource, reader: DeliveryReader, clock: Clock
) -> None:
    shop.poll()
    source.put(an_order(created_at=clock.now))
    shop.poll()
    for _ in range(3):
        source.put(HALF)
        shop.poll()
        clock.advance(minutes=10)
        reader.look("studiocart", "1109")
    assert states(ledger) == {"1109/1107/buyer/501": ("pending", None)}
    asked = [row for row in rows(ledger, deliveries) if row.order_id == "1109" and row.state != "planned"]
    assert [(row.state, row.reason) for row in asked] == [("review", "record_unreadable")]
    assert "nobody and nothing in it" in asked[0].note
    source.put(an_order(created_at=clock.now, status="completed"))
    shop.poll()
    assert [row.state for row in rows(ledger, deliveries) if row.id == asked[0].id] == ["planned"]
