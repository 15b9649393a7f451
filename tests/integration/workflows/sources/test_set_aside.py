"""One broken record is set aside by name, and no exception in a poll keeps its lease."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import InvalidOperation
from typing import Any

import pytest

from tests.unit.workflows.fakes.polled_storefront import Shop, numbered, seats
from tests.unit.workflows.fakes.storefront import (
    NOW,
    ONE_OFFER,
    FakeSource,
    a_hint_reader,
    an_order,
    offers,
    rows,
    states,
)
from worker.ledger.orders import order_rows
from worker.ledger.session import Ledger
from worker.ledger.states import Actor, Via
from worker.ledger.tables.periodic import list_polls
from worker.ledger.tables.runs import deliveries, orders
from worker.sources.order import Order
from worker.sources.source import Unreadable
from workflows.ingest import deliveries as reader
from workflows.ingest import order_polling
from workflows.ingest.backfill import Backfiller, Window
from workflows.ingest.catalog import refresh
from workflows.planning.offers_file import OffersFile
from workflows.reconcile.source_diff import SourceDiff
from workflows.recording.order_recording import Look, record_orders

BROKEN = Unreadable("9", "InvalidOperation in worker.sources.frontcore, line 1", "9")
NAMELESS = Unreadable(None, "an order without a readable id", "abc")


def aside(ledger: Ledger) -> list[tuple[str | None, str, str | None]]:
    found = rows(ledger, deliveries, deliveries.c.reason.in_(["record_unreadable", "settled_by_source"]))
    return [(row.order_id, row.state, row.reason) for row in found]


def fail_for(order_id: str, error: Exception) -> Callable[..., Any]:
    """`record_orders`, but for one order."""

    def recorded(connection: Any, seen: list[tuple[Order, Look]], *args: Any, **options: Any) -> Any:
        result = record_orders(connection, seen, *args, **options)
        if any(order.id == order_id for order, _ in seen):
            raise error
        return result

    return recorded


def test_a_record_waits_in_review_by_its_id_when_it_cannot_be_read(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(1, 2, 3, 4))
    shop.source.unreadable = [BROKEN]
    for _ in range(3):
        polled = shop.poll()
        assert (polled.error, polled.set_aside[0]) == (None, "9")
    assert states(ledger) == seats(1, 2, 3, 4)
    assert aside(ledger) == [("9", "review", "record_unreadable")]
    assert shop.position.highest_id == 9
    assert (shop.cursor.failures, shop.cursor.lease_until, shop.cursor.last_error) == (0, None, None)


def test_a_record_leaves_review_when_it_reads_again(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(1))
    shop.source.unreadable = [BROKEN]
    shop.poll()
    shop.source.unreadable = []
    shop.source.put(*numbered(9))
    shop.poll()
    assert states(ledger) == seats(1, 9)
    assert aside(ledger) == [("9", "planned", "settled_by_source")]


def test_a_known_order_leaves_review_when_it_reads_as_before(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(9))
    shop.poll()
    order = shop.source.fetch("9")
    shop.source.forget("9")
    shop.source.unreadable = [BROKEN]
    shop.poll()
    assert aside(ledger) == [("9", "review", "record_unreadable")]
    shop.source.put(order)
    shop.source.unreadable = []
    shop.poll()
    assert aside(ledger) == [("9", "planned", "settled_by_source")]


def test_a_record_without_an_id_is_settled_when_a_whole_sweep_does_not_meet_it(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(1))
    shop.source.unreadable = [NAMELESS]
    shop.poll()
    shop.poll()
    assert aside(ledger) == [(None, "review", "record_unreadable")]
    shop.source.unreadable = []
    shop.poll()
    assert aside(ledger) == [(None, "review", "record_unreadable")]
    shop.poll(days=1)
    assert aside(ledger) == [(None, "planned", "settled_by_source")]


def test_a_page_of_nothing_readable_does_not_end_the_walk(ledger: Ledger, shop: Shop) -> None:
    shop.source.unreadable = [BROKEN, NAMELESS]
    shop.poll()
    shop.poll()
    assert len(aside(ledger)) == 2
    assert shop.cursor.last_error is None


@pytest.mark.parametrize("error", [InvalidOperation(), OverflowError("int too large"), ValueError("NUL"), KeyError(1)])
def test_the_rest_of_a_page_is_recorded_when_one_order_cannot_be(
    ledger: Ledger, shop: Shop, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    shop.source.put(*numbered(1, 2, 3))
    monkeypatch.setattr(order_polling, "record_orders", fail_for("2", error))
    for _ in range(3):
        polled = shop.poll()
        assert polled.error is None
        assert "2" in polled.set_aside
    assert states(ledger) == seats(1, 3)
    assert aside(ledger) == [("2", "review", "record_unreadable")]
    assert [row.order_id for row in rows(ledger, orders)] == ["1", "3"]
    monkeypatch.setattr(order_polling, "record_orders", record_orders)
    shop.poll()
    assert states(ledger) == seats(1, 2, 3)
    assert aside(ledger) == [("2", "planned", "settled_by_source")]


def test_only_runs_that_were_recorded_are_sent_when_a_page_was_recorded_one_by_one(
    ledger: Ledger, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.source.put(*numbered(1, 2, 3))
    monkeypatch.setattr(order_polling, "record_orders", fail_for("1", ValueError()))
    polled = shop.poll()
    assert len(polled.ready) == len(set(polled.ready)) == len(states(ledger)) == 2


@pytest.mark.parametrize("where", ["walks", "walk_since", "walk_changed"])
def test_any_exception_is_kept_at_the_cursor_when_a_poll_fails(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    shop.source.put(*numbered(1))

    def fail(*_args: Any, **_options: Any) -> Any:
        raise InvalidOperation("jane@example.test owes 1e999999999999999999")

    if where != "walk_since":
        shop.poll()
    monkeypatch.setattr(shop.source, where, fail)
    polled = shop.poll()
    assert polled.error is not None
    assert shop.cursor.last_error == polled.error
    assert "InvalidOperation" in polled.error
    assert "jane" not in polled.error
    assert (shop.cursor.failures, shop.cursor.lease_until, shop.cursor.lease_holder) == (1, None, None)
    monkeypatch.undo()
    assert shop.poll().error is None
    assert shop.cursor.failures == 0


# By a notification, a backfill and a reconciliation


@pytest.mark.parametrize("where", ["fetch", "record_order"])
def test_a_hint_waits_and_then_asks_a_person_when_its_order_cannot_be_read(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    ledger, source, clock = shop.ledger, shop.source, shop.clock
    source.put(an_order("2"))
    with ledger.write() as connection:
        order_rows.insert_delivery(
            connection, source=source.name, order_id="2", via=Via.WEBHOOK, actor=Actor.SOURCE, now=clock()
        )
    if where == "fetch":
        source.during_fetch = lambda _id: (_ for _ in ()).throw(InvalidOperation())
    else:
        monkeypatch.setattr("workflows.recording.order_recording.record_orders", fail_for("2", ValueError()))
    reader = a_hint_reader(ledger, source, shop.offers_reader, clock)
    assert "Cartbridge itself failed" in (reader.look(source.name, "2").error or "")
    [row] = rows(ledger, deliveries)
    assert (row.state, row.reason, row.attempts, row.lease_until) == ("waiting", "record_unreadable", 1, None)
    clock.advance(minutes=15)
    reader.look(source.name, "2")
    [row] = rows(ledger, deliveries)
    assert (row.state, row.reason) == ("review", "record_unreadable")


def test_a_backfill_takes_in_all_others_when_one_order_cannot_be_recorded(
    ledger: Ledger, source: FakeSource, offers_reader: OffersFile, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.put(*numbered(1, 2, 3, created_at=NOW - timedelta(days=2)))
    source.unreadable = [BROKEN]
    monkeypatch.setattr("workflows.ingest.backfill.record_orders", fail_for("2", ValueError()))
    policy = reader.SourcePolicy(start_at=NOW - timedelta(days=5))
    backfiller = Backfiller(ledger, source, policy, offers_reader, clock=clock)
    window = Window(NOW - timedelta(days=3), NOW)
    done = backfiller.run(window, actor="operator:ann")
    assert (done.new, done.gives_access, done.set_aside) == (2, 2, ["2", "9"])
    assert states(ledger) == seats(1, 3)
    assert backfiller.preview(window).set_aside == ["9"]
    assert {row[0] for row in aside(ledger)} == {"2", "9"}


def test_a_reconciliation_says_what_it_could_not_check_when_a_record_cannot_be_read(
    ledger: Ledger, source: FakeSource
) -> None:
    source.put(an_order("2"))
    source.unreadable = [BROKEN, NAMELESS]
    offers_reader = SourceDiff(ledger, source, reader.SourcePolicy(), offers(ONE_OFFER), provisioned=set())
    found = list(offers_reader.compare(since=NOW - timedelta(days=9), until=NOW + timedelta(hours=1)))
    assert [(each.cause, each.order_id) for each in found] == [
        ("not_checked", "9"),
        ("not_checked", None),
        ("order_not_ingested", "2"),
    ]
    source.walk_since = lambda since: (_ for _ in ()).throw(InvalidOperation())  # type: ignore[method-assign]
    found = list(offers_reader.compare(since=NOW - timedelta(days=9), until=NOW + timedelta(hours=1)))
    assert [each.cause for each in found] == ["not_checked"]


def test_the_lease_of_the_catalog_is_let_go_of_when_a_product_cannot_be_read(ledger: Ledger, clock: Any) -> None:
    class Site:
        name = "studiocart"

        def product_names(self) -> dict[str, str]:
            raise InvalidOperation

    assert refresh(ledger, Site(), holder="one", clock=clock) is False
    [row] = rows(ledger, list_polls)
    assert (row.failures, row.lease_until) == (1, None)
