from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.workflows.fakes.storefront import START, a_line, an_order, apply, known, offers
from worker.ledger.states import OrderState, RunState
from worker.reasons import Reason
from worker.sources.order import Order, Payment
from workflows.planning.model import (
    REVOCATION,
    Cancel,
    Create,
    KnownRun,
    Plan,
    RequestCancel,
    Revive,
    Situation,
    WithdrawCancel,
)
from workflows.planning.offers import Offers
from workflows.planning.planner import plan

PAID_BEFORE = Situation(seen_before=True, paid_before=True, start_at=START)
UNPAID_BEFORE = Situation(seen_before=True, paid_before=False, start_at=START)
RUN = "run 1107/buyer/501"
KEY = "studiocart/1109/1107/buyer/501"

BEFORE = {Payment.CANCELLED: Reason.CANCELLED_BY_SOURCE, Payment.REFUNDED: Reason.REFUNDED_BY_SOURCE}
AFTER = {Payment.CANCELLED: Reason.CANCELLED_AFTER_PROVISIONING, Payment.REFUNDED: Reason.REFUNDED_AFTER_PROVISIONING}


def look(payment: Payment, runs: list[KnownRun], seen: Situation = PAID_BEFORE) -> Plan:
    return plan(an_order(payment=payment), offers(), runs, seen)


def replay_history(payments: list[Payment], runs: list[KnownRun]) -> list[KnownRun]:
    """The runs after a series of looks, each of which finds the order in another state."""
    before = Payment.PAID
    for payment in payments:
        seen = Situation(seen_before=True, paid_before=before is Payment.PAID, start_at=START)
        runs = apply(look(payment, runs, seen), runs)
        before = payment
    return runs


@pytest.mark.parametrize("payment", list(BEFORE))
@pytest.mark.parametrize("state", [RunState.PENDING, RunState.WAITING, RunState.FAILED, RunState.REVIEW])
def test_run_is_cancelled_by_the_source_when_nothing_has_taken_effect(payment: Payment, state: RunState) -> None:
    found = look(payment, [known(state=state)])
    assert found.actions == (Cancel(RUN, BEFORE[payment], by="source"),)
    assert (found.state, found.reason) == (OrderState.CANCELLED, BEFORE[payment])


@pytest.mark.parametrize("payment", list(BEFORE))
def test_placeholder_is_cancelled_when_the_order_is(payment: Payment) -> None:
    found = look(payment, [known("1107/buyer/unmapped", RunState.REVIEW)])
    assert found.actions == (Cancel("run 1107/buyer/unmapped", BEFORE[payment]),)


@pytest.mark.parametrize("payment", list(BEFORE))
@pytest.mark.parametrize(
    "run", [known(state=RunState.RUNNING), known(state=RunState.WAITING, effect_open=True)], ids=["running", "open"]
)
def test_cancellation_waits_for_the_lookup_when_the_effect_is_open(payment: Payment, run: KnownRun) -> None:
    found = look(payment, [run])
    assert found.actions == (RequestCancel(RUN, BEFORE[payment]),)
    assert look(payment, apply(found, [run])).actions == ()


@pytest.mark.parametrize("payment", list(AFTER))
def test_revocation_is_opened_and_the_run_left_alone_when_it_has_succeeded(payment: Payment) -> None:
    run = known(state=RunState.SUCCEEDED)
    found = look(payment, [run])
    assert found.actions == (
        Create(
            key=f"{KEY}/revoke",
            workflow=REVOCATION,
            line_id="1107",
            seat_id="buyer",
            title=run.title,
            state=RunState.REVIEW,
            reason=AFTER[payment],
            learner=run.learner,
            grant=run.grant,
            parent_id=run.id,
        ),
    )
    assert look(payment, apply(found, [run]), UNPAID_BEFORE).actions == ()


def test_run_that_never_was_stays_away_when_an_order_is_first_seen_cancelled() -> None:
    found = plan(an_order(payment=Payment.CANCELLED), offers(), [], Situation(start_at=START))
    assert (found.state, found.actions) == (OrderState.CANCELLED, ())


