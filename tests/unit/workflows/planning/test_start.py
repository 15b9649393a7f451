from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.unit.workflows.fakes.storefront import START, a_line, an_order, apply, known, offers
from worker.ledger import keys
from worker.ledger.states import OrderState, RunState
from worker.reasons import Reason
from worker.sources.order import Order, Payment
from workflows.planning.model import Create, KnownRun, Plan, Situation
from workflows.planning.offers import Offers
from workflows.planning.planner import plan

OLD = START - timedelta(days=3)
BASELINE = Situation(start_at=START, baseline=True)
HOOK = Situation(start_at=START)
MANUAL = Situation(start_at=START, manual=True)
BEFORE_START = Situation(seen_before=True, paid_before=True, before_start=True, start_at=START)
TRACKED = Situation(seen_before=True, paid_before=False, start_at=START)

TWO_OFFERS = """
[[offer]]
source = "studiocart"
product_id = "1107"
grants = [{ price_id = 501, group_ids = [12] }]
[[offer]]
source = "studiocart"
product_id = "1130"
grants = [{ price_id = 601, group_ids = [] }]
"""


def old_order(**more: object) -> Order:
    return an_order(**({"created_at": OLD} | more))  # type: ignore[arg-type]


def look(order: Order, seen: Situation, runs: list[KnownRun] | None = None, rules: Offers | None = None) -> Plan:
    return plan(order, offers() if rules is None else rules, runs or [], seen)


def outcomes(found: Plan) -> list[tuple[RunState, Reason | None]]:
    return [(action.state, action.reason) for action in found.actions if isinstance(action, Create)]


HELD = (RunState.REVIEW, Reason.OLDER_THAN_START)


def test_paid_order_is_ignored_by_name_when_the_first_sweep_finds_it_older_than_the_start() -> None:
    found = look(old_order(), BASELINE)
    assert (found.state, found.reason, found.actions) == (OrderState.IGNORED, Reason.BEFORE_START, ())
    assert found.before_start


def test_order_made_since_the_start_is_provisioned_when_the_first_sweep_finds_it() -> None:
    assert outcomes(look(an_order(created_at=START), BASELINE)) == [(RunState.PENDING, None)]


def test_unpaid_order_is_tracked_and_provisioned_when_it_is_paid_after_the_first_sweep() -> None:
    found = look(old_order(payment=Payment.WAITING), BASELINE)
    assert (found.state, found.before_start) == (OrderState.WAITING, False)
    assert outcomes(look(old_order(), TRACKED)) == [(RunState.PENDING, None)]


@pytest.mark.parametrize("seen", [HOOK, MANUAL], ids=["webhook or poll", "manual"])
def test_older_order_is_in_review_when_it_turns_up_paid_and_was_never_seen(seen: Situation) -> None:
    found = look(old_order(), seen)
    assert outcomes(found) == [HELD]
    assert (found.state, found.before_start) == (OrderState.PLANNED, True)


def test_older_order_stays_ignored_when_it_is_looked_at_again() -> None:
    for seen in (BEFORE_START, replace(BEFORE_START, paid_before=False), replace(BEFORE_START, baseline=True)):
        found = look(old_order(status="completed"), seen)
        assert (found.state, found.reason, found.actions) == (OrderState.IGNORED, Reason.BEFORE_START, ())
        assert found.before_start


def test_older_order_stays_marked_when_it_is_refunded_in_between() -> None:
    assert look(old_order(payment=Payment.REFUNDED), BEFORE_START).before_start
    assert look(old_order(payment=Payment.WAITING), BEFORE_START).before_start
    assert look(old_order(payment=Payment.UNKNOWN), BEFORE_START).before_start


def test_ignored_order_goes_to_review_when_the_operator_names_it() -> None:
    found = look(old_order(), replace(BEFORE_START, manual=True))
    assert outcomes(found) == [HELD]
    again = look(old_order(), BEFORE_START, apply(found, []))
    assert (again.state, again.actions) == (OrderState.PLANNED, ())


