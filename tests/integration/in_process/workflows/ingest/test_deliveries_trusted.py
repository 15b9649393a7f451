from __future__ import annotations

from tests.unit.workflows.fakes.operations import SEAT
from tests.unit.workflows.fakes.storefront import (
    Clock,
    FakeSource,
    an_order,
    arrive,
    delivery,
    record,
    rows,
    states,
)
from worker.ledger.session import Ledger
from worker.ledger.states import Via
from worker.ledger.tables.runs import orders, runs
from worker.sources.order import Payment
from workflows.ingest.deliveries import DeliveryReader


def test_body_is_planned_from_and_forgotten_when_the_source_is_trusted(
    ledger: Ledger, source: FakeSource, trusting: DeliveryReader, clock: Clock
) -> None:
    hint = arrive(ledger, clock, body={"id": 1109, "status": "paid"})
    trusting.look("studiocart", "1109")
    assert source.asked == ["from_body"]
    assert states(ledger) == {SEAT: ("pending", None)}
    assert delivery(ledger, hint).body is None


def test_body_is_read_when_its_id_is_in_a_field_of_the_operators(
    ledger: Ledger, trusting: DeliveryReader, clock: Clock
) -> None:
    arrive(ledger, clock, body={"bestellung": "1109", "status": "paid"})
    trusting.look("studiocart", "1109")
    assert states(ledger) == {SEAT: ("pending", None)}


def test_newest_body_counts_when_several_came(ledger: Ledger, trusting: DeliveryReader, clock: Clock) -> None:
    arrive(ledger, clock, body={"id": 1109, "status": "waiting"})
    clock.advance(seconds=1)
    arrive(ledger, clock, body={"id": 1109, "status": "paid"})
    trusting.look("studiocart", "1109")
    assert states(ledger) == {SEAT: ("pending", None)}


def test_body_is_older_news_when_the_order_was_read_since_it_arrived(
    ledger: Ledger, trusting: DeliveryReader, clock: Clock
) -> None:
    arrive(ledger, clock, body={"id": 1109, "status": "waiting"})
    record(ledger, an_order(), now=clock.advance(seconds=30))
    clock.advance(seconds=30)
    looked = trusting.look("studiocart", "1109")
    assert looked.recorded is not None
    assert looked.recorded.stale
    assert rows(ledger, orders)[0].payment == "paid"


def test_body_goes_to_review_when_it_is_no_order(ledger: Ledger, trusting: DeliveryReader, clock: Clock) -> None:
    hint = arrive(ledger, clock, body={"hello": "world"})
    trusting.look("studiocart", "1109")
    row = delivery(ledger, hint)
    assert (row.state, row.body) == ("review", None)


def test_order_is_fetched_when_a_body_says_no_more_than_which_it_is(
    ledger: Ledger, source: FakeSource, trusting: DeliveryReader, clock: Clock
) -> None:
    source.put(an_order())
    hint = arrive(ledger, clock, body={"event": "order.created", "id": 1109})
    trusting.look("studiocart", "1109")
    assert states(ledger) == {SEAT: ("pending", None)}
    assert delivery(ledger, hint).state == "planned"


def test_order_is_fetched_when_the_operator_named_it_though_the_source_is_trusted(
    ledger: Ledger, source: FakeSource, trusting: DeliveryReader, clock: Clock
) -> None:
    source.put(an_order())
    arrive(ledger, clock, body={"id": 1109, "status": "waiting"})
    arrive(ledger, clock, Via.MANUAL, actor="operator:ann")
    trusting.look("studiocart", "1109")
    assert source.count("fetch") == 1
    assert states(ledger) == {SEAT: ("pending", None)}


def test_order_is_fetched_when_the_body_is_not_to_be_trusted(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock
) -> None:
    source.put(an_order(payment=Payment.WAITING))
    arrive(ledger, clock, body={"id": 1109, "status": "paid"})
    reader.look("studiocart", "1109")
    assert rows(ledger, runs) == []
