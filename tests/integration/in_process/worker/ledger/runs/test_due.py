from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.unit.workflows.fakes.storefront import JOHN, NOW, an_order, open_effect, put_run, record, rows, run_of
from worker.ledger.orders import order_rows
from worker.ledger.runs import due
from worker.ledger.runs.breaker import BreakerState
from worker.ledger.session import Ledger
from worker.ledger.states import Actor, DeliveryState, RunState, StepState, Via
from worker.ledger.tables.runs import attempts, breakers, cursors, deliveries, events, orders, pauses, runs, steps

SEAT = "1109/1107/buyer/501"
SAME_LANE = "1110/1107/buyer/501"
OTHER_LANE = "1111/1107/buyer/501"


@pytest.fixture(autouse=True)
def one_run(ledger: Ledger) -> None:
    record(ledger, an_order())


def taken(ledger: Ledger, now: datetime = NOW, limit: int = 99) -> list[str]:
    """The orders of the runs that a sweep takes."""
    with ledger.write() as connection:
        ids = due.take_due_runs(connection, now=now, system="learningcart", limit=limit)
    return sorted(row.order_id for row in rows(ledger, runs) if row.id in ids)


def hint(ledger: Ledger, order_id: str | None = "1109", **values: Any) -> str:
    with ledger.write() as connection:
        return order_rows.insert_delivery(
            connection,
            source="studiocart",
            order_id=order_id,
            via=Via.WEBHOOK,
            actor=Actor.SOURCE,
            now=NOW,
            **values,
        )


def hinted(ledger: Ledger, now: datetime = NOW) -> list[tuple[str, str]]:
    with ledger.write() as connection:
        return due.take_due_orders(connection, now=now, limit=99)


def anything(ledger: Ledger, now: datetime = NOW) -> bool:
    with ledger.read() as connection:
        return due.anything_due(connection, now=now)


def recover(ledger: Ledger, now: datetime, max_attempts: int = 12) -> int:
    with ledger.write() as connection:
        return due.recover_orphans(connection, now=now, settle_seconds=45, max_attempts=max_attempts, backoff_seconds=2)


def hold(ledger: Ledger, key: str = SEAT, until: datetime = NOW) -> None:
    put_run(ledger, key, RunState.RUNNING, fence=1, lease_holder="gone", lease_until=until, next_attempt_at=None)


# Runs


def test_run_is_taken_when_its_time_has_come(ledger: Ledger) -> None:
    put_run(ledger, SEAT, RunState.WAITING, next_attempt_at=NOW + timedelta(seconds=1))
    assert (taken(ledger), anything(ledger)) == ([], False)
    later = NOW + timedelta(seconds=1)
    assert (anything(ledger, later), taken(ledger, later)) == (True, ["1109"])


@pytest.mark.parametrize("state", [each for each in RunState if each not in {RunState.PENDING, RunState.WAITING}])
def test_run_is_left_in_any_other_state(ledger: Ledger, state: RunState) -> None:
    put_run(ledger, SEAT, state)
    assert taken(ledger) == []


def test_run_is_sent_again_later_and_later_when_nobody_takes_it(ledger: Ledger) -> None:
    moments = [0, 9, 10, 29, 30, 69, 70, 109, 110]
    sent = [seconds for seconds in moments if taken(ledger, NOW + timedelta(seconds=seconds))]
    assert sent == [0, 10, 30, 70, 110]
    assert run_of(ledger, SEAT).dispatches == 5


