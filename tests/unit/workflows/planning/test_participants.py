"""Frontcore's participants: who gets a run of their own, and who had one under another name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.workflows.fakes.frontcore_orders import (
    CANCELLED,
    COURSE_OFFER,
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
    an_addon_line,
    one,
)
from tests.unit.workflows.fakes.storefront import offers
from worker.ledger.states import RunState
from worker.reasons import Reason
from worker.sources.order import Seat
from workflows.planning.model import Situation

# Which offers match


def test_course_grants_once_when_a_participant_is_on_two_lines_of_it(operator: Operator) -> None:
    lines = [a_course_line(500, places=[a_place(1, 1)]), a_course_line(501, places=[a_place(1, 1), a_place(2, 2)])]
    assert operator.look(a_course_order(*lines)) == {f"{ONE}/601": DUE, "501/participant-2-user-2/601": DUE}


def test_second_line_says_why_when_it_needs_no_run(operator: Operator) -> None:
    lines = [a_course_line(500, places=[a_place(1, 1)]), a_course_line(501, places=[a_place(1, 1)])]
    operator.look(a_course_order(*lines))
    operator.succeed(f"{ONE}/601")
    assert operator.look(a_course_order(*lines)) == {f"{ONE}/601": DONE}
    assert operator.last is not None
    assert operator.last.reason is None
    operator = Operator(offers(COURSE_OFFER + '[[ignore]]\nsource="frontcore"\nproduct_id="8080"'))
    operator.look(a_course_order(an_addon_line(502, [a_place(1, 1)])))
    assert operator.last is not None
    assert operator.last.reason is Reason.IGNORED_PRODUCT


def test_line_that_is_planned_keeps_its_run_when_an_earlier_line_gains_the_participant(operator: Operator) -> None:
    second = a_course_line(501, places=[a_place(1, 1)])
    operator.look(a_course_order(second))
    operator.succeed("501/participant-1-user-1/601")
    both = a_course_order(a_course_line(500, places=[a_place(1, 1)]), second)
    assert operator.look(both) == {"501/participant-1-user-1/601": DONE}


def test_other_line_takes_over_when_the_planned_one_is_removed(operator: Operator) -> None:
    first, second = a_course_line(500, places=[a_place(1, 1)]), a_course_line(501, places=[a_place(1, 1)])
    operator.look(a_course_order(first, second))
    operator.succeed(f"{ONE}/601")
    assert operator.look(a_course_order(second)) == {f"{ONE}/601": DONE}


def test_good_line_grants_when_the_first_line_of_the_participant_is_held(operator: Operator) -> None:
    first = a_course_line(500, places=[a_place(1, 1)], quantity=-1)
    states = operator.look(a_course_order(first, a_course_line(501, places=[a_place(1, 1)])))
    assert states == {"501/participant-1-user-1/601": DUE}


def test_each_rule_grants_its_own_price_when_two_lines_of_one_course_differ() -> None:
    more = '[[offer]]\nsource="frontcore"\ncourse_id="77"\nproduct_id="8090"\ngrants=[{price_id=601},{price_id=602}]'
    operator = Operator(offers(COURSE_OFFER + more))
    lines = [
        a_course_line(500, places=[a_place(1, 1)]),
        a_course_line(501, places=[a_place(1, 1)], product_id=8090),
    ]
    assert operator.look(a_course_order(*lines)) == {f"{ONE}/601": DUE, "501/participant-1-user-1/602": DUE}


def test_nameless_seats_all_wait_when_two_lines_of_one_course_have_some(operator: Operator) -> None:
    lines = [a_course_line(line_id, places=[a_place(line_id, line_id)], quantity=2) for line_id in (500, 501)]
    states = operator.look(a_course_order(*lines))
    assert states["500/seat-2/unnamed"] == states["501/seat-2/unnamed"] == (REVIEW, Reason.UNNAMED_SEAT)


def test_product_grants_on_any_line_and_the_course_wins_when_both_are_offered() -> None:
    products = "".join(
        f'[[offer]]\nsource="frontcore"\nproduct_id="{product}"\ngrants=[{{price_id={price}}}]\n'
        for product, price in ((8079, 701), (8080, 702))
    )
    operator = Operator(offers(COURSE_OFFER + products))
    lines = [
        a_course_line(500, places=[a_place(1, 1)]),
        an_addon_line(501, [a_place(1, 1)]),
        an_addon_line(502, [a_place(1, 1)]),
    ]
    place = "participant-1-user-1"
    assert operator.look(a_course_order(*lines)) == {
        f"500/{place}/601": DUE,
        f"501/{place}/702": DUE,
        f"502/{place}/702": DUE,
    }


# Who is who


@pytest.mark.parametrize("email", ["kari.new@example.test", "KARI1@example.test"])
def test_seat_is_updated_when_the_same_user_s_email_is_corrected_before_the_effect(
    operator: Operator, email: str
) -> None:
    operator.look(one())
    assert operator.look(one(user=a_user(1, email=email))) == {f"{ONE}/601": DUE}
    assert [run.learner.email for run in operator.runs if run.learner] == [email]


def test_learner_changed_is_asked_when_the_email_is_corrected_after_the_effect(operator: Operator) -> None:
    operator.look(one())
    operator.succeed(f"{ONE}/601")
    states = operator.look(one(user=a_user(1, email="kari.new@example.test")))
    assert states == {f"{ONE}/601": DONE, f"{ONE}/601/learner": (REVIEW, Reason.LEARNER_CHANGED)}


@pytest.mark.parametrize("after", [True, False])
def test_another_user_is_a_new_seat_when_the_participant_is_replaced(operator: Operator, after: bool) -> None:
    operator.look(one())
    if after:
        operator.succeed(f"{ONE}/601")
    states = operator.look(a_course_order(a_course_line(places=[a_place(1, 2)])))
    assert states["500/participant-1-user-2/601"] == DUE
    if after:
        assert states[f"{ONE}/601"] == DONE
        assert states[f"{ONE}/601/revoke"] == (REVIEW, Reason.REMOVED_AFTER_PROVISIONING)
    else:
        assert states[f"{ONE}/601"] == (CANCELLED, Reason.REMOVED_FROM_ORDER)


@pytest.mark.parametrize("participant", [1, 31])
@pytest.mark.parametrize("after", [True, False])
def test_enrolment_is_kept_when_its_person_has_another_user_now(
    operator: Operator, participant: int, *, after: bool
) -> None:
    operator.look(one())
    if after:
        operator.succeed(f"{ONE}/601")
    merged = a_user(7, email="KARI1@example.test", firstname="Kari", lastname="NO1")
    line = a_course_line(places=[a_place(participant, 7)], users=[merged])
    assert operator.look(a_course_order(line)) == {f"{ONE}/601": DONE if after else DUE}


def test_new_enrolment_is_made_when_the_person_comes_back_with_another_user_after_the_access_was_taken(
    operator: Operator,
) -> None:
    operator.look(one())
    operator.succeed(f"{ONE}/601")
    others = a_course_line(places=[a_place(2, 2)], users=[a_user(2)])
    operator.look(a_course_order(others))
    operator.set(f"{ONE}/601/revoke", state=SUCCEEDED, reason=Reason.DONE_BY_HAND)
    again = a_user(7, email="kari1@example.test", firstname="Kari", lastname="NO1")
    back = a_course_line(places=[a_place(2, 2), a_place(31, 7)], users=[a_user(2), again])
    assert operator.look(a_course_order(back))["500/participant-31-user-7/601"] == DUE


@pytest.mark.parametrize("name", [{"lastname": "Another"}, {"firstname": "", "lastname": ""}])
def test_another_person_has_another_seat_when_they_share_the_address(operator: Operator, name: dict[str, str]) -> None:
    operator.look(one())
    other = a_user(7, email="kari1@example.test") | name
    states = operator.look(a_course_order(a_course_line(places=[a_place(1, 7)], users=[other])))
    assert states[f"{ONE}/601"] == (CANCELLED, Reason.REMOVED_FROM_ORDER)
    assert "500/participant-1-user-7/601" in states


@pytest.mark.parametrize("place", [a_place(1, 1, coursedate_id=10), a_place(31, 1, coursedate_id=10)])
@pytest.mark.parametrize("line_id", [500, 510])
def test_enrolment_is_kept_when_the_participant_moves_to_another_date_of_the_course(
    operator: Operator, place: dict[str, Any], line_id: int
) -> None:
    operator.look(one())
    operator.succeed(f"{ONE}/601")
    assert operator.look(a_course_order(a_course_line(line_id, places=[place]))) == {f"{ONE}/601": DONE}


def test_cancelled_run_is_revived_when_the_participant_returns_on_another_date(operator: Operator) -> None:
    operator.look(one())
    gone = operator.look(a_course_order(a_course_line(places=[a_place(2, 2)])))
    assert gone[f"{ONE}/601"] == (CANCELLED, Reason.REMOVED_FROM_ORDER)
    back = operator.look(a_course_order(a_course_line(places=[a_place(2, 2), a_place(31, 1, coursedate_id=10)])))
    assert back == {f"{ONE}/601": DUE, "500/participant-2-user-2/601": DUE}


def test_new_enrolment_is_made_when_the_participant_moves_to_another_course() -> None:
    other = COURSE_OFFER.replace("77", "78").replace("601", "602")
    operator = Operator(offers(COURSE_OFFER + other))
    operator.look(one())
    operator.succeed(f"{ONE}/601")
    states = operator.look(a_course_order(a_course_line(places=[a_place(31, 1, course_id=78)])))
    assert states == {
        f"{ONE}/601": DONE,
        f"{ONE}/601/revoke": (REVIEW, Reason.REMOVED_AFTER_PROVISIONING),
        "500/participant-31-user-1/602": DUE,
    }


PRODUCT_TOO = COURSE_OFFER + '[[offer]]\nsource="frontcore"\nproduct_id="8079"\ngrants=[{price_id=701}]'


@pytest.mark.parametrize("state", [PENDING, RunState.RUNNING, SUCCEEDED])
def test_first_seat_keeps_its_run_when_participants_become_known_later(state: RunState) -> None:
    operator = Operator(offers(PRODUCT_TOO))
    operator.look(a_course_order(a_course_line(users=[a_user(1)])))
    operator.set("500/user-1/701", state=state, fence=1)
    assert operator.look(one()) == {"500/user-1/701": (state, None)}
    assert operator.look(a_course_order(a_course_line(users=[a_user(1)]))) == {"500/user-1/701": (state, None)}


def test_run_is_kept_when_participants_are_no_longer_told(operator: Operator) -> None:
    operator.look(one())
    operator.succeed(f"{ONE}/601")
    assert operator.look(a_course_order(a_course_line(users=[a_user(1)]))) == {f"{ONE}/601": DONE}


def test_question_is_settled_when_participants_tell_the_course_of_an_unmapped_seat(operator: Operator) -> None:
    assert operator.look(a_course_order(a_course_line(users=[a_user(1)]))) == {
        "500/user-1/unmapped": (REVIEW, Reason.UNMAPPED_PRODUCT)
    }
    assert operator.look(one()) == {"500/user-1/unmapped": REPLACED, f"{ONE}/601": DUE}


def test_access_by_hand_counts_when_participants_become_known_later(operator: Operator) -> None:
    operator.look(a_course_order(a_course_line(users=[a_user(1)])))
    by_hand = (SUCCEEDED, Reason.DONE_BY_HAND)
    operator.set("500/user-1/unmapped", state=SUCCEEDED, reason=Reason.DONE_BY_HAND)
    assert operator.look(one()) == {"500/user-1/unmapped": by_hand}


def test_one_seat_takes_over_when_a_user_has_two_places_later(operator: Operator) -> None:
    operator.rules = offers(PRODUCT_TOO)
    operator.look(a_course_order(a_course_line(users=[a_user(1)])))
    operator.succeed("500/user-1/701")
    states = operator.look(a_course_order(a_course_line(places=[a_place(1, 1), a_place(2, 1)], users=[a_user(1)])))
    assert states == {"500/user-1/701": DONE, "500/participant-2-user-1/601": DUE}


def test_what_took_effect_goes_first_when_two_places_of_a_user_become_one(operator: Operator) -> None:
    places = [a_place(1, 1), a_place(2, 1)]
    operator.look(a_course_order(a_course_line(places=places, users=[a_user(1)])))
    operator.succeed("500/participant-2-user-1/601")
    states = operator.look(a_course_order(a_course_line(places=[a_place(3, 1)])))
    assert states == {f"{ONE}/601": (CANCELLED, Reason.REMOVED_FROM_ORDER), "500/participant-2-user-1/601": DONE}


def test_question_goes_last_when_a_run_and_a_question_of_one_user_are_gone(operator: Operator) -> None:
    places = [a_place(1, 1, **WAITING_LIST), a_place(2, 1)]
    operator.look(a_course_order(a_course_line(places=places, users=[a_user(1)])))
    states = operator.look(a_course_order(a_course_line(places=[a_place(3, 1)])))
    assert states == {f"{ONE}/held": (CANCELLED, Reason.REMOVED_FROM_ORDER), "500/participant-2-user-1/601": DUE}


def test_nobody_is_taken_as_gone_when_the_source_leaves_the_users_out(operator: Operator) -> None:
    operator.look(one())
    operator.succeed(f"{ONE}/601")
    untold = a_course_order({"id": 500, "product": {"id": 8079, "is_main_product": True}}, lines=None)
    assert operator.look(untold) == {f"{ONE}/601": DONE}


def test_carts_seats_never_go_together_when_one_takes_the_place_of_another(operator: Operator) -> None:
    order = one()
    line = order.lines[0]

    def seated(seat_id: str) -> Any:
        seat = Seat(id=seat_id, learner=line.seats[0].learner)
        return order.model_copy(update={"lines": (line.model_copy(update={"seats": (seat,)}),)})

    operator.look(seated("buyer"))
    operator.succeed("500/buyer/601")
    states = operator.look(seated("guest"))
    assert states["500/guest/601"] == DUE
    assert states["500/buyer/601/revoke"] == (REVIEW, Reason.REMOVED_AFTER_PROVISIONING)


def test_first_look_of_an_old_order_waits_when_its_seats_are_good(operator: Operator) -> None:
    operator.seen = Situation(start_at=operator.seen.start_at, manual=True)
    old = one().model_copy(update={"created_at": None})
    assert operator.look(old, baseline=True)[f"{ONE}/601"] == (REVIEW, Reason.OLDER_THAN_START)
