"""`workflows.planning.places_before`: places that go, come back, or are moved to another course, from look to look."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.workflows.fakes.frontcore_orders import (
    CANCELLED,
    COURSE_OFFER,
    DONE,
    DUE,
    ONE,
    REVIEW,
    SETTLED,
    SUCCEEDED,
    WAITING_LIST,
    Operator,
    a_course_line,
    a_course_order,
    a_place,
    one,
)
from tests.unit.workflows.fakes.storefront import START, offers
from worker.reasons import Reason
from worker.sources.order import Order

TWO_COURSES = COURSE_OFFER + COURSE_OFFER.replace("77", "78").replace("601", "602")


@pytest.mark.parametrize("is_given", [True, False])
@pytest.mark.parametrize("is_offered", [True, False])
def test_place_is_planned_anew_when_its_source_moves_it_to_another_course(*, is_offered: bool, is_given: bool) -> None:
    operator = Operator(offers(TWO_COURSES if is_offered else COURSE_OFFER))
    operator.look(one())
    if is_given:
        operator.succeed(f"{ONE}/601")
    asked = {f"{ONE}/601/revoke": (REVIEW, Reason.REMOVED_AFTER_PROVISIONING)} if is_given else {}
    former = DONE if is_given else (CANCELLED, Reason.REMOVED_FROM_ORDER)
    now = {f"{ONE}/602": DUE} if is_offered else {f"{ONE}/unmapped": (REVIEW, Reason.UNMAPPED_PRODUCT)}
    moved = one(course_id=78)
    assert operator.look(moved) == {f"{ONE}/601": former, **asked, **now}
    left_out = one(course_id=None)
    if is_offered:
        assert operator.look(left_out) == operator.look(moved)
    back = operator.look(one())
    assert back[f"{ONE}/601"] == (DONE if is_given else DUE)
    assert not any(state is REVIEW for state, _ in back.values())
    assert all(state is CANCELLED for key, (state, _) in back.items() if key in now)


def test_place_keeps_its_plan_when_its_offer_is_edited_and_its_source_says_the_same() -> None:
    operator = Operator(offers(COURSE_OFFER))
    operator.look(one())
    operator.rules = offers(COURSE_OFFER.replace("601", "602"))
    assert operator.look(one()) == {f"{ONE}/601": DUE}
    gone = a_course_order(a_course_line(places=[a_place(2, 2)]))
    operator.look(gone)
    assert operator.look(one())[f"{ONE}/601"] == DUE


def two(*places: dict[str, Any]) -> Order:
    return a_course_order(a_course_line(places=[*places, a_place(2, 2)]))


@pytest.mark.parametrize("lost", [two(), two(a_place(1, 1, **WAITING_LIST))], ids=["removed", "waiting list"])
def test_access_is_asked_about_again_when_the_seat_is_back_after_it_was_taken(operator: Operator, lost: Order) -> None:
    taken = {"state": SUCCEEDED, "reason": Reason.DONE_BY_HAND}
    operator.look(two(a_place(1, 1)))
    operator.succeed(f"{ONE}/601")
    operator.look(lost)
    operator.set(f"{ONE}/601/revoke", **taken)
    again = (REVIEW, Reason.PAID_AFTER_REVOCATION)
    assert operator.look(two(a_place(1, 1)))[f"{ONE}/601/regrant"] == again
    gone = operator.look(lost)
    assert gone[f"{ONE}/601/regrant"] == (CANCELLED, SETTLED)
    assert f"{ONE}/601/revoke-2" not in gone
    assert operator.look(two(a_place(1, 1)))[f"{ONE}/601/regrant-2"] == again
    operator.set(f"{ONE}/601/regrant-2", **taken)
    assert operator.look(lost)[f"{ONE}/601/revoke-2"][0] is REVIEW


def test_new_enrolment_is_made_when_the_same_user_is_booked_anew_after_the_access_was_taken(
    operator: Operator,
) -> None:
    operator.look(two(a_place(1, 1)))
    operator.succeed(f"{ONE}/601")
    operator.look(two())
    operator.set(f"{ONE}/601/revoke", state=SUCCEEDED, reason=Reason.DONE_BY_HAND)
    assert operator.look(two(a_place(31, 1)))["500/participant-31-user-1/601"] == DUE


@pytest.mark.parametrize("is_given", [True, False])
def test_place_is_planned_for_the_other_course_when_it_is_moved_from_a_waiting_list(*, is_given: bool) -> None:
    operator = Operator(offers(TWO_COURSES))
    operator.look(one())
    if is_given:
        operator.succeed(f"{ONE}/601")
    operator.look(one(**WAITING_LIST))
    operator.look(one(course_id=78, **WAITING_LIST))
    states = operator.look(one(course_id=78))
    assert states[f"{ONE}/602"] == DUE
    assert states[f"{ONE}/601"] == (DONE if is_given else (CANCELLED, Reason.REMOVED_FROM_ORDER))


def test_access_is_asked_about_again_when_the_place_is_moved_back_after_it_was_taken() -> None:
    operator = Operator(offers(TWO_COURSES))
    operator.look(one())
    operator.succeed(f"{ONE}/601")
    operator.look(one(course_id=78))
    operator.set(f"{ONE}/601/revoke", state=SUCCEEDED, reason=Reason.DONE_BY_HAND)
    back = operator.look(one())
    assert back[f"{ONE}/601/regrant"] == (REVIEW, Reason.PAID_AFTER_REVOCATION)
    assert back[f"{ONE}/602"] == (CANCELLED, Reason.REMOVED_FROM_ORDER)


def test_bundle_comes_back_whole_when_its_offer_was_edited_while_the_seat_was_gone() -> None:
    operator = Operator(offers(COURSE_OFFER.replace("}]", "}, { price_id = 602 }]")))
    operator.look(two(a_place(1, 1)))
    operator.look(two())
    operator.rules = offers(COURSE_OFFER)
    back = operator.look(two(a_place(1, 1)))
    assert (back[f"{ONE}/601"], back[f"{ONE}/602"]) == (DUE, DUE)


def test_former_course_stays_taken_back_when_the_place_goes_and_comes_back() -> None:
    operator = Operator(offers(TWO_COURSES))
    for number, (order, ended) in enumerate([(one(), None), (one(course_id=78), "601"), (two(), "602")]):
        operator.look(order)
        if ended:
            operator.set(f"{ONE}/{ended}", finished_at=START + timedelta(days=number))
    back = operator.look(one(course_id=78))
    assert (back[f"{ONE}/601"], back[f"{ONE}/602"]) == ((CANCELLED, Reason.REMOVED_FROM_ORDER), DUE)


def test_person_is_asked_when_a_paid_order_shows_nothing_of_what_was_bought(operator: Operator) -> None:
    empty = a_course_line(quantity=0, currency={"title": "NOK"}, users=[])
    asked = (REVIEW, Reason.UNMAPPED_PRODUCT)
    assert operator.look(a_course_order(empty)) == {"500/seat-0/unmapped": asked}
    nothing = Operator(operator.rules)
    assert nothing.look(a_course_order()) == {"order/seat-0/unmapped": asked}
    assert nothing.look(a_course_order(lines=None)) == {"order/seat-0/unmapped": asked}
    assert nothing.look(one()) == {
        "order/seat-0/unmapped": (CANCELLED, Reason.REMOVED_FROM_ORDER),
        f"{ONE}/601": DUE,
    }
    assert nothing.look(a_course_order())[f"{ONE}/601"] == (CANCELLED, Reason.REMOVED_FROM_ORDER)
    assert Operator(operator.rules).look(a_course_order(empty, total=0)) == {}


def test_who_was_booked_anew_keeps_that_enrolment_when_the_participant_is_not_told_any_more() -> None:
    """The one whose access was taken back took its place, and nobody had access, nor was anybody asked."""
    operator = Operator(offers(COURSE_OFFER))
    operator.look(one())
    operator.succeed(f"{ONE}/601")
    other = a_course_line(places=[a_place(2, 2)])
    operator.look(a_course_order(other))
    operator.set(f"{ONE}/601/revoke", state=SUCCEEDED, reason=Reason.DONE_BY_HAND, finished_at=START)
    anew = "500/participant-3-user-1/601"
    assert operator.look(a_course_order(a_course_line(places=[a_place(2, 2), a_place(3, 1)])))[anew] == DUE
    found = operator.look(a_course_order(a_course_line(places=[a_place(2, 2), a_place(None, 1)])))
    assert found[anew] == DUE


def test_giving_access_again_is_asked_when_who_was_booked_anew_is_back_on_the_place_of_before() -> None:
    """The new booking's enrolment was cancelled with its place, and nobody was asked about the old one's."""
    operator = Operator(offers(COURSE_OFFER))
    operator.look(one())
    operator.succeed(f"{ONE}/601")
    other = a_place(2, 2)
    operator.look(a_course_order(a_course_line(places=[other])))
    operator.set(f"{ONE}/601/revoke", state=SUCCEEDED, reason=Reason.DONE_BY_HAND, finished_at=START)
    operator.look(a_course_order(a_course_line(places=[other, a_place(3, 1)])))
    back = operator.look(a_course_order(a_course_line(places=[other, a_place(1, 1)])))
    assert back["500/participant-3-user-1/601"] == (CANCELLED, Reason.REMOVED_FROM_ORDER)
    assert back[f"{ONE}/601/regrant"] == (REVIEW, Reason.PAID_AFTER_REVOCATION)
