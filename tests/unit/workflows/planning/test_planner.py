from __future__ import annotations

import pytest

from tests.unit.workflows.fakes.storefront import JANE, JOHN, NOW, START, a_line, a_seat, an_order, apply, known, offers
from worker.ledger.states import OrderState, RunState
from worker.reasons import Reason
from worker.sources.order import Learner, Order, Payment, Seat
from workflows.planning.model import ENROLMENT, Cancel, ChangeLearner, Create, KnownRun, Plan, Revive, Situation
from workflows.planning.offers import Grant, Offers
from workflows.planning.planner import plan

SEEN = Situation(seen_before=True, paid_before=True, start_at=START)
NEW = Situation(start_at=START)
NEWLY_PAID = Situation(seen_before=True, paid_before=False, start_at=START)

BUNDLE = """
[[offer]]
source = "studiocart"
product_id = "1107"
grants = [{ price_id = 501, group_ids = [12] }, { price_id = 601, group_ids = [] }]
"""
OTHER_PRICE = """
[[offer]]
source = "studiocart"
product_id = "1107"
grants = [{ price_id = 777, group_ids = [12] }]
"""
IGNORED = """
[[ignore]]
source = "studiocart"
product_id = "1107"
"""


def renewals(word: str) -> str:
    return f'{OTHER_PRICE}renewals = "{word}"\n'


def look(order: Order, runs: list[KnownRun] | None = None, rules: Offers | None = None, seen: Situation = NEW) -> Plan:
    return plan(order, offers() if rules is None else rules, runs or [], seen)


def created(found: Plan) -> dict[str, tuple[RunState, Reason | None]]:
    return {action.key: (action.state, action.reason) for action in found.actions if isinstance(action, Create)}


def test_seat_becomes_a_pending_run_with_its_key_when_paid() -> None:
    found = look(an_order())
    assert found.actions == (
        Create(
            key="studiocart/1109/1107/buyer/501",
            workflow=ENROLMENT,
            line_id="1107",
            seat_id="buyer",
            title="Course 1107",
            state=RunState.PENDING,
            learner=JANE,
            grant=Grant(price_id=501, group_ids=(12,)),
        ),
    )
    assert (found.state, found.reason, found.before_start, found.look_again) == (OrderState.PLANNED, None, False, False)


def test_each_grant_is_its_own_run_when_the_offer_is_a_bundle() -> None:
    assert created(look(an_order(), rules=offers(BUNDLE))) == {
        "studiocart/1109/1107/buyer/501": (RunState.PENDING, None),
        "studiocart/1109/1107/buyer/601": (RunState.PENDING, None),
    }


def test_one_seat_is_provisioned_and_two_are_unnamed_when_the_quantity_is_three() -> None:
    assert created(look(an_order(quantity=3))) == {
        "studiocart/1109/1107/buyer/501": (RunState.PENDING, None),
        "studiocart/1109/1107/seat-2/unnamed": (RunState.REVIEW, Reason.UNNAMED_SEAT),
        "studiocart/1109/1107/seat-3/unnamed": (RunState.REVIEW, Reason.UNNAMED_SEAT),
    }


def test_one_seat_twice_in_a_bundle_keeps_its_two_runs_when_planned_again() -> None:
    first = look(an_order(quantity=2), rules=offers(BUNDLE))
    again = look(an_order(quantity=2), apply(first, []), offers(BUNDLE), SEEN)
    assert again.actions == ()


@pytest.mark.parametrize("hold", ["missing_email", "invalid_email", "invalid_quantity"])
def test_seat_is_in_review_for_its_own_reason_when_the_source_holds_it(hold: str) -> None:
    found = look(an_order(lines=[a_line(seats=[Seat(id="buyer", hold=hold)])]))
    assert created(found) == {"studiocart/1109/1107/buyer/unnamed": (RunState.REVIEW, Reason(hold))}


def test_seat_is_unnamed_when_the_source_names_nobody_and_gives_no_reason() -> None:
    found = look(an_order(lines=[a_line(seats=[Seat(id="buyer")])]))
    assert created(found) == {"studiocart/1109/1107/buyer/unnamed": (RunState.REVIEW, Reason.UNNAMED_SEAT)}


def test_seat_with_a_learner_stays_in_review_when_it_is_held_all_the_same() -> None:
    found = look(an_order(lines=[a_line(seats=[Seat(id="buyer", learner=JANE, hold="invalid_quantity")])]))
    assert created(found) == {"studiocart/1109/1107/buyer/unnamed": (RunState.REVIEW, Reason.INVALID_QUANTITY)}


