"""What operators do to seats that their source takes back meanwhile, once or again: nothing is given without a word."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.unit.workflows.fakes.operations import ANN, SEAT, do_steps
from tests.unit.workflows.fakes.storefront import (
    NOW,
    ONE_OFFER,
    Clock,
    a_line,
    an_order,
    offers,
    open_effect,
    put_run,
    record,
    run_of,
    states,
)
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.sources.order import Order, Payment
from workflows.execution import late_results
from workflows.operations.replay import NOTHING, REFUSED, REPLAYED, Operations

RULES = offers(ONE_OFFER + '\n[[offer]]\nsource = "studiocart"\nproduct_id = "1108"\ngrants = [{ price_id = 502 }]\n')
SECOND = "1109/1108/buyer/502"
BOTH = an_order(lines=[a_line(), a_line("1108")])
ONE = an_order(lines=[a_line()])
REFUNDED = an_order(payment=Payment.REFUNDED)


def minute(number: int) -> datetime:
    return NOW + timedelta(minutes=number)


def look(ledger: Ledger, order: Order, at: int) -> None:
    record(ledger, order, now=minute(at), rules=RULES)


def give(ledger: Ledger, key: str, result_id: str, at: int) -> None:
    do_steps(ledger)
    put_run(ledger, key, RunState.SUCCEEDED, result_id=result_id, finished_at=minute(at))


def repeat(ledger: Ledger, operations: Operations, key: str) -> None:
    found = operations.replay(run_of(ledger, key).id, actor=ANN, again=True, reason="it was deleted there")
    assert found.result == REPLAYED


def questions(ledger: Ledger, key: str) -> dict[str, str | None]:
    """What a person is asked about a run, and why."""
    found = {name.removeprefix(f"{key}/"): each for name, each in states(ledger).items() if name.startswith(f"{key}/")}
    return {name: reason for name, (state, reason) in found.items() if state == "review"}


@pytest.mark.parametrize("state", [RunState.WAITING, RunState.REVIEW])
def test_repeating_is_refused_when_the_seat_was_removed_and_its_outcome_is_unknown(
    ledger: Ledger, operations: Operations, state: RunState
) -> None:
    look(ledger, BOTH, 0)
    open_effect(ledger, SECOND, outcome="unknown")
    put_run(ledger, SECOND, state)
    look(ledger, ONE, 1)
    seat = run_of(ledger, SECOND)
    refused = operations.replay(seat.id, actor=ANN, from_step="add_comped_order", again=True, reason="not made")
    assert (refused.result, "removed" in refused.message) == (REFUSED, True)
    assert run_of(ledger, SECOND) == seat


def test_repeating_is_refused_while_it_is_found_out_whether_the_call_took_effect(
    ledger: Ledger, operations: Operations
) -> None:
    """It would be asked about no more: what it made would be nobody's question once the order is refunded."""
    look(ledger, ONE, 0)
    open_effect(ledger, SEAT, outcome="unknown")
    put_run(ledger, SEAT, RunState.WAITING)
    seat = run_of(ledger, SEAT)
    for dry_run in (True, False):
        found = operations.replay(seat.id, actor=ANN, again=True, reason="it takes too long", dry_run=dry_run)
        assert (found.result, "being found out" in found.message) == (REFUSED, True)
    assert run_of(ledger, SEAT) == seat
    put_run(ledger, SEAT, RunState.REVIEW)  # somebody has looked
    repeat(ledger, operations, SEAT)


@pytest.mark.parametrize("payment", [Payment.REFUNDED, Payment.CANCELLED, Payment.WAITING])
@pytest.mark.parametrize("again", [True, False])
def test_replay_is_refused_when_the_order_was_paid_again_without_the_seat(
    ledger: Ledger, operations: Operations, payment: Payment, *, again: bool
) -> None:
    look(ledger, BOTH, 0)
    look(ledger, an_order(payment=payment), 1)
    look(ledger, ONE, 2)
    seat = run_of(ledger, SECOND)
    assert (seat.state, states(ledger)[SEAT]) == ("cancelled", ("pending", None))
    refused = operations.replay(seat.id, actor=ANN, again=again, reason="she rang")
    assert (refused.result, "seat" in refused.message) == (REFUSED, True)
    assert run_of(ledger, SECOND) == seat


