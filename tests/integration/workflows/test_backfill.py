from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workflows.fakes.storefront import (
    NOW,
    ONE_OFFER,
    START,
    Clock,
    FakeSource,
    a_line,
    an_order,
    put_run,
    record,
    rows,
    states,
)
from worker.errors import ApiError
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.runs import cursors, deliveries, events, orders, runs
from worker.sources.order import Order, Payment
from worker.sources.source import Page
from workflows.ingest import backfill as backfill_module
from workflows.ingest.backfill import Backfilled, Backfiller, Window
from workflows.ingest.deliveries import SourcePolicy
from workflows.ingest.order_polling import Poller
from workflows.planning.offers_file import OffersFile
from workflows.recording.order_recording import record_orders

SINCE = NOW - timedelta(days=10)
WINDOW = Window(SINCE, NOW)
ACTOR = "operator:ann"
POLICY = SourcePolicy(start_at=START)

New = Callable[..., Backfiller]


@pytest.fixture
def new(ledger: Ledger, source: FakeSource, offers_reader: OffersFile, clock: Clock) -> New:
    """A backfiller as a process of its own would have it."""

    def make() -> Backfiller:
        return Backfiller(ledger, source, POLICY, offers_reader, clock=clock)

    return make


def made(order_id: int, *, days_ago: float = 2, **more: Any) -> Order:
    return an_order(str(order_id), created_at=NOW - timedelta(days=days_ago), **more)


def backfill(new: New, window: Window = WINDOW, **options: Any) -> Backfilled:
    return new().run(window, actor=ACTOR, **options)


def contents(ledger: Ledger) -> dict[str, list[Any]]:
    """Everything but the trace that somebody has backfilled."""
    tables = (orders, runs, deliveries)
    found: dict[str, list[Any]] = {table.name: rows(ledger, table) for table in tables}
    found["events"] = [row for row in rows(ledger, events) if not row.kind.startswith("backfill")]
    return found


def counts(done: Backfilled) -> tuple[int, int, int, int, int]:
    return done.orders, done.new, done.changed, done.gives_access, done.review


def test_orders_from_before_the_start_give_access_when_they_are_in_the_window(
    ledger: Ledger, source: FakeSource, new: New
) -> None:
    source.put(*(made(number) for number in range(1, 9)))
    ready: list[str] = []
    done = backfill(new, on_page=lambda _, now_due: ready.extend(now_due))
    assert counts(done) == (8, 8, 0, 8, 0)
    assert done.reasons == {"gives_access": 8}
    assert set(states(ledger).values()) == {("pending", None)}
    assert sorted(ready) == [row.id for row in rows(ledger, runs)]
    found = rows(ledger, deliveries)
    assert {(row.via, row.actor, row.state, row.duplicate) for row in found} == {("manual", ACTOR, "planned", False)}


def test_the_second_time_changes_nothing_when_nothing_is_new(
    ledger: Ledger, source: FakeSource, new: New, clock: Clock
) -> None:
    source.put(*(made(number) for number in range(1, 9)), made(9, payment=Payment.WAITING))
    backfill(new)
    before = contents(ledger)
    clock.advance(hours=1)
    done = backfill(new)
    assert (counts(done), done.unchanged) == ((9, 0, 0, 0, 0), 9)
    assert contents(ledger) == before
    assert source.count("annotate") == 8


def test_only_the_window_is_taken_in_when_the_source_shows_more(ledger: Ledger, source: FakeSource, new: New) -> None:
    source.put(made(1, days_ago=11), made(2, days_ago=10), made(3, days_ago=5), made(4, days_ago=0))
    done = backfill(new, Window(SINCE, NOW))
    assert [row.order_id for row in rows(ledger, orders)] == ["2", "3"]
    assert done.orders == 2


def test_an_order_is_left_out_and_named_when_it_has_no_date(ledger: Ledger, source: FakeSource, new: New) -> None:
    source.put(an_order("1", created_at=None), made(2))
    done = backfill(new)
    assert (done.undated, done.orders) == (["1"], 1)
    assert [row.order_id for row in rows(ledger, orders)] == ["2"]


def poll(ledger: Ledger, source: FakeSource, offers_reader: OffersFile, clock: Clock) -> None:
    assert Poller(ledger, source, POLICY, offers_reader, holder="poll", clock=clock).poll().error is None


