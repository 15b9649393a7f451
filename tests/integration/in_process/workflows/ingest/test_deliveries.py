from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workflows.fakes.operations import SEAT
from tests.unit.workflows.fakes.storefront import (
    JANE,
    NOW,
    ONE_OFFER,
    START,
    Clock,
    FakeSource,
    a_hint_reader,
    an_order,
    arrive,
    delivery,
    put_run,
    record,
    rows,
    run_of,
    states,
)
from worker.clients.outcomes import another_record
from worker.errors import ApiConnectionError, AuthenticationError, RateLimitedError, VendorNotice
from worker.ledger.runs import due
from worker.ledger.session import Ledger
from worker.ledger.states import DeliveryState, RunState, Via
from worker.ledger.tables.runs import deliveries, events, orders
from worker.sources.order import Payment
from worker.sources.source import SampleOrderError
from workflows.ingest.deliveries import DeliveryReader
from workflows.ingest.failed_looks import HOOK_OUTRAN_ROW
from workflows.planning.offers import OffersError
from workflows.planning.offers_file import OffersFile


def test_order_is_fetched_and_planned_when_a_hint_is_due(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock
) -> None:
    source.put(an_order())
    hint = arrive(ledger, clock)
    looked = reader.look("studiocart", "1109")
    assert (looked.taken, looked.error, looked.ready) == (1, None, [run_of(ledger, SEAT).id])
    row = delivery(ledger, hint)
    assert (row.state, row.duplicate, row.finished_at, row.lease_holder) == ("planned", False, NOW, None)
    assert source.asked == ["fetch 1109", "annotate 1109"]


def test_nothing_is_asked_when_no_hint_is_due(ledger: Ledger, source: FakeSource, reader: DeliveryReader) -> None:
    source.put(an_order())
    assert reader.look("studiocart", "1109").taken == 0
    assert source.asked == []


def test_unpaid_order_is_not_annotated_when_it_is_fetched(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock
) -> None:
    source.put(an_order(payment=Payment.WAITING))
    arrive(ledger, clock)
    reader.look("studiocart", "1109")
    assert source.asked == ["fetch 1109"]


def test_one_fetch_answers_all_when_twenty_hints_came(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock
) -> None:
    source.put(an_order())
    ids = [arrive(ledger, clock) for _ in range(20)]
    assert reader.look("studiocart", "1109").taken == 20
    assert [reader.look("studiocart", "1109").taken for _ in ids] == [0] * 20
    assert source.count("fetch") == 1
    found = rows(ledger, deliveries)
    assert {row.state for row in found} == {DeliveryState.PLANNED}
    assert [row.duplicate for row in found].count(False) == 1


@pytest.mark.parametrize("found", [True, False])
def test_delivery_stays_planned_when_a_reader_that_was_frozen_fails_to_fetch_it(
    ledger: Ledger,
    source: FakeSource,
    reader: DeliveryReader,
    clock: Clock,
    offers_reader: OffersFile,
    *,
    found: bool,
) -> None:
    source.put(an_order())
    hint = arrive(ledger, clock)

    def freeze(_order_id: str) -> None:
        source.during_fetch = lambda _: None
        clock.advance(hours=1)
        assert (
            a_hint_reader(ledger, source, offers_reader, clock, holder="another").look("studiocart", "1109").taken == 1
        )
        if found:
            source.broken = ApiConnectionError("cut", system="studiocart", operation="fetch")
        else:
            source.forget("1109")

    source.during_fetch = freeze
    reader.look("studiocart", "1109")
    assert delivery(ledger, hint).state == DeliveryState.PLANNED


def test_hints_share_one_more_fetch_when_they_came_during_one(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock
) -> None:
    source.put(an_order())
    arrive(ledger, clock)

    def ten_more(_order_id: str) -> None:
        for _ in range(10):
            arrive(ledger, clock)

    source.during_fetch = ten_more
    reader.look("studiocart", "1109")
    source.during_fetch = lambda _: None
    assert reader.look("studiocart", "1109").taken == 0
    with ledger.write() as connection:
        assert due.take_due_orders(connection, now=clock.now, limit=9) == []
        assert due.take_due_orders(connection, now=clock.advance(seconds=1), limit=9) == [("studiocart", "1109")]
    assert reader.look("studiocart", "1109").taken == 10
    assert source.count("fetch") == 2


def test_second_reader_does_nothing_when_the_first_is_at_it(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, offers_reader: OffersFile, clock: Clock
) -> None:
    source.put(an_order())
    arrive(ledger, clock)
    other = a_hint_reader(ledger, source, offers_reader, clock, holder="other")
    found: list[int] = []
    source.during_fetch = lambda _: found.append(other.look("studiocart", "1109").taken)
    reader.look("studiocart", "1109")
    assert (found, source.count("fetch")) == ([0], 1)