@pytest.mark.parametrize("end", ["cancelled", "reopened", "paid_after_cancel", "given"])
@pytest.mark.parametrize("again", [True, False])
def test_replay_is_refused_when_the_seat_was_removed_since_an_operator_dealt_with_it(
    ledger: Ledger, operations: Operations, end: str, *, again: bool
) -> None:
    look(ledger, BOTH, 0)
    if end == "given":
        give(ledger, SECOND, "7001", 0)
    else:
        operations.cancel(run_of(ledger, SECOND).id, actor=ANN)
    if end == "paid_after_cancel":
        look(ledger, REFUNDED, 1)
        look(ledger, BOTH, 2)
        assert states(ledger)[SECOND] == ("review", "paid_after_cancel")
    look(ledger, ONE, 3)
    if end == "reopened":
        operations.reopen(run_of(ledger, SECOND).id, actor=ANN, reason="she rang")
    seat = run_of(ledger, SECOND)
    for dry_run in (True, False):
        found = operations.replay(seat.id, actor=ANN, again=again, reason="she rang", dry_run=dry_run)
        is_done_already = end == "given" and not again
        assert found.result == (NOTHING if is_done_already else REFUSED)
    assert run_of(ledger, SECOND) == seat


def test_replay_is_refused_when_the_seat_was_removed_while_it_was_worked_on(
    ledger: Ledger, operations: Operations
) -> None:
    look(ledger, BOTH, 0)
    put_run(ledger, SECOND, RunState.RUNNING, fence=1)
    look(ledger, ONE, 1)
    put_run(ledger, SECOND, RunState.FAILED)
    assert operations.replay(run_of(ledger, SECOND).id, actor=ANN).result == REFUSED


@pytest.mark.parametrize("is_answered", [True, False])
@pytest.mark.parametrize("is_made", [True, False])
def test_access_is_asked_about_anew_when_a_repeated_run_is_refunded_a_second_time(
    ledger: Ledger, operations: Operations, clock: Clock, *, is_answered: bool, is_made: bool
) -> None:
    look(ledger, ONE, 0)
    give(ledger, SEAT, "7001", 0)
    look(ledger, REFUNDED, 1)
    clock.advance(minutes=2)
    if is_answered:
        operations.resolve(run_of(ledger, f"{SEAT}/revoke").id, actor=ANN, note="taken back")
    look(ledger, ONE, 3)
    clock.advance(minutes=2)
    repeat(ledger, operations, SEAT)
    if is_made:
        put_run(ledger, SEAT, RunState.RUNNING, fence=2)
    look(ledger, REFUNDED, 5)
    if is_made:
        give(ledger, SEAT, "7002", 6)
        with ledger.write() as connection:
            run = run_of(ledger, SEAT)
            late_results.open_revocation(connection, run.id, run.cancel_reason, now=minute(6))
    assert questions(ledger, SEAT) == {"revoke-2": "refunded_after_provisioning"}
    assert run_of(ledger, f"{SEAT}/revoke-2").result_id == ("7002" if is_made else "7001")


def test_access_is_asked_about_once_when_the_question_is_open(ledger: Ledger) -> None:
    look(ledger, ONE, 0)
    give(ledger, SEAT, "7001", 0)
    look(ledger, REFUNDED, 1)
    with ledger.write() as connection:
        late_results.open_revocation(connection, run_of(ledger, SEAT).id, "refunded_by_source", now=minute(2))
    assert questions(ledger, SEAT) == {"revoke": "refunded_after_provisioning"}


