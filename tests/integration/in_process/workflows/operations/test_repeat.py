from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.workflows.fakes.operations import ALL_STEPS, ANN, SEAT, contents, do_steps
from tests.unit.workflows.fakes.storefront import (
    NOW,
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
from worker.ledger.session import Ledger
from worker.ledger.states import RunState, StepState
from worker.ledger.tables.runs import events, steps
from worker.sources.order import Payment
from workflows.execution import late_results
from workflows.operations.replay import NOTHING, REFUSED, REPLAYED, Operations
from workflows.planning.offers import Offers


def test_finished_effect_is_repeated_under_a_new_reference_when_asked_for_with_a_reason(
    ledger: Ledger, operations: Operations, clock: Clock, seat: str
) -> None:
    do_steps(ledger)
    put_run(ledger, SEAT, RunState.SUCCEEDED, result_id="7001", finished_at=NOW)
    clock.advance(hours=1)
    replayed = operations.replay(seat, actor=ANN, from_step="add_comped_order", again=True, reason="deleted there")
    assert (replayed.result, replayed.ready, replayed.calls) == (REPLAYED, (seat,), ALL_STEPS[2:])
    row = run_of(ledger, SEAT)
    assert (row.state, row.generation, row.result_id) == ("pending", 1, None)
    assert [step.state for step in rows(ledger, steps)] == ["done", "done", "pending"]
    event = rows(ledger, events)[-1]
    assert (event.kind, event.reason) == ("run_repeated", "deleted there")
    assert event.detail == {"from_step": "add_comped_order", "generation": 1, "result_id_before": "7001"}


def test_everything_is_repeated_when_no_step_is_named(ledger: Ledger, operations: Operations, seat: str) -> None:
    do_steps(ledger)
    put_run(ledger, SEAT, RunState.SUCCEEDED)
    assert operations.replay(seat, actor=ANN, again=True, reason="all of it").calls == ALL_STEPS


@pytest.mark.parametrize("payment", [Payment.CANCELLED, Payment.REFUNDED])
def test_repeating_is_refused_when_the_order_was_taken_back_at_its_source(
    ledger: Ledger, operations: Operations, seat: str, payment: Payment
) -> None:
    """Nobody would be asked about what it gives: the question about its access is there already, or answered."""
    do_steps(ledger)
    put_run(ledger, SEAT, RunState.SUCCEEDED, result_id="7001")
    record(ledger, an_order(payment=payment), now=NOW + timedelta(minutes=1))
    before = contents(ledger)
    for dry_run in (True, False):
        refused = operations.replay(seat, actor=ANN, again=True, reason="she rang", dry_run=dry_run)
        assert (refused.result, f"is {payment} at the source" in refused.message) == (REFUSED, True)
    assert contents(ledger) == before


@pytest.mark.parametrize(("hold", "asked"), [("waiting_list", "place_lost_after_provisioning"), ("shared_email", None)])
def test_what_a_run_gave_before_is_asked_about_when_its_place_is_lost_while_it_is_repeated(
    ledger: Ledger, operations: Operations, seat: str, hold: str, asked: str | None
) -> None:
    do_steps(ledger)
    put_run(ledger, SEAT, RunState.SUCCEEDED, result_id="7001")
    operations.replay(seat, actor=ANN, again=True, reason="all of it")
    held = a_line(seats=[a_seat().model_copy(update={"hold": hold})])
    record(ledger, an_order(lines=[held]), now=NOW + timedelta(minutes=1))
    found = states(ledger)
    assert found[SEAT] == ("cancelled", hold)
    assert found.get(f"{SEAT}/revoke") == (None if asked is None else ("review", asked))


@pytest.mark.parametrize(("hold", "asked"), [("waiting_list", "place_lost_after_provisioning"), ("shared_email", None)])
def test_an_effect_that_took_place_is_asked_about_for_what_happened_when_its_seat_was_held(
    ledger: Ledger, seat: str, hold: str, asked: str | None
) -> None:
    """It was told as an order that was cancelled."""
    with ledger.write() as connection:
        late_results.open_revocation(connection, seat, hold, now=NOW)
    assert states(ledger).get(f"{SEAT}/revoke") == (None if asked is None else ("review", asked))


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_repeating_is_refused_when_no_reason_is_given(
    ledger: Ledger, operations: Operations, seat: str, reason: str | None
) -> None:
    do_steps(ledger)
    put_run(ledger, SEAT, RunState.SUCCEEDED)
    before = contents(ledger)
    assert operations.replay(seat, actor=ANN, again=True, reason=reason).result == REFUSED
    assert contents(ledger) == before


def test_repeating_is_refused_when_the_effect_may_exist_and_again_is_not_said(
    ledger: Ledger, operations: Operations, seat: str
) -> None:
    do_steps(ledger)
    put_run(ledger, SEAT, RunState.SUCCEEDED)
    assert operations.replay(seat, actor=ANN, from_step="add_comped_order").result == REFUSED
    put_run(ledger, SEAT, RunState.REVIEW)
    with ledger.write() as connection:
        connection.execute(steps.update().where(steps.c.position == 2).values(state=StepState.PENDING))
    open_effect(ledger, SEAT)
    assert operations.replay(seat, actor=ANN, from_step="add_comped_order").result == REFUSED


def test_repeating_is_refused_when_it_was_done_by_hand_and_again_is_not_said(
    ledger: Ledger, operations: Operations, seat: str
) -> None:
    put_run(ledger, SEAT, RunState.FAILED)
    operations.resolve(seat, actor=ANN, note="by hand", result_id="7001")
    replayed = operations.replay(seat, actor=ANN, from_step="add_customer")
    assert replayed.result in {REFUSED, NOTHING}
    assert run_of(ledger, SEAT).state == "succeeded"


def test_run_goes_on_from_a_step_when_nothing_from_there_on_was_done(
    ledger: Ledger, operations: Operations, seat: str
) -> None:
    do_steps(ledger, 1)
    put_run(ledger, SEAT, RunState.FAILED, result_id=None)
    replayed = operations.replay(seat, actor=ANN, from_step="add_customer_to_group")
    assert (replayed.result, replayed.calls) == (REPLAYED, ALL_STEPS[1:])
    assert run_of(ledger, SEAT).generation == 0


def test_repeating_is_refused_when_the_step_is_unknown_or_the_run_is_running(
    ledger: Ledger, operations: Operations, seat: str
) -> None:
    replayed = operations.replay(seat, actor=ANN, from_step="fly", again=True, reason="x")
    assert (replayed.result, "add_comped_order" in replayed.message) == (REFUSED, True)
    put_run(ledger, SEAT, RunState.RUNNING)
    assert operations.replay(seat, actor=ANN, again=True, reason="x").result == REFUSED
    record(ledger, an_order("1110"), rules=Offers())
    placeholder = run_of(ledger, "1110/1107/buyer/unmapped").id
    assert operations.replay(placeholder, actor=ANN, again=True, reason="x").result == REFUSED


def test_waiting_run_is_repeated_from_the_start_when_its_learner_needs_it(
    ledger: Ledger, operations: Operations, seat: str
) -> None:
    do_steps(ledger, 2)
    put_run(ledger, SEAT, RunState.WAITING)
    assert operations.replay(seat, actor=ANN, again=True, reason="x").result == REPLAYED
    assert run_of(ledger, SEAT).generation == 1
