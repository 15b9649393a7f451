from __future__ import annotations

from collections import Counter

import pytest

from tests.unit.workflows.fakes.storefront import JOHN, START, an_order, apply, known, offers
from worker.ledger.states import OrderState, RunState
from worker.reasons import Reason
from worker.sources.order import Order
from workflows.planning.model import Cancel, ChangeGrant, ChangeLearner, Create, KnownRun, Plan, Situation
from workflows.planning.offers import Grant, Offers
from workflows.planning.planner import plan

REPLAN = Situation(seen_before=True, paid_before=True, start_at=START, replan=True)
LOOK = Situation(seen_before=True, paid_before=True, start_at=START)
RUN = "run 1107/buyer/501"


def offer(grants: str) -> Offers:
    return offers(f'[[offer]]\nsource = "studiocart"\nproduct_id = "1107"\ngrants = [{grants}]\n')


IGNORE = offers('[[ignore]]\nsource = "studiocart"\nproduct_id = "1107"\n')
OTHER_PRICE = offer("{ price_id = 777 }")
OTHER_GROUPS = offer("{ price_id = 501, group_ids = [13, 14] }")


def replan(rules: Offers, runs: list[KnownRun], order: Order | None = None) -> Plan:
    return plan(order or an_order(), rules, runs, REPLAN)


def after(rules: Offers, runs: list[KnownRun], order: Order | None = None) -> dict[str, RunState]:
    """Every run's state after a replan, which must leave nothing for a second one nor for an ordinary look."""
    found = replan(rules, runs, order)
    moved = Counter(action.run_id for action in found.actions if not isinstance(action, Create | ChangeGrant))
    assert all(count == 1 for count in moved.values()), "no run is moved twice by one plan"
    left = apply(found, runs)
    assert replan(rules, left, order).actions == ()
    assert plan(order or an_order(), rules, left, LOOK).actions == ()
    return {run.key.removeprefix("studiocart/1109/1107/"): run.state for run in left}


@pytest.mark.parametrize("state", [RunState.PENDING, RunState.WAITING, RunState.FAILED, RunState.REVIEW])
def test_new_price_takes_the_place_of_the_old_when_nothing_has_run(state: RunState) -> None:
    assert after(OTHER_PRICE, [known(state=state)]) == {
        "buyer/501": RunState.CANCELLED,
        "buyer/777": RunState.PENDING,
    }


def test_new_price_is_added_when_the_old_one_has_run() -> None:
    assert after(OTHER_PRICE, [known(state=RunState.SUCCEEDED)]) == {
        "buyer/501": RunState.SUCCEEDED,
        "buyer/777": RunState.PENDING,
    }


@pytest.mark.parametrize(
    "run", [known(state=RunState.RUNNING), known(state=RunState.WAITING, effect_open=True)], ids=["running", "open"]
)
def test_nothing_is_planned_beside_the_old_price_when_it_may_take_effect(run: KnownRun) -> None:
    """Another price beside a call that is under way, or whose outcome is unknown, could give the course twice."""
    found = replan(OTHER_PRICE, [run])
    assert found.look_again
    assert found.actions == ()


def test_old_price_comes_back_when_the_offer_does() -> None:
    runs = apply(replan(OTHER_PRICE, [known()]), [known()])
    assert after(offers(), runs) == {"buyer/501": RunState.PENDING, "buyer/777": RunState.CANCELLED}


def test_groups_are_changed_when_the_price_is_the_same_and_nothing_has_run() -> None:
    found = replan(OTHER_GROUPS, [known(state=RunState.FAILED)])
    assert found.actions == (ChangeGrant(RUN, Grant(price_id=501, group_ids=(13, 14))),)
    assert after(OTHER_GROUPS, [known(state=RunState.FAILED)]) == {"buyer/501": RunState.PENDING}


def test_groups_stay_when_the_run_has_succeeded() -> None:
    assert replan(OTHER_GROUPS, [known(state=RunState.SUCCEEDED)]).actions == ()


def test_groups_are_looked_at_again_when_the_run_is_being_worked_on() -> None:
    found = replan(OTHER_GROUPS, [known(state=RunState.RUNNING)])
    assert (found.actions, found.look_again) == ((), True)


@pytest.mark.parametrize("by", ["source", "operator", "superseded"])
def test_run_is_revived_once_when_it_was_cancelled(by: str) -> None:
    assert after(offers(), [known(state=RunState.CANCELLED, cancelled_by=by)]) == {"buyer/501": RunState.PENDING}


def test_learner_and_groups_change_together_when_both_are_new() -> None:
    found = replan(OTHER_GROUPS, [known()], an_order(learner=JOHN))
    assert {type(action) for action in found.actions} == {ChangeLearner, ChangeGrant}
    assert after(OTHER_GROUPS, [known()], an_order(learner=JOHN)) == {"buyer/501": RunState.PENDING}


def test_run_makes_room_when_its_product_is_ignored_now() -> None:
    assert after(IGNORE, [known(state=RunState.REVIEW)]) == {"buyer/501": RunState.CANCELLED}
    found = replan(IGNORE, [known(state=RunState.REVIEW)])
    assert (found.state, found.reason) == (OrderState.IGNORED, Reason.IGNORED_PRODUCT)


def test_run_that_has_succeeded_stays_when_its_product_is_ignored_now() -> None:
    assert after(IGNORE, [known(state=RunState.SUCCEEDED)]) == {"buyer/501": RunState.SUCCEEDED}


@pytest.mark.parametrize("state", [RunState.PENDING, RunState.FAILED, RunState.SUCCEEDED])
def test_planned_run_stays_as_it_is_when_its_offer_is_gone(state: RunState) -> None:
    assert after(Offers(), [known(state=state)]) == {"buyer/501": state}


def test_placeholder_becomes_the_real_run_when_replanned() -> None:
    assert after(offers(), [known("1107/buyer/unmapped", RunState.REVIEW)]) == {
        "buyer/unmapped": RunState.CANCELLED,
        "buyer/501": RunState.PENDING,
    }


def test_placeholder_closed_by_hand_is_planned_when_the_operator_replans_on_purpose() -> None:
    assert after(offers(), [known("1107/buyer/unmapped", RunState.SUCCEEDED)])["buyer/501"] is RunState.PENDING


def test_new_price_is_held_when_the_order_is_older_than_the_start() -> None:
    held = known(state=RunState.REVIEW, reason=Reason.OLDER_THAN_START)
    seen = Situation(seen_before=True, paid_before=True, before_start=True, start_at=START, replan=True)
    found = plan(an_order(created_at=START.replace(year=2020)), OTHER_PRICE, [held], seen)
    assert Cancel(held.id, Reason.SUPERSEDED, by="superseded") in found.actions
    assert [action.state for action in found.actions if isinstance(action, Create)] == [RunState.REVIEW]


def test_placeholder_stays_cancelled_when_there_is_still_no_offer() -> None:
    cancelled = known("1107/buyer/unmapped", RunState.CANCELLED, cancelled_by="operator")
    assert replan(Offers(), [cancelled]).actions == ()
