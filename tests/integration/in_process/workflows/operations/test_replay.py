from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.workflows.fakes.operations import ALL_STEPS, ANN, LOOKUP, SEAT, UNMAPPED, contents, do_steps
from tests.unit.workflows.fakes.storefront import (
    NOW,
    ONE_OFFER,
    START,
    Clock,
    a_line,
    a_seat,
    an_order,
    open_effect,
    put_run,
    record,
    rows,
    run_of,
    states,
)
from worker.errors import IllegalTransitionError, NotInLedgerError
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.runs import events, steps
from worker.sources.order import Payment
from workflows.operations.replay import NOTHING, PLANNED, REFUSED, REPLAYED, Operations, Replayed
from workflows.operations.restarting import Seen
from workflows.planning.offers import Offers, OffersError

# Replay


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.REVIEW, RunState.WAITING])
def test_run_is_due_now_where_it_stood_when_it_is_replayed(
    ledger: Ledger, operations: Operations, clock: Clock, seat: str, state: RunState
) -> None:
    put_run(ledger, SEAT, state, reason="attempts_spent", note="500", dispatches=4, finished_at=NOW)
    do_steps(ledger, 1)
    with ledger.write() as connection:
        connection.execute(steps.update().where(steps.c.position == 1).values(counted=12))
    clock.advance(hours=1)
    replayed = operations.replay(seat, actor=ANN, reason="works again")
    assert replayed == Replayed(seat, REPLAYED, "replayed", ready=(seat,), calls=ALL_STEPS[1:])
    row = run_of(ledger, SEAT)
    assert (row.state, row.reason, row.note, row.next_attempt_at) == ("pending", None, None, clock.now)
    assert (row.finished_at, row.dispatches, row.generation) == (None, 0, 0)
    assert [(step.state, step.counted) for step in rows(ledger, steps)] == [("done", 1), ("pending", 0), ("pending", 0)]
    event = rows(ledger, events)[-1]
    assert (event.kind, event.actor, event.reason, event.detail) == (
        "run_replayed",
        ANN,
        "works again",
        {"from": str(state)},
    )


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.RUNNING])
def test_replay_repeats_nothing_when_the_run_has_succeeded_or_is_running(
    ledger: Ledger, operations: Operations, seat: str, state: RunState
) -> None:
    put_run(ledger, SEAT, state)
    before = contents(ledger)
    replayed = operations.replay(seat, actor=ANN)
    assert (replayed.result, replayed.ready, replayed.calls) == (NOTHING, (), ())
    assert contents(ledger) == before


def test_replay_only_rings_when_the_run_is_due_already(ledger: Ledger, operations: Operations, seat: str) -> None:
    before = contents(ledger)
    replayed = operations.replay(seat, actor=ANN)
    assert (replayed.result, replayed.ready) == (NOTHING, (seat,))
    assert contents(ledger) == before


def test_replay_waits_when_a_call_may_still_be_under_way(
    ledger: Ledger, operations: Operations, clock: Clock, seat: str
) -> None:
    shut_until = NOW + timedelta(seconds=45)
    open_effect(ledger, SEAT, outcome="unknown")
    put_run(ledger, SEAT, RunState.WAITING, lane_shut_until=shut_until, next_attempt_at=shut_until)
    replayed = operations.replay(seat, actor=ANN)
    assert (replayed.result, "12:00:45" in replayed.message) == (NOTHING, True)
    clock.advance(minutes=1)
    replayed = operations.replay(seat, actor=ANN)
    assert (replayed.result, replayed.calls) == (REPLAYED, (*ALL_STEPS[:2], LOOKUP, ALL_STEPS[2]))


def test_nothing_is_written_when_a_replay_is_dry(ledger: Ledger, operations: Operations, seat: str) -> None:
    put_run(ledger, SEAT, RunState.FAILED)
    before = contents(ledger)
    assert operations.replay(seat, actor=ANN, dry_run=True).calls == ALL_STEPS
    again = operations.replay(seat, actor=ANN, from_step="add_customer", again=True, reason="lost", dry_run=True)
    assert (again.result, again.calls, again.ready) == (REPLAYED, ALL_STEPS, ())
    assert contents(ledger) == before