def test_run_is_left_when_its_destination_is_paused(ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.execute(
            pauses.insert().values(system="learningcart", kind="operator", reason="", actor="", since=NOW)
        )
    assert taken(ledger) == []


def test_run_is_left_while_its_lane_is_held_or_shut(ledger: Ledger) -> None:
    record(ledger, an_order("1110"))
    record(ledger, an_order("1111", learner=JOHN))
    hold(ledger, until=NOW + timedelta(seconds=60))
    assert taken(ledger) == ["1111"]
    put_run(ledger, SEAT, RunState.REVIEW, lane_shut_until=NOW + timedelta(seconds=45))
    assert taken(ledger) == []
    assert taken(ledger, NOW + timedelta(seconds=45)) == ["1110", "1111"]


def test_no_more_runs_are_taken_than_asked_for_and_the_longest_due_first(ledger: Ledger) -> None:
    for number in (1110, 1111):
        record(ledger, an_order(str(number), learner=JOHN.model_copy(update={"email": f"{number}@example.test"})))
    put_run(ledger, OTHER_LANE, RunState.PENDING, next_attempt_at=NOW - timedelta(hours=1))
    assert taken(ledger, limit=1) == ["1111"]
    assert len(taken(ledger, limit=2)) == 2


# A destination that is down


def put_breaker(ledger: Ledger, state: str, **values: Any) -> None:
    row = {"system": "learningcart", "state": state, "allowance": 0, "failures": 5, "failing_run_ids": []}
    with ledger.write() as connection:
        connection.execute(breakers.insert().values(**(row | {"opened_at": NOW} | values)))


def test_one_run_an_interval_is_taken_when_the_destination_is_down(ledger: Ledger) -> None:
    for number in (1110, 1111):
        record(ledger, an_order(str(number), learner=JOHN.model_copy(update={"email": f"{number}@example.test"})))
    put_breaker(ledger, BreakerState.OPEN, probe_at=NOW + timedelta(seconds=60))
    assert [len(taken(ledger, NOW + timedelta(seconds=seconds))) for seconds in (0, 59, 60, 61, 119, 120)] == [
        0,
        0,
        1,
        0,
        0,
        1,
    ]


def test_none_is_taken_when_the_destination_is_down_and_nothing_is_due(ledger: Ledger) -> None:
    put_run(ledger, SEAT, RunState.WAITING, next_attempt_at=NOW + timedelta(seconds=1))
    put_breaker(ledger, BreakerState.OPEN, probe_at=NOW)
    assert taken(ledger) == []
    assert len(taken(ledger, NOW + timedelta(seconds=1))) == 1


@pytest.mark.parametrize("is_asked_about", [False, True])
def test_probe_makes_no_order_when_another_run_can_be_it(ledger: Ledger, *, is_asked_about: bool) -> None:
    record(ledger, an_order("1111", learner=JOHN))
    before_the_order = steps.c.position < 2
    if is_asked_about:
        open_effect(ledger, OTHER_LANE, outcome="unknown")
    else:
        before_the_order &= steps.c.run_id == run_of(ledger, SEAT).id
    with ledger.write() as connection:
        connection.execute(steps.update().where(before_the_order).values(state=StepState.DONE))
    put_breaker(ledger, BreakerState.OPEN, probe_at=NOW)
    with ledger.write() as connection:
        (probe,) = due.take_due_runs(
            connection, now=NOW, system="learningcart", limit=9, risky_steps={"add_comped_order"}
        )
    assert probe == run_of(ledger, OTHER_LANE).id


@pytest.mark.parametrize("state", ["closed", "ramping"])
def test_all_that_is_due_is_taken_when_the_breaker_is_not_open(ledger: Ledger, state: str) -> None:
    """An older version that still runs may write `ramping`."""
    record(ledger, an_order("1111", learner=JOHN))
    put_breaker(ledger, state, allowance=1)
    assert taken(ledger) == ["1109", "1111"]


# Orphans


def test_nothing_is_recovered_before_the_lease_has_ended(ledger: Ledger) -> None:
    hold(ledger, until=NOW + timedelta(seconds=60))
    assert (recover(ledger, NOW + timedelta(seconds=59)), anything(ledger, NOW + timedelta(seconds=59))) == (0, False)
    assert anything(ledger, NOW + timedelta(seconds=60))
    assert recover(ledger, NOW + timedelta(seconds=60)) == 1


def test_open_call_settles_from_the_leases_end_with_the_lane_shut(ledger: Ledger) -> None:
    lease_end = NOW + timedelta(seconds=60)
    open_effect(ledger, SEAT)
    hold(ledger, until=lease_end)
    assert recover(ledger, lease_end + timedelta(seconds=2)) == 1
    row = run_of(ledger, SEAT)
    settled_at = lease_end + timedelta(seconds=45)
    assert (row.state, row.reason, row.next_attempt_at, row.lane_shut_until) == (
        "waiting",
        "worker_vanished",
        settled_at,
        settled_at,
    )
    assert (row.lease_holder, row.lease_until, row.dispatches) == (None, None, 0)
    (attempt,) = rows(ledger, attempts)
    assert (attempt.outcome, attempt.finished_at) == ("unknown", lease_end)
    event = rows(ledger, events)[-1]
    assert (event.kind, event.detail) == ("run_recovered", {"holder": "gone", "open_calls": 1})


def test_open_call_settles_from_now_when_the_lease_ended_long_ago(ledger: Ledger) -> None:
    """A clock that jumped ahead ends the lease of a call that is under way."""
    open_effect(ledger, SEAT)
    hold(ledger)
    later = NOW + timedelta(hours=1)
    recover(ledger, later)
    assert run_of(ledger, SEAT).lane_shut_until == later + timedelta(seconds=45)


def test_run_is_sent_again_when_a_clock_that_was_ahead_had_sent_it(ledger: Ledger) -> None:
    put_run(ledger, SEAT, RunState.PENDING, dispatched_at=NOW + timedelta(hours=1), dispatches=1)
    hint(ledger)
    with ledger.write() as connection:
        connection.execute(deliveries.update().values(dispatched_at=NOW + timedelta(hours=1)))
    assert (taken(ledger), hinted(ledger)) == (["1109"], [("studiocart", "1109")])
    assert (taken(ledger), hinted(ledger)) == ([], [])


def test_death_counts_as_an_attempt_when_nothing_was_open(ledger: Ledger) -> None:
    for wait_seconds in (0, 2):
        hold(ledger)
        assert recover(ledger, NOW, max_attempts=3) == 1
        row = run_of(ledger, SEAT)
        assert (row.state, row.next_attempt_at) == ("waiting", NOW + timedelta(seconds=wait_seconds))
    hold(ledger)
    recover(ledger, NOW, max_attempts=3)
    row = run_of(ledger, SEAT)
    assert (row.state, row.reason, row.finished_at) == ("failed", "attempts_spent", NOW)
    assert [(each.number, each.kind, each.outcome) for each in rows(ledger, attempts)] == [
        (1, "death", "retryable"),
        (2, "death", "retryable"),
        (3, "death", "retryable"),
    ]


def test_run_goes_to_review_and_not_to_failed_when_it_keeps_dying_with_an_open_effect(ledger: Ledger) -> None:
    open_effect(ledger, SEAT, outcome="unknown")
    with ledger.write() as connection:
        connection.execute(steps.update().where(steps.c.position < 2).values(state=StepState.DONE))
        connection.execute(steps.update().where(steps.c.position == 2).values(counted=11))
    hold(ledger)
    recover(ledger, NOW)
    assert (run_of(ledger, SEAT).state, run_of(ledger, SEAT).reason) == ("review", "outcome_unknown")


def test_run_is_recovered_when_all_its_steps_are_done(ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.execute(steps.update().values(state=StepState.DONE))
    hold(ledger)
    recover(ledger, NOW, max_attempts=1)
    assert rows(ledger, attempts) == []


def test_requested_cancellation_outlives_the_holder(ledger: Ledger) -> None:
    put_run(ledger, SEAT, RunState.PENDING, cancel_reason="refunded_by_source")
    hold(ledger)
    recover(ledger, NOW)
    assert run_of(ledger, SEAT).cancel_reason == "refunded_by_source"


# Hints


def test_order_is_named_once_when_many_hints_of_it_are_due(ledger: Ledger) -> None:
    for _ in range(5):
        hint(ledger)
    hint(ledger, "1110")
    hint(ledger, None, state=DeliveryState.IGNORED)
    assert anything(ledger)
    assert hinted(ledger) == [("studiocart", "1109"), ("studiocart", "1110")]
    assert hinted(ledger, NOW + timedelta(seconds=9)) == []
    assert len(hinted(ledger, NOW + timedelta(seconds=10))) == 2


def test_hint_is_left_when_its_message_has_just_been_sent(ledger: Ledger) -> None:
    hint(ledger, sent=True)
    assert hinted(ledger) == []
    assert hinted(ledger, NOW + timedelta(seconds=10)) == [("studiocart", "1109")]


def test_hint_is_left_while_somebody_fetches_its_order(ledger: Ledger) -> None:
    hint(ledger)
    with ledger.write() as connection:
        order_rows.take_deliveries(connection, "studiocart", "1109", holder="x", now=NOW, lease_seconds=120)
    assert hinted(ledger, NOW + timedelta(seconds=119)) == []
    assert hinted(ledger, NOW + timedelta(seconds=120)) == [("studiocart", "1109")]


@pytest.mark.parametrize("state", [DeliveryState.PLANNED, DeliveryState.IGNORED, DeliveryState.REVIEW])
def test_hint_is_left_when_it_is_finished(ledger: Ledger, state: DeliveryState) -> None:
    hint(ledger, state=state)
    assert hinted(ledger) == []


# Orders


def test_order_is_looked_at_again_and_put_off_once_more_in_case_the_look_fails(ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.execute(orders.update().values(replan_at=NOW))
        connection.execute(runs.update().values(state=RunState.REVIEW))
    assert anything(ledger)
    for seconds, expected in ((0, 1), (14, 0), (15, 1)):
        with ledger.write() as connection:
            found = due.take_orders_to_replan(connection, now=NOW + timedelta(seconds=seconds), limit=9)
        assert found == [("studiocart", "1109")] * expected


def test_every_lease_ends_when_no_other_process_can_be_alive(ledger: Ledger) -> None:
    later = NOW + timedelta(hours=1)
    open_effect(ledger, SEAT)
    hold(ledger, until=later)
    hint(ledger)
    with ledger.write() as connection:
        order_rows.take_deliveries(connection, "studiocart", "1109", holder="x", now=NOW, lease_seconds=3600)
        connection.execute(cursors.update().values(lease_holder="x", lease_until=later))
        assert due.break_leases(connection, now=NOW) == 1
    assert rows(ledger, cursors)[0].lease_until == NOW
    assert rows(ledger, deliveries)[0].lease_until == NOW
    assert recover(ledger, NOW) == 1
    assert run_of(ledger, SEAT).lane_shut_until == NOW + timedelta(seconds=45)