def test_hint_is_due_again_when_its_reader_was_killed(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock
) -> None:
    def die(_order_id: str) -> None:
        raise KeyboardInterrupt

    source.put(an_order())
    arrive(ledger, clock)
    source.during_fetch = die
    with pytest.raises(KeyboardInterrupt):
        reader.look("studiocart", "1109")
    source.during_fetch = lambda _: None
    assert reader.look("studiocart", "1109").taken == 0
    clock.advance(seconds=121)
    with ledger.write() as connection:
        assert due.take_due_orders(connection, now=clock.now, limit=9) == [("studiocart", "1109")]
    assert reader.look("studiocart", "1109").ready == [run_of(ledger, SEAT).id]


# Orders that cannot be fetched


def test_hook_is_asked_again_for_fifteen_minutes_when_it_outran_its_order(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock
) -> None:
    hint = arrive(ledger, clock)
    row = delivery(ledger, hint)
    while row.state != DeliveryState.REVIEW:
        reader.look("studiocart", "1109")
        row = delivery(ledger, hint)
        if row.state == DeliveryState.REVIEW:
            break
        assert (row.state, row.reason, row.finished_at) == ("waiting", "order_not_found", None)
        assert clock.now <= row.next_attempt_at <= clock.now + timedelta(minutes=15)
        clock.now = max(row.next_attempt_at, clock.now + timedelta(seconds=1))
    assert (row.state, row.reason, row.next_attempt_at) == ("review", "order_not_found", None)
    assert clock.now - NOW >= HOOK_OUTRAN_ROW
    assert row.attempts == source.count("fetch") > 3


def test_hook_is_planned_when_its_order_appears_after_a_while(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock
) -> None:
    hint = arrive(ledger, clock)
    reader.look("studiocart", "1109")
    source.put(an_order())
    clock.advance(minutes=14)
    reader.look("studiocart", "1109")
    row = delivery(ledger, hint)
    assert (row.state, row.reason, row.note, row.duplicate) == ("planned", None, None, False)


def test_order_named_by_the_operator_is_ignored_by_name_when_there_is_none(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock
) -> None:
    hint = arrive(ledger, clock, Via.MANUAL, actor="operator:ann")
    looked = reader.look("studiocart", "1109")
    row = delivery(ledger, hint)
    assert (row.state, row.reason) == ("ignored", "order_not_found")
    assert looked.error == row.note != ""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ApiConnectionError("reset", system="studiocart", operation="fetch"), "source_unreachable"),
        (AuthenticationError("the key is refused", system="studiocart", operation="fetch"), "source_refused"),
        (RateLimitedError("slow down", notice=VendorNotice(retry_after_seconds=600.0)), "source_unreachable"),
    ],
)
def test_hint_waits_with_a_time_and_a_reason_when_the_source_fails(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, error: Any, reason: str
) -> None:
    source.broken = error
    hint = arrive(ledger, Clock())
    reader.look("studiocart", "1109")
    row = delivery(ledger, hint)
    assert (row.state, row.reason, row.attempts, row.lease_holder) == ("waiting", reason, 1, None)
    assert row.next_attempt_at >= NOW + timedelta(seconds=error.retry_after_seconds or 0)
    assert rows(ledger, orders) == []


def test_hint_never_goes_to_review_when_the_source_stays_away_for_a_week(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock
) -> None:
    source.broken = ApiConnectionError("reset")
    hint = arrive(ledger, clock)
    for _ in range(30):
        reader.look("studiocart", "1109")
        clock.advance(hours=6)
    assert delivery(ledger, hint).state == DeliveryState.WAITING
    source.broken = None
    source.put(an_order(created_at=NOW))
    reader.look("studiocart", "1109")
    assert states(ledger) == {SEAT: ("pending", None)}


def test_order_is_planned_by_the_last_valid_rules_when_the_offers_are_broken(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock, offers_file: Path
) -> None:
    source.put(an_order("1108"))
    arrive(ledger, clock, order_id="1108")
    reader.look("studiocart", "1108")
    source.put(an_order())
    offers_file.write_text("[[offer]\n")
    hint = arrive(ledger, clock)
    reader.look("studiocart", "1109")
    assert delivery(ledger, hint).state == "planned"
    assert states(ledger)[SEAT] == ("pending", None)


def test_order_waits_for_an_offer_when_the_file_never_was_valid(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock, offers_file: Path
) -> None:
    source.put(an_order())
    offers_file.unlink()
    arrive(ledger, clock)
    reader.look("studiocart", "1109")
    assert list(states(ledger).values()) == [("review", "unmapped_product")]
    offers_file.write_text(ONE_OFFER)
    arrive(ledger, clock)
    reader.look("studiocart", "1109")
    assert states(ledger)[SEAT] == ("pending", None)


def test_hint_says_what_was_answered_and_plans_nothing_when_it_is_another_order(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock
) -> None:
    source.broken = another_record("studiocart", "retrieve/orders", asked=1109, answered=17, status=200)
    hint = arrive(ledger, clock)
    reader.look("studiocart", "1109")
    row = delivery(ledger, hint)
    assert (row.state, row.reason, states(ledger)) == ("waiting", "record_unreadable", {})
    assert "number 17 was answered where 1109 was asked for" in row.note
    clock.advance(minutes=16)
    reader.look("studiocart", "1109")
    assert delivery(ledger, hint).state == "review"