def test_replay_starts_it_after_all_when_the_operator_had_cancelled_it(
    ledger: Ledger, operations: Operations, seat: str
) -> None:
    operations.cancel(seat, actor=ANN)
    assert operations.replay(seat, actor=ANN).result == REPLAYED
    assert (run_of(ledger, SEAT).state, run_of(ledger, SEAT).cancelled_by) == ("pending", None)


def test_replay_does_not_start_what_a_colleague_cancelled_since_it_was_shown(
    ledger: Ledger, operations: Operations, seat: str
) -> None:
    operations.cancel(seat, actor=ANN)
    for replan in (False, True):
        assert operations.replay(seat, actor=ANN, seen=Seen(state="failed"), replan=replan).result == NOTHING
    assert run_of(ledger, SEAT).state == "cancelled"
    assert operations.replay(seat, actor=ANN, seen=Seen(state="cancelled")).result == REPLAYED


TAKEN_BACK = {
    "cancelled": an_order(payment=Payment.CANCELLED),
    "refunded": an_order(payment=Payment.REFUNDED),
    "not paid": an_order(payment=Payment.WAITING),
    "nobody has ruled on": an_order(payment=Payment.UNKNOWN),
    "removed from the order": an_order(lines=[]),
    "waiting list": an_order(lines=[a_line(seats=[a_seat().model_copy(update={"hold": "waiting_list"})])]),
}


@pytest.mark.parametrize("said", TAKEN_BACK)
def test_replay_is_refused_when_the_source_took_the_order_or_the_seat_back(
    ledger: Ledger, operations: Operations, seat: str, said: str
) -> None:
    record(ledger, TAKEN_BACK[said], now=NOW + timedelta(minutes=1))
    for more in ({}, {"from_step": "add_customer"}, {"from_step": "add_customer", "again": True, "reason": "lost"}):
        replayed = operations.replay(seat, actor=ANN, **more)
        assert replayed.result == REFUSED
        assert said in replayed.message
    assert run_of(ledger, SEAT).state == "cancelled"


def test_replay_is_refused_when_a_run_has_failed_and_its_order_is_not_paid_any_more(
    ledger: Ledger, operations: Operations, seat: str
) -> None:
    put_run(ledger, SEAT, RunState.FAILED)
    record(ledger, an_order(payment=Payment.WAITING), now=NOW + timedelta(minutes=1))
    assert operations.replay(seat, actor=ANN).result == REFUSED


def test_a_mail_about_access_that_was_given_starts_again_when_its_order_is_not_paid_any_more(
    ledger: Ledger, operations: Operations, seat: str
) -> None:
    put_run(ledger, SEAT, RunState.FAILED, workflow="welcome_mail", grant={"with_password": False})
    record(ledger, an_order(payment=Payment.WAITING), now=NOW + timedelta(minutes=1))
    assert operations.replay(seat, actor=ANN).result == REPLAYED


def test_what_the_source_took_back_is_cancelled_again_when_a_restored_ledger_finds_no_effect(
    ledger: Ledger, operations: Operations, clock: Clock, seat: str
) -> None:
    record(ledger, an_order(payment=Payment.REFUNDED), now=clock.advance(minutes=1))
    open_effect(ledger, SEAT, outcome="unknown")
    assert operations.replay(seat, actor=ANN).result == REPLAYED
    assert run_of(ledger, SEAT).cancel_reason == "refunded_by_source"


def test_replay_asks_learningcart_when_a_cancelled_orders_run_may_have_taken_effect(
    ledger: Ledger, operations: Operations, clock: Clock, seat: str
) -> None:
    """The one way out of it that `cancel` names."""
    open_effect(ledger, SEAT, outcome="unknown")
    put_run(ledger, SEAT, RunState.REVIEW, reason="outcome_unknown")
    record(ledger, an_order(payment=Payment.REFUNDED), now=clock.advance(minutes=1))
    with pytest.raises(IllegalTransitionError, match="Replay it"):
        operations.cancel(seat, actor=ANN)
    replayed = operations.replay(seat, actor=ANN)
    assert replayed.result == REPLAYED
    assert LOOKUP in replayed.calls
    row = run_of(ledger, SEAT)
    assert (row.state, row.cancel_reason) == ("pending", "refunded_by_source")