@pytest.mark.parametrize("status", ["pending-payment", "trialing"])
def test_unpaid_order_waits_without_a_review_when_it_is_new(status: str) -> None:
    found = look(an_order(payment=Payment.WAITING, status=status))
    assert (found.state, found.reason, found.actions) == (OrderState.WAITING, Reason.AWAITING_PAYMENT, ())


@pytest.mark.parametrize("payment", [Payment.WAITING, Payment.UNKNOWN])
@pytest.mark.parametrize("state", [RunState.PENDING, RunState.WAITING])
def test_seat_is_held_back_while_its_order_is_not_paid_any_more_and_goes_on_when_it_is(
    payment: Payment, state: RunState
) -> None:
    reason = {Payment.WAITING: Reason.AWAITING_PAYMENT, Payment.UNKNOWN: Reason.UNKNOWN_STATUS}[payment]
    unpaid = an_order(payment=payment, status="held")
    found = look(unpaid, [known(state=state)], seen=SEEN)
    assert found.actions[0] == Cancel(known().id, reason)
    assert found.state is (OrderState.WAITING if payment is Payment.WAITING else OrderState.REVIEW)
    runs = apply(found, [known(state=state)])
    assert look(unpaid, runs, seen=SEEN).actions == ()
    paid = apply(look(an_order(), runs, seen=NEWLY_PAID), runs)
    assert [(run.state, run.reason) for run in paid if run.grant is not None] == [(RunState.PENDING, None)]


@pytest.mark.parametrize(
    "run",
    [
        known(state=RunState.SUCCEEDED),
        known(state=RunState.FAILED),
        known(state=RunState.REVIEW, reason=Reason.PAID_AFTER_CANCEL),
    ],
)
def test_seat_is_left_alone_when_its_order_is_not_paid_any_more_and_it_may_be_given(run: KnownRun) -> None:
    assert look(an_order(payment=Payment.WAITING), [run], seen=SEEN).actions == ()


def test_order_stays_planned_when_a_provisioned_one_waits_for_payment_again() -> None:
    found = look(an_order(payment=Payment.WAITING), [known(state=RunState.SUCCEEDED)], seen=SEEN)
    assert (found.state, found.actions) == (OrderState.PLANNED, ())


def test_status_nobody_ruled_on_is_one_review_of_the_whole_order() -> None:
    order = an_order(payment=Payment.UNKNOWN, status="backordered")
    found = look(order)
    assert created(found) == {"studiocart/1109/-/-/unknown-status": (RunState.REVIEW, Reason.UNKNOWN_STATUS)}
    assert (found.state, found.reason) == (OrderState.REVIEW, Reason.UNKNOWN_STATUS)
    assert look(order, apply(found, []), seen=NEWLY_PAID).actions == ()


def test_unknown_status_is_settled_and_the_seat_provisioned_when_it_is_paid() -> None:
    runs = apply(look(an_order(payment=Payment.UNKNOWN, status="?")), [])
    found = look(an_order(), runs, seen=NEWLY_PAID)
    assert [type(action) for action in found.actions] == [Cancel, Create]
    assert found.actions[0] == Cancel(runs[0].id, Reason.SETTLED_BY_SOURCE, by="superseded")
    again = look(an_order(payment=Payment.UNKNOWN, status="?"), apply(found, runs), seen=SEEN)
    assert again.actions[-1] == Revive(runs[0].id, Reason.UNKNOWN_STATUS)


@pytest.mark.parametrize("payment", [Payment.UNKNOWN, Payment.REFUNDED, Payment.WAITING])
def test_unknown_status_stays_closed_when_the_operator_closed_it(payment: Payment) -> None:
    closed = known(
        "-/-/unknown-status", RunState.CANCELLED, cancelled_by="operator", reason=Reason.CANCELLED_BY_OPERATOR
    )
    assert look(an_order(payment=payment), [closed], seen=NEWLY_PAID).actions == ()


def test_product_no_rule_matches_is_a_placeholder_in_review() -> None:
    found = look(an_order(), rules=Offers())
    assert created(found) == {"studiocart/1109/1107/buyer/unmapped": (RunState.REVIEW, Reason.UNMAPPED_PRODUCT)}
    assert all(action.grant is None for action in found.actions if isinstance(action, Create))
    assert found.state is OrderState.PLANNED


