from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.workflows.fakes.polled_storefront import Shop, numbered, seats
from tests.unit.workflows.fakes.storefront import (
    NOW,
    ONE_OFFER,
    a_hint_reader,
    a_line,
    an_order,
    record,
    rows,
    states,
)
from worker.errors import ApiConnectionError
from worker.ledger.orders import order_rows
from worker.ledger.session import Ledger
from worker.ledger.states import Actor, Via
from worker.ledger.tables.runs import deliveries, orders, runs
from worker.sources.order import Payment
from workflows.ingest.order_polling import Polled, poll_due
from workflows.ingest.paging import OVERLAP_ORDERS, Position


def test_new_order_is_found_when_it_came_since_the_last_look(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(1))
    shop.poll()
    shop.source.put(*numbered(2, 3))
    polled = shop.poll()
    assert (states(ledger), polled.changed) == (seats(1, 2, 3), 2)
    assert shop.position == Position(highest_id=3, polled_at=shop.clock.now)
    assert {row.via for row in rows(ledger, deliveries)} == {"poll"}


def test_nothing_is_written_when_nothing_changed(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(*range(1, 10)))
    shop.settle()
    before = (rows(ledger, deliveries), rows(ledger, orders))
    polled = shop.poll()
    assert (polled.changed, polled.ready) == (0, [])
    assert (rows(ledger, deliveries), rows(ledger, orders)) == before
    assert shop.source.count("changed") == 1


def test_changed_orders_are_found_page_by_page_until_one_is_unchanged(ledger: Ledger, shop: Shop) -> None:
    ids = FAR_APART
    shop.source.put(*numbered(*ids, payment=Payment.WAITING))
    shop.settle()
    shop.source.put(*numbered(*ids[:7]))
    shop.poll()
    assert states(ledger) == seats(*ids[:7])
    assert shop.source.count("changed") == 4
    shop.poll()
    assert shop.source.count("changed") == 2  # past the four that the pages after the first had shown
    shop.poll()
    assert shop.source.count("changed") == 1


def test_walk_goes_below_the_highest_id_when_it_looks_for_new_orders(ledger: Ledger, shop: Shop) -> None:
    """A row may become visible late: its id is lower than one seen before."""
    late = str(1000 - OVERLAP_ORDERS)
    ids = [each for each in range(1000 - OVERLAP_ORDERS - 10, 1001) if str(each) != late]
    shop.source.put(*numbered(*ids))
    shop.poll()
    shop.source._changed = {late: an_order(late, created_at=NOW), **shop.source._changed}  # changed longest ago
    shop.poll()
    assert f"{late}/1107/buyer/501" in states(ledger)
    assert shop.source.count("newest") < len(ids) // shop.source.page_size


def test_ties_are_found_when_many_orders_have_one_moment_of_creation(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(1, 2, 3, created_at=NOW))
    shop.poll()
    shop.source.put(*numbered(4, 5, 6, created_at=NOW))
    shop.poll()
    assert states(ledger) == seats(*range(1, 7))


def test_cursor_stays_when_the_source_fails_in_the_middle(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(*range(1, 4)))
    shop.poll()
    shop.source.put(*numbered(*range(4, 14)))
    shop.source.pages_until_broken = 2
    polled_at = shop.position.polled_at
    assert shop.poll().error is not None
    assert shop.position == Position(highest_id=3, polled_at=polled_at, unsettled=9)
    assert (shop.cursor.failures, shop.cursor.lease_holder) == (1, None)
    assert len(rows(ledger, runs)) == 9
    shop.source.pages_until_broken = None
    shop.poll()
    assert shop.position == Position(highest_id=13, polled_at=shop.clock.now)
    assert states(ledger) == seats(*range(1, 14))


@pytest.mark.parametrize("pages", range(8))
def test_every_order_is_found_when_the_poll_dies_after_any_page(ledger: Ledger, shop: Shop, pages: int) -> None:
    shop.source.put(*numbered(*range(1, 4), payment=Payment.WAITING))
    shop.poll()
    shop.source.put(*numbered(*range(1, 9)))
    shop.source.pages_until_broken = pages
    shop.poll()
    shop.source.pages_until_broken = None
    shop.poll()
    assert states(ledger) == seats(*range(1, 9))


FAR_APART = range(1000, 2200, 2 * OVERLAP_ORDERS)


@pytest.mark.parametrize("pages", range(1, 5))
def test_every_change_is_found_when_the_poll_died_after_the_pages_above_it(
    ledger: Ledger, shop: Shop, pages: int
) -> None:
    """What the dead poll recorded fills whole pages with known orders, and hides what it had not come to."""
    shop.source.put(*numbered(*FAR_APART, payment=Payment.WAITING))
    shop.settle()
    shop.source.put(*numbered(*FAR_APART[:9]))
    for _ in range(2):
        shop.source.pages_until_broken = pages
        assert shop.poll().error is not None
    shop.source.pages_until_broken = None
    shop.poll()
    assert states(ledger) == seats(*FAR_APART[:9])