@pytest.mark.parametrize("payment", list(BEFORE))
def test_run_returns_to_pending_when_the_order_is_paid_again(payment: Payment) -> None:
    runs = replay_history([payment, Payment.WAITING], [known()])
    assert runs[0].state is RunState.CANCELLED
    found = look(Payment.PAID, runs, UNPAID_BEFORE)
    assert [(type(action), getattr(action, "reason", "")) for action in found.actions] == [(Revive, None)]
    (revived,) = apply(found, runs)
    assert (revived.state, revived.grant) == (RunState.PENDING, known().grant)


def test_cancellation_is_withdrawn_when_the_order_is_paid_again_before_it_was_carried_out() -> None:
    run = known(state=RunState.WAITING, effect_open=True, cancel_reason="refunded_by_source")
    assert look(Payment.PAID, [run], UNPAID_BEFORE).actions == (WithdrawCancel(RUN),)


def test_run_goes_to_review_when_the_operator_cancelled_it_and_it_is_paid_again() -> None:
    run = known(state=RunState.CANCELLED, cancelled_by="operator")
    assert look(Payment.PAID, [run], PAID_BEFORE).actions == ()
    assert look(Payment.WAITING, [run], PAID_BEFORE).actions == ()
    runs = replay_history([Payment.CANCELLED, Payment.PAID], [run])
    assert [(run.state, run.reason) for run in runs] == [(RunState.REVIEW, Reason.PAID_AFTER_CANCEL)]
    assert look(Payment.PAID, runs).actions == ()


def test_operators_cancellation_outlives_the_sources_when_the_order_is_paid_a_third_time() -> None:
    run = known(state=RunState.CANCELLED, cancelled_by="operator")
    history = [Payment.CANCELLED, Payment.PAID, Payment.CANCELLED, Payment.PAID]
    runs = replay_history(history, [run])
    assert [(run.state, run.reason) for run in runs] == [(RunState.REVIEW, Reason.PAID_AFTER_CANCEL)]


def test_placeholder_goes_to_review_when_the_operator_cancelled_it_and_it_is_paid_again() -> None:
    run = known("1107/buyer/unmapped", RunState.CANCELLED, cancelled_by="operator")
    found = plan(an_order(), Offers(), [run], UNPAID_BEFORE)
    runs = apply(found, [run])
    assert [(run.state, run.reason) for run in runs] == [(RunState.REVIEW, Reason.PAID_AFTER_CANCEL)]
    found = plan(an_order(), offers(), runs, PAID_BEFORE)
    assert [(run.state, run.reason) for run in apply(found, runs)] == [
        (RunState.CANCELLED, Reason.SUPERSEDED),
        (RunState.REVIEW, Reason.PAID_AFTER_CANCEL),
    ]


def test_seat_goes_to_review_when_the_operator_cancelled_its_placeholder_and_it_is_paid_with_an_offer() -> None:
    run = known("1107/buyer/unmapped", RunState.CANCELLED, cancelled_by="operator")
    assert look(Payment.PAID, [run]).actions == ()
    runs = replay_history([Payment.CANCELLED, Payment.PAID], [run])
    assert (runs[-1].key, runs[-1].state, runs[-1].reason) == (KEY, RunState.REVIEW, Reason.PAID_AFTER_CANCEL)
    assert look(Payment.PAID, runs).actions == ()


def test_placeholder_comes_back_when_the_source_cancelled_it_and_it_is_paid_again() -> None:
    first = plan(an_order(quantity=2), offers(), [], Situation(start_at=START))
    runs = apply(first, [])
    cancelled = apply(plan(an_order(quantity=2, payment=Payment.CANCELLED), offers(), runs, PAID_BEFORE), runs)
    assert {run.state for run in cancelled} == {RunState.CANCELLED}
    found = plan(an_order(quantity=2), offers(), cancelled, UNPAID_BEFORE)
    assert [run.state for run in apply(found, cancelled)] == [RunState.PENDING, RunState.REVIEW]


# Revocations


def test_revocation_is_settled_when_the_order_is_paid_again_and_reopened_when_it_is_cancelled_again() -> None:
    runs = replay_history([Payment.REFUNDED], [known(state=RunState.SUCCEEDED)])
    settled = replay_history([Payment.PAID], runs)
    assert (settled[1].state, settled[1].reason) == (RunState.CANCELLED, Reason.SETTLED_BY_SOURCE)
    reopened = replay_history([Payment.CANCELLED], settled)
    assert (reopened[1].state, reopened[1].reason) == (RunState.REVIEW, Reason.CANCELLED_AFTER_PROVISIONING)
    assert [run.state for run in (runs[0], settled[0], reopened[0])] == [RunState.SUCCEEDED] * 3