def test_placeholder_gives_way_to_the_real_runs_in_one_plan_when_an_offer_appears() -> None:
    found = look(an_order(), [known("1107/buyer/unmapped", RunState.REVIEW)], offers(BUNDLE), SEEN)
    assert found.actions[0] == Cancel("run 1107/buyer/unmapped", Reason.SUPERSEDED, by="superseded")
    assert len(created(found)) == 2


def test_placeholder_gives_way_to_nothing_when_an_ignore_appears() -> None:
    found = look(an_order(), [known("1107/buyer/unmapped", RunState.REVIEW)], offers(IGNORED), SEEN)
    assert found.actions == (Cancel("run 1107/buyer/unmapped", Reason.SUPERSEDED, by="superseded"),)
    assert (found.state, found.reason) == (OrderState.IGNORED, Reason.IGNORED_PRODUCT)


def test_order_is_planned_when_only_some_of_its_products_are_ignored() -> None:
    found = look(an_order(lines=[a_line("1107"), a_line("1200")]), rules=offers(IGNORED))
    assert (found.state, found.reason) == (OrderState.PLANNED, None)


def test_nameless_seat_is_provisioned_when_it_is_named_later() -> None:
    runs = apply(look(an_order(quantity=2)), [])
    named = an_order(lines=[a_line(seats=[a_seat(1), Seat(id="seat-2", learner=JOHN)])])
    found = look(named, runs, seen=SEEN)
    assert [type(action) for action in found.actions] == [Cancel, Create]
    assert created(found) == {"studiocart/1109/1107/seat-2/501": (RunState.PENDING, None)}


def test_seat_leaves_review_when_its_email_is_corrected() -> None:
    runs = apply(look(an_order(lines=[a_line(seats=[Seat(id="buyer", hold="invalid_email")])])), [])
    found = look(an_order(), runs, seen=SEEN)
    assert created(found) == {"studiocart/1109/1107/buyer/501": (RunState.PENDING, None)}


@pytest.mark.parametrize("state", list(RunState))
def test_edited_offer_changes_nothing_when_the_seat_has_a_run(state: RunState) -> None:
    run = known(state=state, cancelled_by="operator" if state is RunState.CANCELLED else None)
    assert look(an_order(), [run], offers(OTHER_PRICE), SEEN).actions == ()


def test_removed_offer_changes_nothing_when_the_seat_has_a_run() -> None:
    assert look(an_order(), [known(state=RunState.FAILED)], Offers(), SEEN).actions == ()


def test_grants_added_to_the_offer_change_nothing_when_the_seat_is_planned() -> None:
    assert look(an_order(), [known(state=RunState.SUCCEEDED)], offers(BUNDLE), SEEN).actions == ()


def test_new_seat_is_planned_by_todays_offers_when_the_old_one_is_fixed() -> None:
    named = an_order(lines=[a_line(seats=[a_seat(1), Seat(id="seat-2", learner=JOHN)])])
    found = look(named, [known(state=RunState.SUCCEEDED)], offers(OTHER_PRICE), SEEN)
    assert created(found) == {"studiocart/1109/1107/seat-2/777": (RunState.PENDING, None)}


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.CANCELLED])
def test_placeholder_the_operator_closed_stays_closed_when_an_offer_appears(state: RunState) -> None:
    by = "operator" if state is RunState.CANCELLED else None
    closed = known("1107/buyer/unmapped", state, cancelled_by=by)
    assert look(an_order(), [closed], seen=SEEN).actions == ()


# Renewals


@pytest.mark.parametrize(
    ("rules", "state", "expected"),
    [
        (
            offers(),
            OrderState.PLANNED,
            {"studiocart/1109/1107/buyer/renewal": (RunState.REVIEW, Reason.RENEWAL_UNDECIDED)},
        ),
        (
            offers(renewals("grant")),
            OrderState.PLANNED,
            {"studiocart/1109/1107/buyer/777": (RunState.PENDING, None)},
        ),
        (offers(renewals("ignore")), OrderState.IGNORED, {}),
    ],
)
def test_renewal_follows_its_offer_when_it_is_paid(
    rules: Offers, state: OrderState, expected: dict[str, tuple[RunState, Reason | None]]
) -> None:
    found = look(an_order(renewal=True), rules=rules)
    assert (created(found), found.state) == (expected, state)


def test_first_payment_is_provisioned_when_the_offer_ignores_renewals() -> None:
    assert len(created(look(an_order(), rules=offers(renewals("ignore"))))) == 1