def test_requested_cancellation_outlives_a_replay_when_the_seat_was_removed(
    ledger: Ledger, operations: Operations, clock: Clock, seat: str
) -> None:
    open_effect(ledger, SEAT, outcome="unknown")
    put_run(ledger, SEAT, RunState.REVIEW, reason="outcome_unknown")
    record(ledger, an_order(lines=[]), now=clock.advance(minutes=1))
    assert operations.replay(seat, actor=ANN).result == REPLAYED
    assert run_of(ledger, SEAT).cancel_reason == "removed_from_order"


def test_replay_does_nothing_when_the_run_was_superseded(
    ledger: Ledger, operations: Operations, offers_file: Path, seat: str
) -> None:
    offers_file.write_text(ONE_OFFER.replace("501", "777"))
    assert operations.replay(seat, actor=ANN, replan=True).result == PLANNED
    replayed = operations.replay(seat, actor=ANN)
    assert (replayed.result, replayed.ready) == (NOTHING, ())
    assert states(ledger) == {SEAT: ("cancelled", "superseded"), "1109/1107/buyer/777": ("pending", None)}


def test_replay_names_the_run_that_is_not_there(operations: Operations) -> None:
    with pytest.raises(NotInLedgerError, match="nonesuch"):
        operations.replay("nonesuch", actor=ANN)
    with pytest.raises(NotInLedgerError):
        operations.resolve("nonesuch", actor=ANN, note="")
    with pytest.raises(NotInLedgerError):
        operations.cancel("nonesuch", actor=ANN)


def test_replay_does_nothing_when_the_run_is_a_question_to_a_person(
    ledger: Ledger, operations: Operations, seat: str
) -> None:
    put_run(ledger, SEAT, RunState.SUCCEEDED)
    record(ledger, an_order(payment=Payment.REFUNDED), now=NOW + timedelta(minutes=1))
    revocation = run_of(ledger, f"{SEAT}/revoke").id
    assert operations.replay(revocation, actor=ANN, again=True, reason="x").result == NOTHING
    assert operations.resolve(revocation, actor=ANN, note="taken back").startswith("resolved")


# Replay of placeholders, and replans


def test_placeholder_is_planned_by_todays_offers_when_it_is_replayed(ledger: Ledger, operations: Operations) -> None:
    record(ledger, an_order(), rules=Offers())
    placeholder = run_of(ledger, UNMAPPED).id
    dry = operations.replay(placeholder, actor=ANN, dry_run=True)
    assert (dry.result, len(dry.calls)) == (PLANNED, 5)
    assert list(states(ledger)) == [UNMAPPED]
    replayed = operations.replay(placeholder, actor=ANN)
    assert (replayed.result, replayed.calls) == (PLANNED, dry.calls)
    assert replayed.ready == (run_of(ledger, SEAT).id,)
    assert states(ledger) == {UNMAPPED: ("cancelled", "superseded"), SEAT: ("pending", None)}
    assert {row.actor for row in rows(ledger, events)[-2:]} == {ANN}
    assert operations.replay(placeholder, actor=ANN).result == NOTHING


def test_replay_says_why_nothing_changes_when_there_is_still_no_offer(
    ledger: Ledger, operations: Operations, offers_file: Path
) -> None:
    offers_file.write_text("")
    record(ledger, an_order(), rules=Offers())
    replayed = operations.replay(run_of(ledger, UNMAPPED).id, actor=ANN)
    assert (replayed.result, "offers file" in replayed.message) == (NOTHING, True)


def test_placeholder_stays_done_by_hand_when_it_is_replayed(ledger: Ledger, operations: Operations) -> None:
    record(ledger, an_order(), rules=Offers())
    placeholder = run_of(ledger, UNMAPPED).id
    operations.resolve(placeholder, actor=ANN, note="gave access by hand")
    assert operations.replay(placeholder, actor=ANN).result == NOTHING
    assert list(states(ledger)) == [UNMAPPED]


def test_replay_of_a_placeholder_fails_when_the_offers_are_broken(
    ledger: Ledger, operations: Operations, offers_file: Path
) -> None:
    record(ledger, an_order(), rules=Offers())
    offers_file.write_text("nonsense")
    with pytest.raises(OffersError):
        operations.replay(run_of(ledger, UNMAPPED).id, actor=ANN)
    assert list(states(ledger)) == [UNMAPPED]