def test_change_is_found_when_new_orders_fill_the_pages_above_it(ledger: Ledger, shop: Shop) -> None:
    """The look for new orders has recorded them: their page is unchanged when the look for changes comes to it."""
    shop.source.put(*numbered(*FAR_APART, payment=Payment.WAITING))
    shop.settle()
    shop.source.put(*numbered(FAR_APART[0]), *numbered(*range(4000, 4006)))
    shop.poll()
    assert states(ledger) == seats(FAR_APART[0], *range(4000, 4006))


def test_change_is_found_when_it_fell_between_the_walks_of_a_poll(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(*FAR_APART, payment=Payment.WAITING))
    shop.settle()

    def change(_number: int) -> None:
        if shop.source.asked[-1] == "since page 1":
            shop.source.put(*numbered(FAR_APART[0]), *numbered(*range(4000, 4003)))

    shop.source.during_walk = change
    shop.poll(hours=24)
    shop.source.during_walk = lambda _: None
    assert f"{FAR_APART[0]}/1107/buyer/501" not in states(ledger)
    shop.poll()
    assert f"{FAR_APART[0]}/1107/buyer/501" in states(ledger)


def test_cursor_stands_when_only_the_daily_sweep_fails(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(1))
    shop.poll()
    swept_at = shop.cursor.deep_swept_at
    shop.source.put(*numbered(2))

    def fail(_number: int) -> None:
        shop.source.pages_until_broken = 0 if shop.source.asked[-1].startswith("since") else None

    shop.source.during_walk = fail
    assert shop.poll(hours=24).error is not None
    assert (shop.position.highest_id, shop.position.polled_at) == (2, shop.clock.now)
    assert (shop.cursor.deep_swept_at, shop.cursor.failures, shop.cursor.lease_holder) == (swept_at, 1, None)
    assert states(ledger) == seats(1, 2)


def test_failure_is_kept_with_the_cursor_when_the_source_is_away(shop: Shop) -> None:
    shop.source.put(*numbered(1))
    shop.source.broken = ApiConnectionError("reset by peer", system="studiocart", operation="list")
    for failures in (1, 2, 3):
        polled = shop.poll()
        assert (shop.cursor.failures, shop.cursor.last_error) == (failures, polled.error)
    assert shop.cursor.last_success_at is None
    assert shop.cursor.last_attempt_at == shop.clock.now


def test_poll_records_orders_when_the_offers_are_broken(shop: Shop, offers_file: Path) -> None:
    shop.source.put(*numbered(1))
    offers_file.write_text("nonsense")
    polled = shop.poll()
    assert (polled.error, polled.changed) == (None, 1)


def test_poll_stops_at_its_next_page_when_the_process_ends(shop: Shop) -> None:
    shop.source.put(*numbered(*range(1, 10)))

    def stop(number: int) -> None:
        shop.stopping = number == 2

    shop.source.during_walk = stop
    polled = shop.poll()
    assert polled.error is not None
    assert polled.pages == 1
    assert (shop.cursor.baseline_at, shop.cursor.lease_holder) == (None, None)


# Two at once


def test_second_poll_does_nothing_when_one_is_under_way(shop: Shop) -> None:
    shop.source.put(*numbered(1, 2))
    others: list[Polled] = []
    shop.source.during_walk = lambda _: others.append(shop.poller("other").poll())
    first = shop.poll()
    assert {(other.busy, other.pages) for other in others} == {(True, 0)}
    assert (first.busy, first.changed, shop.cursor.lease_holder) == (False, 2, None)


def test_poll_goes_on_when_the_one_before_was_killed(ledger: Ledger, shop: Shop) -> None:
    def die(_number: int) -> None:
        raise KeyboardInterrupt

    shop.source.put(*numbered(1))
    shop.source.during_walk = die
    with pytest.raises(KeyboardInterrupt):
        shop.poll()
    shop.source.during_walk = lambda _: None
    assert shop.poller("other").poll().busy
    shop.poll(minutes=6)
    assert states(ledger) == seats(1)


def test_slow_poll_stops_before_it_writes_when_another_took_over(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(1, 2))

    def sleep(_number: int) -> None:
        shop.source.during_walk = lambda _: None
        shop.clock.advance(minutes=6)
        assert shop.poller("other").poll().changed == 2

    shop.source.during_walk = sleep
    polled = shop.poll()
    assert polled.error is not None
    assert (shop.cursor.failures, shop.cursor.lease_holder) == (0, None)
    assert (shop.position.highest_id, shop.position.polled_at) == (2, shop.clock.now)
    assert len(rows(ledger, runs)) == len(rows(ledger, deliveries)) == 2