def test_access_is_asked_about_anew_when_a_run_gave_it_after_it_was_taken_back(
    ledger: Ledger, operations: Operations, clock: Clock
) -> None:
    look(ledger, BOTH, 0)
    give(ledger, SECOND, "7001", 0)
    look(ledger, ONE, 1)
    clock.advance(minutes=2)
    operations.resolve(run_of(ledger, f"{SECOND}/revoke").id, actor=ANN, note="taken back")
    look(ledger, BOTH, 3)
    clock.advance(minutes=2)
    repeat(ledger, operations, SECOND)
    give(ledger, SECOND, "7002", 5)
    look(ledger, ONE, 6)
    assert questions(ledger, SECOND) == {"revoke-2": "removed_after_provisioning"}


def test_access_is_asked_about_anew_when_the_seat_came_back_since_an_operator_left_it(
    ledger: Ledger, operations: Operations, clock: Clock
) -> None:
    look(ledger, BOTH, 0)
    give(ledger, SECOND, "7001", 0)
    look(ledger, ONE, 1)
    clock.advance(minutes=2)
    operations.cancel(run_of(ledger, f"{SECOND}/revoke").id, actor=ANN, reason="left to them")
    for at, order in ((3, ONE), (4, BOTH)):
        look(ledger, order, at)
        assert questions(ledger, SECOND) == {}
    look(ledger, ONE, 5)
    assert questions(ledger, SECOND) == {"revoke": "removed_after_provisioning"}


def test_taking_back_is_asked_no_more_when_the_order_is_paid_again_before_its_run_is_repeated(
    ledger: Ledger, operations: Operations, clock: Clock
) -> None:
    look(ledger, ONE, 0)
    give(ledger, SEAT, "7001", 0)
    clock.advance(minutes=2)
    repeat(ledger, operations, SEAT)
    look(ledger, REFUNDED, 3)
    assert questions(ledger, SEAT) == {"revoke": "refunded_after_provisioning"}
    look(ledger, ONE, 4)
    assert (states(ledger)[SEAT], questions(ledger, SEAT)) == (("pending", None), {})


@pytest.mark.parametrize("payment", [Payment.WAITING, Payment.UNKNOWN])
@pytest.mark.parametrize("is_running", [True, False])
def test_run_of_unknown_outcome_is_stopped_when_its_order_is_not_paid_any_more(
    ledger: Ledger, payment: Payment, *, is_running: bool
) -> None:
    look(ledger, ONE, 0)
    if is_running:
        put_run(ledger, SEAT, RunState.RUNNING, fence=1)
    else:
        open_effect(ledger, SEAT, outcome="unknown")
        put_run(ledger, SEAT, RunState.WAITING)
    look(ledger, an_order(payment=payment), 1)
    reason = run_of(ledger, SEAT).cancel_reason
    assert reason == {Payment.WAITING: "awaiting_payment", Payment.UNKNOWN: "unknown_status"}[payment]
    with ledger.write() as connection:  # it had taken place: no question
        late_results.open_revocation(connection, run_of(ledger, SEAT).id, reason, now=minute(2))
    assert questions(ledger, SEAT) == {}
    look(ledger, REFUNDED, 3)  # a better reason takes its place
    assert run_of(ledger, SEAT).cancel_reason == "refunded_by_source"
    look(ledger, ONE, 4)
    assert run_of(ledger, SEAT).cancel_reason is None


@pytest.mark.parametrize("payment", [Payment.WAITING, Payment.UNKNOWN])
def test_what_was_given_before_is_asked_about_when_the_order_is_refunded_after_a_while_unpaid(
    ledger: Ledger, operations: Operations, clock: Clock, payment: Payment
) -> None:
    look(ledger, ONE, 0)
    give(ledger, SEAT, "7001", 0)
    clock.advance(minutes=1)
    repeat(ledger, operations, SEAT)
    look(ledger, an_order(payment=payment), 2)
    assert questions(ledger, SEAT) == {}
    look(ledger, REFUNDED, 3)
    assert questions(ledger, SEAT) == {"revoke": "refunded_after_provisioning"}
    assert states(ledger)[SEAT] == ("cancelled", "refunded_by_source")