# Resolve


@pytest.mark.parametrize("state", [RunState.PENDING, RunState.WAITING, RunState.FAILED, RunState.REVIEW])
def test_run_has_succeeded_with_its_note_when_it_is_resolved(
    ledger: Ledger, operations: Operations, seat: str, state: RunState
) -> None:
    put_run(ledger, SEAT, state)
    before = contents(ledger)
    assert operations.resolve(seat, actor=ANN, note="x", dry_run=True).startswith("would resolve")
    assert contents(ledger) == before
    operations.resolve(seat, actor=ANN, note="by hand " * 100, result_id="7001")
    row = run_of(ledger, SEAT)
    assert (row.state, row.reason, row.result_id, row.finished_at) == ("succeeded", "done_by_hand", "7001", NOW)
    assert (row.next_attempt_at, len(row.note)) == (None, 500)
    event = rows(ledger, events)[-1]
    assert (event.kind, event.actor, event.detail) == (
        "run_resolved",
        ANN,
        {"from": str(state), "reason": None, "result_id": "7001"},
    )


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.SUCCEEDED, RunState.CANCELLED])
def test_resolve_is_refused_when_the_run_is_running_or_finished(
    ledger: Ledger, operations: Operations, seat: str, state: RunState
) -> None:
    put_run(ledger, SEAT, state)
    with pytest.raises(IllegalTransitionError, match=f"{seat} (is|has) {state} and cannot be resolved"):
        operations.resolve(seat, actor=ANN, note="x")


def test_revocation_is_opened_when_a_resolved_run_was_to_be_cancelled(
    ledger: Ledger, operations: Operations, clock: Clock, seat: str
) -> None:
    open_effect(ledger, SEAT, outcome="unknown")
    put_run(ledger, SEAT, RunState.REVIEW)
    record(ledger, an_order(payment=Payment.REFUNDED), now=clock.advance(minutes=1))
    operations.resolve(seat, actor=ANN, note="it was made", result_id="7001")
    assert states(ledger) == {
        SEAT: ("succeeded", "done_by_hand"),
        f"{SEAT}/revoke": ("review", "refunded_after_provisioning"),
    }


# Cancel


@pytest.mark.parametrize("state", [RunState.PENDING, RunState.WAITING, RunState.FAILED, RunState.REVIEW])
def test_run_is_cancelled_by_the_operator_when_nothing_took_effect(
    ledger: Ledger, operations: Operations, seat: str, state: RunState
) -> None:
    put_run(ledger, SEAT, state)
    before = contents(ledger)
    assert operations.cancel(seat, actor=ANN, dry_run=True).startswith("would cancel")
    assert contents(ledger) == before
    operations.cancel(seat, actor=ANN, reason="bought twice")
    row = run_of(ledger, SEAT)
    assert (row.state, row.reason, row.cancelled_by) == ("cancelled", "cancelled_by_operator", "operator")
    event = rows(ledger, events)[-1]
    assert (event.kind, event.actor, event.reason) == ("run_cancelled", ANN, "bought twice")


@pytest.mark.parametrize("state", [RunState.RUNNING, RunState.SUCCEEDED, RunState.CANCELLED])
def test_cancel_is_refused_when_the_run_is_running_or_finished(
    ledger: Ledger, operations: Operations, seat: str, state: RunState
) -> None:
    put_run(ledger, SEAT, state)
    with pytest.raises(IllegalTransitionError, match=f"(is|has) {state} and cannot be cancelled") as caught:
        operations.cancel(seat, actor=ANN)
    assert ("Try again when it has ended" in str(caught.value)) is (state is RunState.RUNNING)


def test_older_order_is_provisioned_when_the_operator_replays_its_review(
    ledger: Ledger, operations: Operations
) -> None:
    record(ledger, an_order(created_at=START - timedelta(days=3)))
    assert operations.replay(run_of(ledger, SEAT).id, actor=ANN).result == REPLAYED
    record(ledger, an_order(created_at=START - timedelta(days=3)), now=NOW + timedelta(minutes=1))
    assert states(ledger) == {SEAT: ("pending", None)}
