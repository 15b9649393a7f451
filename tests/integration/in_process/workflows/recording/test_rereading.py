from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from tests.unit.workflows.fakes.polled_storefront import Shop
from tests.unit.workflows.fakes.storefront import (
    JANE,
    NOW,
    START,
    Clock,
    FakeSource,
    a_line,
    an_order,
    offers,
    record,
    rows,
    run_of,
    states,
)
from worker.ledger.orders.order_rows import content_hash
from worker.ledger.orders.recorded_orders import READING
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import order_versions, orders, runs
from worker.sources.order import Line, Money, Order, Payment, Product, Seat
from workflows.ingest.deliveries import DeliveryReader
from workflows.recording.order_recording import Look, record_order
from workflows.recording.rereading import compare, reread_orders, thinned

SEAT = "1109/1107/buyer/501"
QUESTION = ("review", "read_anew")


def by_an_earlier_version(ledger: Ledger, order: Order, **look: Any) -> None:
    """Record an order as a version did whose readings were not numbered."""
    record(ledger, order, **look)
    with ledger.write() as connection:
        connection.execute(update(orders).values(reading=None, content_hash="of another making", polled_hash=None))
        connection.exec_driver_sql("DROP TRIGGER IF EXISTS order_versions_refuse_update")
        connection.execute(update(order_versions).values(reading=None))


def named(title: str, line_id: str) -> Line:
    return Line(id=line_id, title=title, product=Product(product_name=title), seats=(Seat(id="buyer", learner=JANE),))


@pytest.fixture
def look_again(ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock) -> Any:
    def look(read: Order, kept: Order | None = None) -> dict[str, tuple[str, str | None]]:
        """What the order's runs are after the upgrade, when the source shows `read`; twice, as nothing may follow."""
        source.rereads = {read.id: kept or read}
        for _ in range(2):
            now = clock.advance(minutes=5)
            reread_orders(ledger, source, now=now)
            if rows(ledger, orders, orders.c.replan_at <= now):
                reader.replan("studiocart", read.id)
            with ledger.write() as connection:
                seen = Look(fetched_at=now, polled=True)
                record_order(connection, read, offers(), seen, now=now, start_at=START, reread=source.reread)
        return states(ledger)

    return look


def test_nothing_follows_when_only_the_hash_is_computed_otherwise(ledger: Ledger, look_again: Any) -> None:
    by_an_earlier_version(ledger, an_order())
    assert look_again(an_order()) == {SEAT: ("pending", None)}
    assert len(rows(ledger, order_versions)) == 1
    (row,) = rows(ledger, orders)
    assert (row.reading, row.content_hash, row.polled_hash) == (READING, *[content_hash(an_order())] * 2)


@pytest.mark.parametrize("kept", [Payment.WAITING, Payment.CANCELLED, Payment.UNKNOWN])
def test_order_is_a_question_when_only_its_reading_says_that_it_is_paid(
    ledger: Ledger, look_again: Any, kept: Payment
) -> None:
    by_an_earlier_version(ledger, an_order(payment=kept, status="1 New"))
    found = look_again(an_order(status="1 New", quantity=2))
    assert found[SEAT] == QUESTION
    assert found["1109/1107/seat-2/unnamed"] == QUESTION
    assert run_of(ledger, SEAT).next_attempt_at is None


def test_order_is_a_question_when_what_pays_it_was_not_kept(ledger: Ledger, look_again: Any) -> None:
    """3dcart's transactions were dropped from what is kept: only the store's present record shows them."""
    unpaid = an_order(payment=Payment.WAITING, status="1 New")
    by_an_earlier_version(ledger, unpaid)
    assert look_again(an_order(status="1 New"), kept=unpaid) == {SEAT: QUESTION}


