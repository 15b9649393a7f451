"""Frontcore's participants: who waits and why, before their run is planned and after."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.workflows.fakes.frontcore_orders import (
    CANCELLED,
    CANCELLED_DATE,
    DONE,
    DUE,
    ONE,
    PENDING,
    REPLACED,
    REVIEW,
    SUCCEEDED,
    WAITING_LIST,
    Operator,
    a_course_line,
    a_course_order,
    a_place,
    a_user,
    one,
)
from tests.unit.workflows.fakes.learningcart import KEY, FakeLearningCart, a_run, an_executor, api_error, work
from tests.unit.workflows.fakes.storefront import JANE, Clock, a_line, an_order, record, states
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.reasons import Reason
from worker.sources.order import Seat

# Who waits, and until when


@pytest.mark.parametrize(
    ("fault", "reason", "word"),
    [
        (WAITING_LIST, Reason.WAITING_LIST, "held"),
        (CANCELLED_DATE, Reason.COURSE_CANCELLED, "held"),
        ({"user": a_user(1, email="")}, Reason.MISSING_EMAIL, "unnamed"),
        ({"user": a_user(1, email="kari at home")}, Reason.INVALID_EMAIL, "unnamed"),
        ({"user": a_user(1, email="kari2@example.test")}, Reason.SHARED_EMAIL, "held"),
    ],
)
def test_faulty_seat_waits_and_the_good_one_goes_through_when_both_are_in_an_order(
    operator: Operator, fault: dict[str, Any], reason: Reason, word: str
) -> None:
    place = {key: value for key, value in fault.items() if key != "user"}
    good = a_course_line(501, places=[a_place(2, 2)])
    bad = a_course_line(places=[a_place(1, 1, **place)], users=[fault.get("user", a_user(1))])
    states = operator.look(a_course_order(bad, good))
    assert states[f"{ONE}/{word}"] == (REVIEW, reason)
    if reason is Reason.SHARED_EMAIL:
        assert states["501/participant-2-user-2/held"] == (REVIEW, reason)
    else:
        assert states["501/participant-2-user-2/601"] == DUE
    mended = a_course_order(a_course_line(places=[a_place(1, 1)]), good)
    states = operator.look(mended)
    assert states[f"{ONE}/{word}"] == REPLACED
    assert (states[f"{ONE}/601"], states["501/participant-2-user-2/601"]) == (DUE, DUE)


def test_moved_participant_is_provisioned_when_the_cancelled_date_is_left(operator: Operator) -> None:
    operator.look(one(**CANCELLED_DATE))
    assert operator.look(one(coursedate_id=10, **CANCELLED_DATE))[f"{ONE}/601"] == DUE


def test_review_tells_the_new_cause_when_one_fault_takes_the_place_of_another(operator: Operator) -> None:
    assert operator.look(one(user=a_user(1, email=""))) == {f"{ONE}/unnamed": (REVIEW, Reason.MISSING_EMAIL)}
    assert operator.look(one(user=a_user(1, email="x"))) == {f"{ONE}/unnamed": (REVIEW, Reason.INVALID_EMAIL)}
    states = operator.look(one(**WAITING_LIST))
    assert states == {f"{ONE}/unnamed": REPLACED, f"{ONE}/held": (REVIEW, Reason.WAITING_LIST)}
    assert operator.look(one(**CANCELLED_DATE))[f"{ONE}/held"] == (REVIEW, Reason.COURSE_CANCELLED)


def test_review_stays_closed_when_the_operator_gave_access_while_the_seat_was_held(operator: Operator) -> None:
    operator.look(one(**WAITING_LIST))
    operator.set(f"{ONE}/held", state=SUCCEEDED, reason=Reason.DONE_BY_HAND)
    assert operator.look(one()) == {f"{ONE}/held": (SUCCEEDED, Reason.DONE_BY_HAND)}


# A hold that comes after planning


@pytest.mark.parametrize(
    ("fault", "reason", "word"),
    [
        (WAITING_LIST, Reason.WAITING_LIST, "held"),
        (CANCELLED_DATE, Reason.COURSE_CANCELLED, "held"),
        ({"user": a_user(1, email="kari at home")}, Reason.INVALID_EMAIL, "unnamed"),
    ],
)
@pytest.mark.parametrize("state", [PENDING, RunState.WAITING, RunState.FAILED])
def test_run_goes_no_further_when_its_seat_is_held_before_the_effect(
    operator: Operator, state: RunState, fault: dict[str, Any], reason: Reason, word: str
) -> None:
    operator.look(one())
    operator.set(f"{ONE}/601", state=state, fence=1)
    assert operator.look(one(**fault)) == {f"{ONE}/601": (CANCELLED, reason), f"{ONE}/{word}": (REVIEW, reason)}
    assert operator.look(one()) == {f"{ONE}/601": DUE, f"{ONE}/{word}": REPLACED}


def test_planned_learner_stays_when_the_source_merely_leaves_the_email_out(operator: Operator) -> None:
    operator.look(one())
    assert operator.look(one(user=a_user(1, email=None))) == {f"{ONE}/601": DUE}


def test_lookup_decides_when_the_effect_of_a_held_seat_is_open(operator: Operator) -> None:
    operator.look(one())
    operator.set(f"{ONE}/601", state=RunState.WAITING, effect_open=True, fence=1)
    operator.look(one(**WAITING_LIST))
    assert operator.last is not None
    assert operator.last.look_again
    assert [run.cancel_requested for run in operator.runs] == [True]
    operator.set(f"{ONE}/601", state=CANCELLED, reason=Reason.WAITING_LIST, cancelled_by="source", effect_open=False)
    assert operator.look(one(**WAITING_LIST))[f"{ONE}/held"] == (REVIEW, Reason.WAITING_LIST)
    assert operator.look(one()) == {f"{ONE}/601": DUE, f"{ONE}/held": REPLACED}


def test_cancellation_is_withdrawn_when_the_hold_is_gone_before_the_lookup(operator: Operator) -> None:
    operator.look(one())
    operator.set(f"{ONE}/601", state=RunState.WAITING, effect_open=True, fence=1)
    operator.look(one(**WAITING_LIST))
    operator.look(one())
    assert [run.cancel_requested for run in operator.runs] == [False]


def test_lost_place_is_a_question_when_access_was_given_before(operator: Operator) -> None:
    operator.look(one())
    operator.succeed(f"{ONE}/601")
    lost = (REVIEW, Reason.PLACE_LOST_AFTER_PROVISIONING)
    assert operator.look(one(**CANCELLED_DATE)) == {f"{ONE}/601": DONE, f"{ONE}/601/revoke": lost}
    moved = operator.look(one(coursedate_id=10))
    assert moved == {f"{ONE}/601": DONE, f"{ONE}/601/revoke": (CANCELLED, Reason.SETTLED_BY_SOURCE)}


def test_access_stays_unquestioned_when_a_provisioned_learner_s_email_is_shared_later(operator: Operator) -> None:
    operator.look(one())
    operator.succeed(f"{ONE}/601")
    places, users = [a_place(1, 1), a_place(2, 2)], [a_user(1), a_user(2, email="kari1@example.test")]
    states = operator.look(a_course_order(a_course_line(places=places, users=users)))
    assert states == {f"{ONE}/601": DONE, "500/participant-2-user-2/held": (REVIEW, Reason.SHARED_EMAIL)}


def test_operator_s_word_stands_when_he_cancelled_the_run_of_a_held_seat(operator: Operator) -> None:
    operator.look(one())
    own = (CANCELLED, Reason.CANCELLED_BY_OPERATOR)
    operator.set(f"{ONE}/601", state=CANCELLED, cancelled_by="operator", reason=Reason.CANCELLED_BY_OPERATOR)
    assert operator.look(one(**WAITING_LIST)) == {f"{ONE}/601": own}
    asked = {f"{ONE}/601": (REVIEW, Reason.PAID_AFTER_CANCEL)}
    assert operator.look(one(**WAITING_LIST), paid_before=False) == asked
    assert operator.look(one(**WAITING_LIST)) == asked


def test_nothing_is_sent_when_the_operator_dealt_with_a_seat_that_was_stopped(operator: Operator) -> None:
    operator.look(one())
    operator.look(one(**WAITING_LIST))
    operator.set(f"{ONE}/held", state=SUCCEEDED, reason=Reason.DONE_BY_HAND)
    stopped = (CANCELLED, Reason.WAITING_LIST)
    assert operator.look(one()) == {f"{ONE}/601": stopped, f"{ONE}/held": (SUCCEEDED, Reason.DONE_BY_HAND)}
    assert operator.look(one(), paid_before=False)[f"{ONE}/601"] == (REVIEW, Reason.PAID_AFTER_CANCEL)


def test_one_order_is_made_when_the_seat_is_held_in_the_middle_of_a_run_and_confirmed_later(
    ledger: Ledger, clock: Clock
) -> None:
    held = an_order(lines=[a_line(seats=[Seat(id="buyer", learner=JANE, hold="waiting_list")])])
    run_id = a_run(ledger)
    learningcart = FakeLearningCart()

    def put_on_waiting_list(method: str) -> None:
        if method == "add_customer":
            record(ledger, held)

    learningcart.during = put_on_waiting_list
    executor = an_executor(ledger, learningcart, clock)
    work(executor, run_id)
    assert learningcart.made == []
    assert states(ledger) == {KEY: ("cancelled", "waiting_list")}
    record(ledger, held)
    assert states(ledger) == {KEY: ("cancelled", "waiting_list"), "1109/1107/buyer/held": ("review", "waiting_list")}
    learningcart.during = lambda _method: None
    assert record(ledger, an_order()).ready == [run_id]
    work(executor, run_id)
    assert len(learningcart.made) == 1
    assert states(ledger) == {KEY: ("succeeded", None), "1109/1107/buyer/held": ("cancelled", "superseded")}


@pytest.mark.parametrize("hold", ["waiting_list", "shared_email"])
def test_question_fits_the_hold_when_the_effect_turns_out_to_have_taken_place(
    ledger: Ledger, clock: Clock, hold: str
) -> None:
    held = an_order(lines=[a_line(seats=[Seat(id="buyer", learner=JANE, hold=hold)])])
    run_id = a_run(ledger)
    learningcart = FakeLearningCart(after={"add_comp_order": [api_error(unknown=True)]})
    executor = an_executor(ledger, learningcart, clock)
    work(executor, run_id)
    record(ledger, held)
    clock.advance(minutes=5)
    work(executor, run_id)
    assert len(learningcart.made) == 1
    record(ledger, held, now=clock.now)
    asked = {f"{KEY}/revoke": ("review", "place_lost_after_provisioning")} if hold == "waiting_list" else {}
    assert states(ledger) == {KEY: ("succeeded", None)} | asked