def test_an_order_the_first_sweep_ignored_gives_access_when_it_is_in_the_window(
    ledger: Ledger, source: FakeSource, offers_reader: OffersFile, new: New, clock: Clock
) -> None:
    source.put(made(1), made(2, days_ago=20))
    poll(ledger, source, offers_reader, clock)
    assert states(ledger) == {}
    clock.advance(minutes=1)
    done = backfill(new)
    assert counts(done) == (1, 0, 1, 1, 0)
    assert states(ledger) == {"1/1107/buyer/501": ("pending", None)}
    poll(ledger, source, offers_reader, clock)
    assert counts(backfill(new)) == (1, 0, 0, 0, 0)
    assert states(ledger) == {"1/1107/buyer/501": ("pending", None)}
    assert [(row.order_id, row.before_start) for row in rows(ledger, orders)] == [("1", False), ("2", True)]


def test_it_stays_new_when_it_is_cancelled_and_paid_again(
    ledger: Ledger, source: FakeSource, offers_reader: OffersFile, new: New, clock: Clock
) -> None:
    source.put(made(1))
    poll(ledger, source, offers_reader, clock)
    backfill(new)
    for payment in (Payment.CANCELLED, Payment.PAID):
        clock.advance(minutes=1)
        source.put(made(1, payment=payment))
        poll(ledger, source, offers_reader, clock)
    assert states(ledger) == {"1/1107/buyer/501": ("pending", None)}


def test_a_changed_order_is_planned_again_when_it_is_read(
    ledger: Ledger, source: FakeSource, new: New, clock: Clock
) -> None:
    source.put(made(1))
    backfill(new)
    clock.advance(minutes=1)
    source.put(made(1, payment=Payment.REFUNDED))
    done = backfill(new)
    assert (counts(done), done.reasons) == ((1, 0, 1, 0, 0), {"refunded_by_source": 1})
    assert states(ledger) == {"1/1107/buyer/501": ("cancelled", "refunded_by_source")}


def test_an_unmapped_order_is_planned_again_when_the_offers_have_changed(
    ledger: Ledger, source: FakeSource, new: New, offers_file: Path
) -> None:
    source.put(made(1, lines=[a_line("1130")]))
    done = backfill(new)
    assert (done.review, done.reasons) == (1, {"unmapped_product": 1})
    assert backfill(new).changed == 0
    offers_file.write_text(ONE_OFFER + ONE_OFFER.replace("1107", "1130").replace("501", "601"))
    assert counts(backfill(new)) == (1, 0, 1, 1, 0)


def test_newer_content_stays_when_the_page_is_older(ledger: Ledger, source: FakeSource, new: New) -> None:
    source.put(made(1))

    def meanwhile(_number: int) -> None:
        record(ledger, made(1, payment=Payment.REFUNDED), fetched_at=NOW + timedelta(minutes=1))

    source.during_walk = meanwhile
    assert counts(backfill(new)) == (1, 0, 0, 0, 0)
    (order,) = rows(ledger, orders)
    assert order.payment == "refunded"


def test_a_renewal_is_told_when_the_order_is_paid(ledger: Ledger, source: FakeSource, new: New) -> None:
    source.renewals.add("1")
    source.put(made(1), made(2, payment=Payment.WAITING))
    assert backfill(new).reasons == {"renewal_undecided": 1, "awaiting_payment": 1}
    assert source.count("annotate") == 1


def test_nothing_is_written_when_it_is_a_preview(
    ledger: Ledger, source: FakeSource, offers_reader: OffersFile, new: New, clock: Clock
) -> None:
    source.put(made(1), made(2, payment=Payment.WAITING), made(3, quantity=2), made(4, days_ago=30))
    before = contents(ledger)
    seen: list[int] = []
    found = new().preview(WINDOW, lambda done, ready: seen.append(done.orders + len(ready)))
    assert contents(ledger) == before
    assert rows(ledger, cursors) == []
    assert counts(found) == (3, 3, 0, 2, 1)
    assert found.reasons == {"gives_access": 2, "awaiting_payment": 1, "unnamed_seat": 1}
    assert [(each.order_id, each.status, each.is_new) for each in found.shown] == [
        ("3", "paid", True),
        ("2", "waiting", True),
        ("1", "paid", True),
    ]
    assert found.shown[1].lines == ("waiting: awaiting_payment",)
    assert found.shown[2].lines[0].startswith("give ")
    assert found.shown[2].lines[0].endswith(" to jane@example.test")
    assert seen == [3]
    assert counts(backfill(new)) == counts(found)


def test_the_preview_tells_some_orders_in_full_when_there_are_many(source: FakeSource, new: New) -> None:
    source.put(*(made(number) for number in range(1, 40)))
    found = new().preview(WINDOW)
    assert (len(found.shown), found.new) == (20, 39)