@pytest.mark.parametrize("payment", list(AFTER))
def test_revocation_stays_closed_when_the_operator_cancelled_it_and_the_order_is_looked_at_again(
    payment: Payment,
) -> None:
    closed = known("1107/buyer/501/revoke", RunState.CANCELLED, workflow=REVOCATION, cancelled_by="operator")
    assert look(payment, [known(state=RunState.SUCCEEDED), closed], UNPAID_BEFORE).actions == ()


@pytest.mark.parametrize("payment", list(AFTER))
def test_revocation_is_asked_again_when_the_order_was_paid_since_the_operator_cancelled_it(payment: Payment) -> None:
    closed = known("1107/buyer/501/revoke", RunState.CANCELLED, workflow=REVOCATION, cancelled_by="operator")
    found = look(payment, [known(state=RunState.SUCCEEDED), closed], PAID_BEFORE)
    assert [(type(action), getattr(action, "reason", "")) for action in found.actions] == [(Revive, AFTER[payment])]


def test_another_question_about_the_run_stays_open_when_the_order_is_paid_again() -> None:
    doubled = known("1107/buyer/501/duplicate/9", RunState.REVIEW, workflow=REVOCATION, reason=Reason.DUPLICATE_EFFECT)
    assert look(Payment.PAID, [known(state=RunState.SUCCEEDED), doubled], UNPAID_BEFORE).actions == ()


def test_questions_about_effects_stay_open_when_the_order_is_cancelled() -> None:
    doubled = known("1107/buyer/501/duplicate/9", RunState.REVIEW, workflow=REVOCATION, reason=Reason.DUPLICATE_EFFECT)
    found = look(Payment.CANCELLED, [known(state=RunState.CANCELLED, cancelled_by="source"), doubled], UNPAID_BEFORE)
    assert found.actions == ()


# Seats that are removed


def two_lines() -> Order:
    return an_order(lines=[a_line("1107"), a_line("1130")])


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (RunState.PENDING, Cancel(RUN, Reason.REMOVED_FROM_ORDER)),
        (RunState.RUNNING, RequestCancel(RUN, Reason.REMOVED_FROM_ORDER)),
    ],
)
def test_removed_seat_is_cancelled_when_nothing_has_taken_effect(
    state: RunState, expected: Cancel | RequestCancel
) -> None:
    found = plan(an_order(lines=[a_line("1130")]), offers(), [known(state=state)], PAID_BEFORE)
    assert expected in found.actions


def test_removed_seat_is_a_revocation_when_it_has_succeeded() -> None:
    runs = [known(state=RunState.SUCCEEDED)]
    gone = plan(an_order(lines=[]), offers(), runs, PAID_BEFORE)
    runs = apply(gone, runs)
    assert (runs[1].reason, runs[1].key) == (Reason.REMOVED_AFTER_PROVISIONING, f"{KEY}/revoke")
    back = apply(plan(two_lines(), offers(), runs, PAID_BEFORE), runs)
    assert (back[1].state, back[1].reason) == (RunState.CANCELLED, Reason.SETTLED_BY_SOURCE)


def test_removed_seat_is_revived_when_it_comes_back() -> None:
    runs = [known()]
    runs = apply(plan(an_order(lines=[a_line("1130")]), offers(), runs, PAID_BEFORE), runs)
    assert runs[0].state is RunState.CANCELLED
    runs = apply(plan(two_lines(), offers(), runs, PAID_BEFORE), runs)
    assert runs[0].state is RunState.PENDING


def test_nothing_is_taken_as_removed_when_the_source_did_not_send_its_lines() -> None:
    found = plan(an_order(lines=[], lines_known=False), offers(), [known()], PAID_BEFORE)
    assert found.actions == ()