def test_lease_lasts_as_long_as_the_walk_when_each_page_takes_minutes(shop: Shop) -> None:
    shop.source.put(*numbered(*range(1, 13)))
    busy: list[bool] = []

    def wait(_number: int) -> None:
        shop.clock.advance(minutes=4)
        busy.append(shop.poller("other").poll().busy)

    shop.source.during_walk = wait
    assert shop.poll().error is None
    assert len(busy) > 3
    assert all(busy)


# Deep sweeps, and what else meets a poll


def test_lost_change_is_found_when_the_daily_sweep_goes_deeper(ledger: Ledger, shop: Shop) -> None:
    shop.source.page_size = 30
    shop.source.put(*numbered(*range(200, 300)))
    shop.settle()
    changed = an_order("201", created_at=NOW, status="completed")
    shop.source._changed["201"] = changed  # where it stood: the list does not show the change
    shop.poll(hours=1)
    assert shop.source.count("since") == 0
    statuses = {row.order_id: row.status for row in rows(ledger, orders)}
    assert statuses["201"] == "paid"
    shop.poll(hours=24)
    assert shop.source.count("since") > 0
    assert {row.order_id: row.status for row in rows(ledger, orders)}["201"] == "completed"
    assert shop.cursor.deep_swept_at == shop.clock.now
    shop.poll()
    assert shop.source.count("since") == 0


def test_placeholder_is_planned_anew_when_an_offer_appeared_since(
    ledger: Ledger, shop: Shop, offers_file: Path
) -> None:
    shop.source.put(an_order("1", lines=[a_line("1130")]), *numbered(2))
    shop.poll()
    assert states(ledger)["1/1130/buyer/unmapped"] == ("review", "unmapped_product")
    offers_file.write_text(ONE_OFFER.replace("1107", "1130").replace("501", "601") + ONE_OFFER)
    polled = shop.poll()
    assert states(ledger) == seats(2) | {
        "1/1130/buyer/unmapped": ("cancelled", "superseded"),
        "1/1130/buyer/601": ("pending", None),
    }
    assert polled.changed == 1
    assert shop.poll().changed == 0


def test_placeholder_stays_when_the_offers_edit_is_about_something_else(
    ledger: Ledger, shop: Shop, offers_file: Path
) -> None:
    shop.source.put(an_order("1", lines=[a_line("1130")]))
    shop.poll()
    offers_file.write_text(ONE_OFFER.replace("501", "777"))
    shop.poll()
    assert shop.poll().changed == 0
    assert states(ledger) == {"1/1130/buyer/unmapped": ("review", "unmapped_product")}


def test_order_is_one_run_and_three_deliveries_when_it_comes_by_webhook_poll_and_hand(
    ledger: Ledger, shop: Shop
) -> None:
    shop.source.put(*numbered(1109))
    reader = a_hint_reader(ledger, shop.source, shop.offers_reader, shop.clock)
    for via in (Via.WEBHOOK, Via.MANUAL):
        with ledger.write() as connection:
            order_rows.insert_delivery(
                connection, source="studiocart", order_id="1109", via=via, actor=Actor.SOURCE, now=shop.clock.now
            )
        reader.look("studiocart", "1109")
        shop.poll(seconds=1)
        shop.clock.advance(seconds=1)
    assert states(ledger) == seats(1109)
    found = sorted(rows(ledger, deliveries), key=lambda row: row.received_at)
    assert [(row.via, row.state, row.duplicate) for row in found] == [
        ("webhook", "planned", False),
        ("poll", "planned", True),
        ("manual", "planned", True),
    ]


def test_older_page_changes_nothing_when_a_hook_brought_newer_news_during_the_walk(ledger: Ledger, shop: Shop) -> None:
    shop.source.put(*numbered(1))
    shop.poll()
    page_sent_at = shop.clock.now + timedelta(minutes=5)
    shop.source.put(*numbered(1, payment=Payment.WAITING))

    def hook(number: int) -> None:
        shop.clock.now = page_sent_at
        if number == 1:
            record(ledger, an_order("1", created_at=NOW, status="completed"), now=page_sent_at + timedelta(seconds=1))

    shop.source.during_walk = hook
    shop.poll()
    assert rows(ledger, orders)[0].status == "completed"
    shop.source.during_walk = lambda _: None
    shop.source.put(*numbered(1, status="completed"))
    shop.poll()
    assert states(ledger) == seats(1)


def test_poll_is_due_only_after_its_interval_when_beat_rings_twice(ledger: Ledger, shop: Shop) -> None:
    def due_at(now: datetime) -> bool:
        with ledger.read() as connection:
            return poll_due(connection, "studiocart", now=now, poll_seconds=300)

    assert due_at(NOW)
    shop.poll()
    last = shop.clock.now
    assert [due_at(last + timedelta(seconds=seconds)) for seconds in (0, 299, 300)] == [False, False, True]