def test_order_is_provisioned_when_its_source_says_that_it_was_paid_since(ledger: Ledger, look_again: Any) -> None:
    unpaid = an_order(payment=Payment.WAITING)
    by_an_earlier_version(ledger, unpaid)
    paid = an_order(status="paid").model_copy(update={"raw": {"id": 9999, "status": "paid"}})
    assert look_again(paid, kept=unpaid) == {SEAT: ("pending", None)}


def test_line_is_a_question_when_only_the_reading_gives_it(ledger: Ledger, look_again: Any) -> None:
    by_an_earlier_version(ledger, an_order(lines=[]))
    unmapped = {"1109/order/seat-0/unmapped": ("cancelled", "removed_from_order")}
    assert look_again(an_order()) == {SEAT: QUESTION} | unmapped


def test_nothing_is_cancelled_when_the_reading_takes_a_line_a_payment_or_a_sum_away(
    ledger: Ledger, look_again: Any
) -> None:
    by_an_earlier_version(ledger, an_order(lines=[a_line(), a_line("1130")]))
    before = states(ledger)
    less = an_order(payment=Payment.WAITING).model_copy(update={"total": Money(minor_units=499, currency="INR")})
    assert look_again(less) == before


def test_line_keeps_its_key_when_the_reading_knows_it_by_another_id(ledger: Ledger, look_again: Any) -> None:
    by_an_earlier_version(ledger, an_order(lines=[named("Tips & Tricks", "tips-tricks-12345678")]))
    before = states(ledger)
    assert look_again(an_order(lines=[named("Tips &#038; Tricks", "1107")])) == before


def test_decided_order_asks_nothing_when_its_reading_changes(ledger: Ledger, look_again: Any) -> None:
    old = an_order(created_at=START - timedelta(days=3), lines=[])
    by_an_earlier_version(ledger, old, baseline=True)
    assert look_again(an_order(created_at=NOW, quantity=3)) == {}


def test_forgotten_record_asks_nothing_when_its_status_is_the_same(ledger: Ledger, look_again: Any) -> None:
    by_an_earlier_version(ledger, an_order(payment=Payment.WAITING, status="1 New"))
    with ledger.write() as connection:
        connection.execute(update(order_versions).values(raw={"forgotten": True}))
    assert look_again(an_order(status="1 New")) == {}
    assert rows(ledger, runs) == []


def test_question_stays_answered_when_the_order_is_looked_at_again(ledger: Ledger, look_again: Any) -> None:
    by_an_earlier_version(ledger, an_order(payment=Payment.WAITING, status="1 New"))
    read = an_order(status="1 New")
    look_again(read)
    with ledger.write() as connection:
        connection.execute(update(runs).values(state="cancelled", cancelled_by="operator"))
    assert look_again(read) == {SEAT: ("cancelled", "read_anew")}


def test_first_poll_sees_no_edits_when_readings_have_changed(ledger: Ledger, shop: Shop) -> None:
    order = an_order()
    shop.source.put(order)
    shop.source.rereads = {order.id: order}
    shop.poll()
    with ledger.write() as connection:
        connection.execute(update(orders).values(reading=None, content_hash="other", polled_hash="other"))
    assert shop.poll().changed == 0


def test_readings_part_is_told_from_the_sources_when_both_changed() -> None:
    stored = an_order(lines=[a_line()])
    before = an_order(lines=[a_line(), a_line("1130")])
    now = an_order(lines=[a_line(), a_line("1130"), a_line("1140")])
    assert compare(stored, before, now, now).anew == {("1130", "buyer")}
    refunded = an_order(payment=Payment.REFUNDED, lines=[a_line()])
    assert compare(stored, before, refunded, refunded).anew == frozenset()


def test_fields_that_were_not_kept_are_left_out_however_their_names_are_written() -> None:
    stored = {"order_id": 1, "OrderItemList": [{"item_id": "A"}]}
    record = {"OrderID": 1, "order_item_list": [{"ItemID": "A", "new": 2}], "TransactionList": [{}]}
    assert thinned(record, stored) == {"OrderID": 1, "order_item_list": [{"ItemID": "A"}]}
