"""Seats that are given to another address, and what the address of before keeps."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.in_process.workflows.operations.test_seats import KIM
from tests.unit.workflows.fakes.operations import ANN, SEAT
from tests.unit.workflows.fakes.storefront import JANE, NOW, an_order, put_run, record, run_of, states
from worker.errors import IllegalTransitionError
from worker.ledger.learners.erasure import find_person, forget
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.sources.order import Payment
from workflows.operations.replay import Operations
from workflows.operations.seats import NAMED, NOTHING, Person, SeatNaming


@pytest.fixture
def seats(operations: Operations) -> SeatNaming:
    return operations.seats


def test_whose_access_it_was_is_asked_about_when_the_order_is_refunded_before_another_is_given_it(
    ledger: Ledger, seats: SeatNaming, operations: Operations
) -> None:
    """The question named the new address, which has no access, and nobody was asked about the old one."""
    record(ledger, an_order())
    put_run(ledger, SEAT, RunState.SUCCEEDED, result_id="90001")
    run_id = run_of(ledger, SEAT).id
    seats.name(run_id, KIM, actor=ANN, again=True, reason="moved")
    with pytest.raises(IllegalTransitionError, match=f"seats name {run_id} --email jane@example.test"):
        operations.cancel(run_id, actor=ANN)
    record(ledger, an_order(payment=Payment.REFUNDED), now=NOW + timedelta(minutes=5))
    question = run_of(ledger, f"{SEAT}/revoke")
    assert (question.state, question.email, question.result_id) == ("review", "jane@example.test", "90001")
    assert (run_of(ledger, SEAT).email, run_of(ledger, SEAT).result_id) == (KIM.email.strip(), None)


@pytest.mark.parametrize("state", [RunState.PENDING, RunState.WAITING, RunState.FAILED])
def test_nothing_is_sent_when_a_seat_is_named_back_before_another_was_given_it(
    ledger: Ledger, seats: SeatNaming, state: RunState
) -> None:
    """It was a second comped order for who had one."""
    record(ledger, an_order())
    put_run(ledger, SEAT, RunState.SUCCEEDED, result_id="90001")
    run_id = run_of(ledger, SEAT).id
    seats.name(run_id, KIM, actor=ANN, again=True, reason="moved")
    put_run(ledger, SEAT, state)
    jane = Person(JANE.email, JANE.first_name, JANE.last_name)
    for dry_run in (True, False):
        named = seats.name(run_id, jane, actor=ANN, dry_run=dry_run)
        assert (named.result, named.calls, named.ready, "already" in named.message) == (NAMED, (), (), True)
    run = run_of(ledger, SEAT)
    assert (run.state, run.email, run.result_id) == ("succeeded", JANE.email, "90001")
    assert seats.name(run_id, jane, actor=ANN).result == NOTHING
    assert list(states(ledger)) == [SEAT]


@pytest.mark.parametrize("is_done", [False, True])
def test_the_right_address_keeps_its_seat_when_the_owner_of_the_wrong_one_is_forgotten(
    ledger: Ledger, seats: SeatNaming, is_done: bool
) -> None:
    """A stranger whose address was typed by mistake asks to be forgotten: the learner lost the access, or a question
    about the pseudonym came up.
    """
    record(ledger, an_order())
    seats.name(run_of(ledger, SEAT).id, KIM, actor=ANN)
    if is_done:
        put_run(ledger, SEAT, RunState.SUCCEEDED)
    with ledger.write() as connection:
        forget(connection, find_person(connection, JANE.email), now=NOW, actor=ANN, reason=None)
    record(ledger, an_order(), now=NOW + timedelta(minutes=5))
    record(ledger, an_order(status="complete"), now=NOW + timedelta(minutes=6))
    seats.name(run_of(ledger, SEAT).id, Person(KIM.email, "Kimberley", "Lee"), actor=ANN)
    assert states(ledger) == {SEAT: ("succeeded" if is_done else "pending", None)}
    assert run_of(ledger, SEAT).email == KIM.email.strip()
    if is_done:  # else nobody can be forgotten who waits for access
        with ledger.write() as connection:
            forget(
                connection, find_person(connection, KIM.email), now=NOW + timedelta(minutes=7), actor=ANN, reason=None
            )
        record(ledger, an_order(status="paid again"), now=NOW + timedelta(minutes=8))
        assert states(ledger) == {SEAT: ("succeeded", None)}