def test_nameless_seats_are_cancelled_when_the_quantity_shrinks() -> None:
    runs = apply(plan(an_order(quantity=3), offers(), [], Situation(start_at=START)), [])
    runs = apply(plan(an_order(quantity=2), offers(), runs, PAID_BEFORE), runs)
    assert [(run.seat_id, run.state) for run in runs] == [
        ("buyer", RunState.PENDING),
        ("seat-2", RunState.REVIEW),
        ("seat-3", RunState.CANCELLED),
    ]
    runs = apply(plan(an_order(quantity=3), offers(), runs, PAID_BEFORE), runs)
    assert (runs[2].state, runs[2].reason) == (RunState.REVIEW, Reason.UNNAMED_SEAT)


def test_removed_seats_revocation_stays_closed_when_the_operator_cancelled_it() -> None:
    closed = known("1107/buyer/501/revoke", RunState.CANCELLED, workflow=REVOCATION, cancelled_by="operator")
    runs = [known(state=RunState.SUCCEEDED), closed]
    assert plan(an_order(lines=[]), offers(), runs, PAID_BEFORE).actions == ()


def test_order_is_a_question_when_it_is_paid_again_after_its_access_was_taken_back() -> None:
    answered = known("1107/buyer/501/revoke", RunState.SUCCEEDED, workflow=REVOCATION, reason=Reason.DONE_BY_HAND)
    runs = [known(state=RunState.SUCCEEDED), answered]
    [asked] = look(Payment.PAID, runs, UNPAID_BEFORE).actions
    assert isinstance(asked, Create)
    assert (asked.key.rpartition("/")[2], asked.reason) == ("regrant", Reason.PAID_AFTER_REVOCATION)
    assert look(Payment.PAID, runs, PAID_BEFORE).actions == ()


def test_access_that_was_given_again_is_asked_about_when_the_refund_comes_after_a_while_unpaid() -> None:
    answered: dict[str, Any] = {"workflow": REVOCATION, "reason": Reason.DONE_BY_HAND}
    runs = [
        known(state=RunState.SUCCEEDED),
        known("1107/buyer/501/revoke", RunState.SUCCEEDED, finished_at=START, **answered),
        known("1107/buyer/501/regrant", RunState.SUCCEEDED, finished_at=START + timedelta(days=1), **answered),
    ]
    [asked] = look(Payment.REFUNDED, runs, UNPAID_BEFORE).actions
    assert isinstance(asked, Create)
    assert asked.key.endswith("/revoke-2")
    assert look(Payment.PAID, runs, UNPAID_BEFORE).actions == ()  # it is given already


def test_access_that_is_owed_is_asked_about_once_more_when_a_second_refund_came_to_nothing() -> None:
    runs = [
        known(state=RunState.SUCCEEDED),
        known("1107/buyer/501/revoke", RunState.SUCCEEDED, workflow=REVOCATION, reason=Reason.DONE_BY_HAND),
    ]
    for payment, before in ((Payment.PAID, UNPAID_BEFORE), (Payment.REFUNDED, PAID_BEFORE)):
        runs = apply(look(payment, runs, before), runs)
    states = {run.key.rpartition("/")[2]: run.state for run in runs}
    assert (states["regrant"], states["revoke-2"]) == (RunState.CANCELLED, RunState.REVIEW)
    runs = apply(look(Payment.PAID, runs, UNPAID_BEFORE), runs)
    states = {run.key.rpartition("/")[2]: run.state for run in runs}
    assert (states["regrant-2"], states["revoke-2"]) == (RunState.REVIEW, RunState.CANCELLED)
    assert look(Payment.PAID, runs, UNPAID_BEFORE).actions == ()


def test_access_is_asked_about_anew_when_the_order_is_refunded_a_second_time() -> None:
    answered = known("1107/buyer/501/revoke", RunState.SUCCEEDED, workflow=REVOCATION, reason=Reason.DONE_BY_HAND)
    runs = [known(state=RunState.SUCCEEDED), answered]
    [asked] = look(Payment.REFUNDED, runs, PAID_BEFORE).actions
    assert isinstance(asked, Create)
    assert (asked.key.rpartition("/")[2], asked.reason) == ("revoke-2", Reason.REFUNDED_AFTER_PROVISIONING)
    assert look(Payment.REFUNDED, runs, UNPAID_BEFORE).actions == ()