def test_no_order_is_counted_twice_when_pages_shift(ledger: Ledger, source: FakeSource, new: New) -> None:
    source.put(*(made(number) for number in range(1, 8)))
    walk = source.walk_since

    def shifting(since: datetime) -> Any:
        """Each page begins with the last row of the one before."""
        last: tuple[Order, ...] = ()
        for page in walk(since):
            yield Page((*last, *page.orders), page.fetched_at)
            last = page.orders[-1:]

    source.walk_since = shifting  # type: ignore[method-assign]
    assert counts(new().preview(WINDOW)) == (7, 7, 0, 7, 0)
    assert counts(backfill(new)) == (7, 7, 0, 7, 0)
    assert len(rows(ledger, deliveries)) == 7


def test_an_empty_page_is_passed_over_when_the_source_gives_one(source: FakeSource, new: New) -> None:
    source.put(made(1))
    walk = source.walk_since
    source.walk_since = lambda since: iter([Page((), NOW), *walk(since)])  # type: ignore[method-assign]
    assert counts(backfill(new)) == (1, 1, 0, 1, 0)


def test_the_rest_is_taken_in_when_it_died_and_is_run_again(ledger: Ledger, source: FakeSource, new: New) -> None:
    source.put(*(made(number) for number in range(1, 10)), an_order("10", created_at=None))
    source.pages_until_broken = 2
    with pytest.raises(ApiError):
        backfill(new)
    assert len(rows(ledger, orders)) == 5
    source.pages_until_broken = None
    source.put(made(11))  # on top: later pages shift
    done = backfill(new)
    assert (counts(done), done.unchanged, done.undated) == ((10, 5, 0, 5, 0), 5, ["10"])
    assert source.count("annotate") == 10
    kinds = [(row.kind, row.actor, row.detail["new"]) for row in rows(ledger, events) if "backfill" in row.kind]
    assert kinds == [("backfill_begun", ACTOR, 0), ("backfill_begun", ACTOR, 0), ("backfill_ended", ACTOR, 5)]


def test_a_page_counts_for_nothing_when_its_commit_failed(
    ledger: Ledger, source: FakeSource, new: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.put(*(made(number) for number in range(1, 7)))
    recorded: list[str] = []

    def die_at_the_fifth(*arguments: Any, **options: Any) -> Any:
        made = real(*arguments, **options)
        recorded.extend(order.id for order, _ in arguments[1])
        if len(recorded) >= 5:
            raise KeyboardInterrupt("killed")
        return made

    real = record_orders
    monkeypatch.setattr(backfill_module, "record_orders", die_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        backfill(new)
    assert [row.order_id for row in rows(ledger, orders)] == ["4", "5", "6"]
    monkeypatch.setattr(backfill_module, "record_orders", real)
    assert counts(backfill(new)) == (6, 3, 0, 3, 0)


def test_an_order_that_slipped_through_is_taken_in_when_it_is_run_again(
    ledger: Ledger, source: FakeSource, new: New
) -> None:
    source.put(*(made(number) for number in (1, 2, 3, 4, 6)))
    source.pages_until_broken = 1
    with pytest.raises(ApiError):
        backfill(new)
    source.pages_until_broken = None
    source.put(made(5))  # within what was read
    assert [row.order_id for row in rows(ledger, orders)] == ["3", "4", "6"]
    assert backfill(new).new == 3
    assert len(rows(ledger, orders)) == 6


def test_each_order_is_recorded_once_when_two_run_at_a_time(ledger: Ledger, source: FakeSource, new: New) -> None:
    source.put(*(made(number) for number in range(1, 7)))

    def second_begins(number: int) -> None:
        if number == 2:
            source.during_walk = lambda _: None
            assert backfill(new).new == 3

    source.during_walk = second_begins
    done = backfill(new)
    assert (done.new, done.unchanged) == (3, 3)
    assert (len(rows(ledger, deliveries)), len(rows(ledger, runs))) == (6, 6)


def test_the_reason_is_kept_when_one_is_given(ledger: Ledger, source: FakeSource, new: New) -> None:
    backfill(new, reason="moved from the old system")
    found = [row for row in rows(ledger, events) if row.kind == "backfill_ended"]
    assert [(row.reason, row.source) for row in found] == [("moved from the old system", "studiocart")]


def test_a_seat_that_already_ran_is_left_alone_when_its_order_is_met(
    ledger: Ledger, source: FakeSource, new: New
) -> None:
    source.put(made(1))
    backfill(new)
    put_run(ledger, "1/1107/buyer/501", RunState.SUCCEEDED)
    before = contents(ledger)
    backfill(new)
    assert contents(ledger) == before