@pytest.mark.parametrize(("word", "count"), [("grant", 1), ("ignore", 0)])
def test_undecided_renewal_is_decided_when_the_offer_says_so_later(word: str, count: int) -> None:
    order = an_order(renewal=True)
    runs = apply(look(order), [])
    found = look(order, runs, offers(renewals(word)), SEEN)
    assert Cancel(runs[0].id, Reason.SUPERSEDED, by="superseded") in found.actions
    assert len(created(found)) == count


# Learners


@pytest.mark.parametrize("state", [RunState.PENDING, RunState.WAITING, RunState.FAILED, RunState.REVIEW])
def test_learner_is_changed_when_nothing_has_taken_effect(state: RunState) -> None:
    found = look(an_order(learner=JOHN), [known(state=state)], seen=SEEN)
    assert found.actions == (ChangeLearner("run 1107/buyer/501", JOHN),)


def test_learner_is_a_question_when_the_effect_took_place() -> None:
    run = known(state=RunState.SUCCEEDED)
    found = look(an_order(learner=JOHN), [run], seen=SEEN)
    assert created(found) == {f"{run.key}/learner": (RunState.REVIEW, Reason.LEARNER_CHANGED)}
    (question,) = found.actions
    assert isinstance(question, Create)
    assert (question.learner, question.parent_id) == (JOHN, run.id)
    assert look(an_order(learner=JOHN), apply(found, [run]), seen=SEEN).actions == ()


def test_learner_spelled_otherwise_is_no_question_when_the_effect_took_place() -> None:
    shouting = Learner(email="JANE@example.test", first_name="Jane", last_name="Doe-Smith")
    assert look(an_order(learner=shouting), [known(state=RunState.SUCCEEDED)], seen=SEEN).actions == ()


def test_question_names_the_newest_learner_when_the_seat_moves_on_meanwhile() -> None:
    ann = Learner(email="ann@example.test")
    runs = [known(state=RunState.SUCCEEDED)]
    runs = apply(look(an_order(learner=JOHN), runs, seen=SEEN), runs)
    runs = apply(look(an_order(learner=ann), runs, seen=SEEN), runs)
    assert [run.learner for run in runs] == [JANE, ann]
    assert runs[1].state is RunState.REVIEW


def test_question_is_asked_again_when_the_seat_moves_on_after_the_operator_answered() -> None:
    ann = Learner(email="ann@example.test")
    answered = known(
        "1107/buyer/501/learner", RunState.SUCCEEDED, workflow="revocation", learner=JOHN, reason="done_by_hand"
    )
    runs = [known(state=RunState.SUCCEEDED), answered]
    assert look(an_order(learner=JOHN), runs, seen=SEEN).actions == ()
    found = look(an_order(learner=ann), runs, seen=SEEN)
    assert [reason for _, reason in created(found).values()] == [Reason.LEARNER_CHANGED]
    assert look(an_order(learner=ann), apply(found, runs), seen=SEEN).actions == ()


def test_question_is_settled_when_the_seat_goes_back_to_its_learner() -> None:
    runs = [known(state=RunState.SUCCEEDED)]
    runs = apply(look(an_order(learner=JOHN), runs, seen=SEEN), runs)
    found = look(an_order(), runs, seen=SEEN)
    assert found.actions == (Cancel(runs[1].id, Reason.SETTLED_BY_SOURCE),)
    runs = apply(found, runs)
    reopened = apply(look(an_order(learner=JOHN), runs, seen=SEEN), runs)
    assert (reopened[1].state, reopened[1].reason) == (RunState.REVIEW, Reason.LEARNER_CHANGED)


def test_learner_waits_for_another_look_when_the_run_is_being_worked_on() -> None:
    found = look(an_order(learner=JOHN), [known(state=RunState.RUNNING)], seen=SEEN)
    assert (found.actions, found.look_again) == ((), True)


def test_learner_waits_for_another_look_when_the_effect_is_open() -> None:
    found = look(an_order(learner=JOHN), [known(state=RunState.WAITING, effect_open=True)], seen=SEEN)
    assert (found.actions, found.look_again) == ((), True)


def test_learner_stays_when_the_source_names_nobody_any_more() -> None:
    nameless = an_order(lines=[a_line(seats=[Seat(id="buyer", hold="missing_email")])])
    assert look(nameless, [known(state=RunState.WAITING)], seen=SEEN).actions == ()


def test_order_made_at_the_start_itself_is_provisioned_when_paid() -> None:
    assert len(created(look(an_order(created_at=START)))) == 1
    assert START < NOW