def test_hint_waits_when_its_source_is_off(ledger: Ledger, reader: DeliveryReader, clock: Clock) -> None:
    hint = arrive(ledger, clock, source="frontcore")
    reader.look("frontcore", "1109")
    row = delivery(ledger, hint)
    assert (row.state, row.reason) == ("waiting", "source_off")


def test_earlier_hint_is_settled_when_a_later_one_finds_the_order(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock
) -> None:
    early = arrive(ledger, clock)
    clock.advance(minutes=16)
    reader.look("studiocart", "1109")
    assert delivery(ledger, early).state == DeliveryState.REVIEW
    source.put(an_order())
    arrive(ledger, clock)
    reader.look("studiocart", "1109")
    row = delivery(ledger, early)
    assert (row.state, row.reason) == ("planned", "settled_by_source")


# By hand


def test_operator_is_the_actor_when_he_named_the_order(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock
) -> None:
    source.put(an_order(created_at=START - timedelta(days=3)))
    record(ledger, an_order(created_at=START - timedelta(days=3)), baseline=True)
    arrive(ledger, clock)
    arrive(ledger, clock, Via.MANUAL, actor="operator:ann")
    reader.look("studiocart", "1109")
    assert states(ledger) == {SEAT: ("review", "older_than_start")}
    assert rows(ledger, events)[-1].actor == "operator:ann"


def test_seats_are_planned_again_when_the_delivery_asks_for_it(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock, offers_file: Path
) -> None:
    source.put(an_order())
    record(ledger, an_order())
    offers_file.write_text(ONE_OFFER.replace("501", "777"))
    arrive(ledger, clock)
    reader.look("studiocart", "1109")
    assert list(states(ledger)) == [SEAT]
    arrive(ledger, clock, Via.MANUAL, actor="operator:ann", replan=True)
    reader.look("studiocart", "1109")
    assert states(ledger) == {SEAT: ("cancelled", "superseded"), "1109/1107/buyer/777": ("pending", None)}


# Planning again from what is recorded


def test_order_is_planned_from_the_ledger_when_a_replay_asks(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, offers_file: Path
) -> None:
    offers_file.write_text("")
    record(ledger, an_order(), rules=OffersFile(offers_file).current())
    assert states(ledger) == {"1109/1107/buyer/unmapped": ("review", "unmapped_product")}
    offers_file.write_text(ONE_OFFER)
    preview = reader.preview("studiocart", "1109")
    recorded = reader.replan("studiocart", "1109", actor="operator:ann")
    assert preview is not None
    assert recorded is not None
    assert preview.actions == recorded.plan.actions
    assert recorded.ready == [run_of(ledger, SEAT).id]
    assert source.asked == []
    assert rows(ledger, orders)[0].version == 1


def test_there_is_nothing_to_plan_again_when_the_ledger_does_not_hold_the_order(
    reader: DeliveryReader,
) -> None:
    assert reader.replan("studiocart", "1109") is None
    assert reader.preview("studiocart", "1109") is None


def test_planning_again_fails_when_the_offers_are_broken(
    ledger: Ledger, reader: DeliveryReader, offers_file: Path
) -> None:
    record(ledger, an_order())
    offers_file.write_text("nonsense")
    with pytest.raises(OffersError):
        reader.replan("studiocart", "1109", actor="operator:ann")


def test_change_is_applied_by_a_replan_when_the_run_was_busy_before(
    ledger: Ledger, reader: DeliveryReader, clock: Clock
) -> None:
    record(ledger, an_order())
    put_run(ledger, SEAT, RunState.RUNNING)
    record(ledger, an_order(payment=Payment.CANCELLED), now=clock.advance(minutes=1))
    put_run(ledger, SEAT, RunState.WAITING, cancel_reason=None)
    reader.replan("studiocart", "1109")
    assert states(ledger) == {SEAT: ("cancelled", "cancelled_by_source")}


def test_dry_ingest_fetches_and_writes_nothing(ledger: Ledger, source: FakeSource, reader: DeliveryReader) -> None:
    source.put(an_order(created_at=START - timedelta(days=9)))
    source.renewals.add("1109")
    order, plan = reader.preview_fetched("studiocart", "1109")
    assert (order.renewal, order.buyer_email) == (True, JANE.email)
    assert [getattr(action, "reason", None) for action in plan.actions] == ["renewal_undecided"]
    assert rows(ledger, orders) == rows(ledger, deliveries) == []
    source.put(an_order(payment=Payment.WAITING))
    _, plan = reader.preview_fetched("studiocart", "1109")
    assert plan.actions == ()


def test_hint_ends_quietly_and_at_once_when_it_is_the_vendor_s_own_test(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock
) -> None:
    source.broken = SampleOrderError("no order 1", system="studiocart", operation="fetch", status=404)
    hint = arrive(ledger, clock)
    reader.look("studiocart", "1109")
    row = delivery(ledger, hint)
    assert (row.state, row.reason, row.next_attempt_at) == ("ignored", "test_notification", None)