def test_ignored_product_stays_ignored_when_the_order_is_older() -> None:
    ignored = offers('[[ignore]]\nsource = "studiocart"\nproduct_id = "1107"\n')
    found = look(old_order(), HOOK, rules=ignored)
    assert (found.state, found.reason) == (OrderState.IGNORED, Reason.IGNORED_PRODUCT)


@pytest.mark.parametrize("created_at", [OLD, None], ids=["older", "of unknown age"])
def test_seats_go_from_placeholder_to_review_when_an_offer_appears_for_an_older_order(
    created_at: datetime | None,
) -> None:
    seen = replace(BASELINE, manual=True)
    first = look(old_order(created_at=created_at), seen, rules=Offers())
    assert outcomes(first) == [(RunState.REVIEW, Reason.UNMAPPED_PRODUCT)]
    found = look(old_order(created_at=created_at), BEFORE_START, apply(first, []))
    assert outcomes(found) == [HELD]


def test_each_seat_of_an_older_order_is_held_when_only_some_had_an_offer_at_first() -> None:
    order = old_order(lines=[a_line("1107"), a_line("1130")])
    runs = apply(look(order, HOOK), [])
    assert [run.reason for run in runs] == [Reason.OLDER_THAN_START, Reason.UNMAPPED_PRODUCT]
    found = look(order, BEFORE_START, runs, offers(TWO_OFFERS))
    assert outcomes(found) == [HELD]


@pytest.mark.parametrize("payment", [Payment.CANCELLED, Payment.REFUNDED])
def test_held_run_is_held_again_when_an_older_order_is_cancelled_and_paid_again(payment: Payment) -> None:
    runs = apply(look(old_order(), HOOK), [])
    runs = apply(look(old_order(payment=payment), BEFORE_START, runs), runs)
    runs = apply(look(old_order(), replace(BEFORE_START, paid_before=False), runs), runs)
    assert [(run.state, run.reason) for run in runs] == [HELD]


def test_run_the_operator_let_go_stays_his_when_an_older_order_is_looked_at_again() -> None:
    for state in (RunState.PENDING, RunState.RUNNING, RunState.SUCCEEDED, RunState.WAITING):
        assert look(old_order(), BEFORE_START, [known(state=state)]).actions == ()


@pytest.mark.parametrize(
    ("seen", "expected"), [(HOOK, (RunState.PENDING, None)), (BASELINE, HELD)], ids=["hook", "first sweep"]
)
def test_order_of_unknown_age_is_held_only_when_the_first_sweep_finds_it(
    seen: Situation, expected: tuple[RunState, Reason | None]
) -> None:
    assert outcomes(look(an_order(created_at=None), seen)) == [expected]


def test_everything_is_new_when_a_source_has_no_start() -> None:
    assert outcomes(look(old_order(), Situation())) == [(RunState.PENDING, None)]


@pytest.mark.parametrize("word", [keys.UNKNOWN_STATUS, keys.PAYMENT_UNPROVEN])
@pytest.mark.parametrize(
    ("state", "closed_by"),
    [(RunState.SUCCEEDED, None), (RunState.CANCELLED, "operator")],
    ids=["resolved", "cancelled"],
)
def test_seats_are_asked_about_when_an_operator_answered_for_the_whole_order_before_it_was_paid(
    word: str, state: RunState, closed_by: str | None
) -> None:
    """Access may have been given by hand: a run would be the second."""
    answered = known(f"-/-/{word}", state, cancelled_by=closed_by)
    found = plan(an_order(), offers(), [answered], Situation(seen_before=True))
    (create,) = [action for action in found.actions if isinstance(action, Create)]
    assert (create.state, create.reason) == (RunState.REVIEW, Reason.ANSWERED_BY_HAND)


def test_seats_are_planned_when_the_source_settled_the_question_about_the_whole_order() -> None:
    settled = known(f"-/-/{keys.UNKNOWN_STATUS}", RunState.CANCELLED, cancelled_by="superseded")
    found = plan(an_order(), offers(), [settled], Situation(seen_before=True))
    assert [action.state for action in found.actions if isinstance(action, Create)] == [RunState.PENDING]
