"""What an order's versions differ in, and partial refunds: one question about the order, never a cancellation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.workflows.fakes.frontcore_orders import Operator, a_course_line, a_course_order, a_place
from tests.unit.workflows.fakes.storefront import JANE, a_line, an_order, known, offers, record, rows
from worker.ledger.orders.changes import MOST_PATHS, changes
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.runs import events
from worker.ledger.views.details import show_order
from worker.reasons import Reason
from worker.sources.order import Money, Order, Payment, Seat
from workflows.planning.model import Cancel, Create, Situation
from workflows.planning.planner import plan

SUCCEEDED, REVIEW = RunState.SUCCEEDED, RunState.REVIEW
ASKED = (REVIEW, Reason.PARTIALLY_REFUNDED)
QUESTION = "-/-/partially-refunded"


def document(order: Order) -> dict[str, Any]:
    return order.model_dump(mode="json", exclude={"raw"})


def differences(before: Order, after: Order) -> list[str]:
    return changes(document(before), document(after))


def amounting(units: int | None, **more: Any) -> Order:
    total = None if units is None else Money(minor_units=units, currency="INR")
    return an_order(**more).model_copy(update={"total": total})


# What changed


def test_paths_name_the_fields_when_a_payment_and_an_email_changed() -> None:
    renamed = an_order(learner=JANE.model_copy(update={"email": "new@example.test"}))
    assert differences(an_order(payment=Payment.WAITING), renamed) == [
        "buyer_email",
        "lines[1107].seats[buyer].learner.email",
        "payment",
        "status",
    ]


def test_a_seat_is_one_path_when_it_is_added_or_removed() -> None:
    assert differences(an_order(), an_order(quantity=2)) == ["lines[1107].seats[seat-2]"]
    assert differences(an_order(quantity=2), an_order()) == ["lines[1107].seats[seat-2]"]
    both = an_order(lines=[a_line("1107"), a_line("1107")])
    assert differences(an_order(), both) == ["lines[1107#2]"]


def test_the_list_itself_is_the_path_when_only_its_order_changed() -> None:
    lines = [a_line("1107"), a_line("1200")]
    assert differences(an_order(lines=lines), an_order(lines=lines[::-1])) == ["lines"]


def test_nothing_is_named_when_nothing_changed() -> None:
    assert differences(an_order(), an_order()) == []
    assert changes({"ids": [1]}, {"ids": [2]}) == ["ids"]


seats = st.lists(st.sampled_from(["buyer", "seat-2", "seat-3"]), unique=True, max_size=3)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seats, seats, st.emails(), st.emails())
def test_paths_tell_every_difference_and_nobody_s_email_when_orders_differ(
    before: list[str], after: list[str], email: str, other: str
) -> None:
    def seated(ids: list[str], address: str) -> Order:
        learner = JANE.model_copy(update={"email": address})
        return an_order(lines=[a_line(seats=[Seat(id=each, learner=learner) for each in ids])], learner=learner)

    one, two = seated(before, email), seated(after, other)
    found = differences(one, two)
    assert bool(found) == (document(one) != document(two))
    assert not any("@" in path for path in found)
    assert found == differences(two, one)


def test_each_version_tells_what_changed_when_the_order_is_shown(ledger: Ledger) -> None:
    record(ledger, an_order(payment=Payment.WAITING))
    record(ledger, an_order())
    record(ledger, an_order())
    with ledger.read() as connection:
        shown = show_order(connection, "studiocart", "1109")
    assert [version.changes for version in shown.versions] == [[], ["payment", "status"]]


def test_paths_are_counted_when_they_are_too_many_to_keep(ledger: Ledger) -> None:
    record(ledger, an_order())
    record(ledger, an_order(quantity=MOST_PATHS + 8))
    (detail,) = [row.detail for row in rows(ledger, events) if row.detail.get("version") == 2]
    assert (len(detail["changes"]), detail["changes_left_out"]) == (MOST_PATHS, 7)


# Partial refunds


def test_one_question_is_asked_of_the_order_when_it_is_still_paid_for_less(ledger: Ledger) -> None:
    record(ledger, amounting(1500, quantity=2))
    recorded = record(ledger, amounting(500, quantity=2))
    (asked,) = recorded.plan.actions
    assert isinstance(asked, Create)
    assert (asked.key, asked.workflow, asked.reason) == (
        "studiocart/1109/-/-/partially-refunded",
        "revocation",
        Reason.PARTIALLY_REFUNDED,
    )
    assert record(ledger, amounting(500, quantity=2)).plan.actions == ()
    assert record(ledger, amounting(400, quantity=2)).plan.actions == ()


def test_question_is_asked_when_a_part_was_given_back_before_the_order_was_first_seen(ledger: Ledger) -> None:
    recorded = record(ledger, an_order(given_back=250))
    assert [action.reason for action in recorded.plan.actions if isinstance(action, Create)] == [None, ASKED[1]]
    assert record(ledger, an_order(given_back=250)).plan.actions == ()


@pytest.mark.parametrize("total", [1500, 1600, None])
def test_nothing_is_asked_when_the_amount_is_no_less_or_not_told(ledger: Ledger, total: int | None) -> None:
    record(ledger, amounting(1500))
    assert record(ledger, amounting(total)).plan.actions == ()


def test_nothing_is_asked_when_no_amount_was_known_or_in_another_currency(ledger: Ledger) -> None:
    record(ledger, amounting(None))
    assert record(ledger, amounting(500)).plan.actions == ()
    other = an_order().model_copy(update={"total": Money(minor_units=1, currency="NOK")})
    assert record(ledger, other).plan.actions == ()


def test_nothing_is_asked_when_the_price_fell_before_it_was_paid(ledger: Ledger) -> None:
    record(ledger, amounting(1500, payment=Payment.WAITING))
    recorded = record(ledger, amounting(500))
    assert [action.key for action in recorded.plan.actions if isinstance(action, Create)] == [
        "studiocart/1109/1107/buyer/501"
    ]


def test_nothing_is_asked_when_the_seat_that_went_tells_what_was_refunded() -> None:
    before = Situation(seen_before=True, paid_before=True, paid_total_before=Money(minor_units=1500, currency="INR"))
    seats = [known(), known("1107/seat-2/501", id="second")]
    found = plan(amounting(500), offers(), seats, before)
    assert found.actions == (Cancel("second", Reason.REMOVED_FROM_ORDER),)


def test_nothing_is_asked_when_nobody_got_or_gets_access() -> None:
    before = Situation(seen_before=True, paid_before=True, paid_total_before=Money(minor_units=1500, currency="INR"))
    unmapped = known("1107/buyer/unmapped", RunState.REVIEW, reason=Reason.UNMAPPED_PRODUCT)
    assert plan(amounting(500), offers(""), [unmapped], before).actions == ()


def test_question_is_asked_anew_when_the_last_was_answered_and_more_is_refunded() -> None:
    operator = Operator()
    order = [a_course_line(places=[a_place(1, 1), a_place(2, 2)])]
    operator.look(a_course_order(*order, total=3000))
    assert operator.look(a_course_order(*order, total=2000))[QUESTION] == ASKED
    operator.set(QUESTION, state=SUCCEEDED, reason=Reason.DONE_BY_HAND)
    states = operator.look(a_course_order(*order, total=1000))
    assert (states[QUESTION], states[f"{QUESTION}-2"]) == ((SUCCEEDED, Reason.DONE_BY_HAND), ASKED)


def test_question_is_settled_and_comes_back_when_the_whole_order_is_refunded_and_paid_again() -> None:
    operator = Operator()
    paid = a_course_order(a_course_line(places=[a_place(1, 1)]), total=1500)
    operator.look(paid)
    operator.succeed("500/participant-1-user-1/601")
    less = paid.model_copy(update={"total": Money(minor_units=100, currency="NOK")})
    operator.look(less)
    states = operator.look(less.model_copy(update={"payment": Payment.REFUNDED, "status": "refunded"}))
    assert states[QUESTION] == (RunState.CANCELLED, Reason.SETTLED_BY_SOURCE)
    assert states["500/participant-1-user-1/601/revoke"] == (REVIEW, Reason.REFUNDED_AFTER_PROVISIONING)
    operator.look(paid)
    assert operator.look(less)[QUESTION] == ASKED


@pytest.mark.parametrize("quantity", [-1, 0.5])
def test_credit_line_is_the_order_s_question_when_it_names_nobody(quantity: float) -> None:
    operator = Operator()
    line = a_course_line(places=[a_place(1, 1)])
    operator.look(a_course_order(line, total=1500))
    operator.succeed("500/participant-1-user-1/601")
    credit = a_course_line(509, quantity=quantity)
    done = {"500/participant-1-user-1/601": (SUCCEEDED, None), QUESTION: ASKED}
    assert operator.look(a_course_order(line, credit, total=500)) == done
    operator.set(QUESTION, state=SUCCEEDED, reason=Reason.DONE_BY_HAND)
    assert operator.look(a_course_order(line, credit, total=500))[QUESTION] == (SUCCEEDED, Reason.DONE_BY_HAND)


def test_credit_line_is_covered_when_it_names_the_participant_of_another_line() -> None:
    operator = Operator()
    line = a_course_line(places=[a_place(1, 1)])
    operator.look(a_course_order(line, total=1500))
    credit = a_course_line(509, places=[a_place(1, 1)], quantity=-1)
    states = operator.look(a_course_order(line, credit, total=500))
    assert states == {"500/participant-1-user-1/601": (RunState.PENDING, None), QUESTION: ASKED}


@pytest.mark.parametrize("credit", [{"quantity": -1}, {"price_at_order_per_item_vat_excluded": "-1500.00"}])
@pytest.mark.parametrize("provisioned", [False, True])
def test_order_is_refunded_when_all_of_it_was_credited(credit: dict[str, Any], provisioned: bool) -> None:
    operator = Operator()
    line = a_course_line(places=[a_place(1, 1)])
    operator.look(a_course_order(line, total=1500))
    if provisioned:
        operator.succeed("500/participant-1-user-1/601")
    states = operator.look(a_course_order(line, a_course_line(509, places=[a_place(1, 1)], **credit), total=0))
    if provisioned:
        assert states["500/participant-1-user-1/601/revoke"] == (REVIEW, Reason.REFUNDED_AFTER_PROVISIONING)
    else:
        assert states == {"500/participant-1-user-1/601": (RunState.CANCELLED, Reason.REFUNDED_BY_SOURCE)}


@pytest.mark.parametrize("credit", [{"quantity": -1}, {"price_at_order_per_item_vat_excluded": -1500}])
def test_nobody_is_given_access_when_an_unpaid_order_was_credited(credit: dict[str, Any]) -> None:
    operator = Operator()
    line = a_course_line(places=[a_place(1, 1)])
    assert operator.look(a_course_order(line, total=1500, is_paid=False)) == {}
    credited = a_course_order(line, a_course_line(509, places=[a_place(1, 1)], **credit), total=0, is_paid=False)
    assert operator.look(credited) == {}
    assert (credited.payment, credited.status) == (Payment.CANCELLED, "unpaid, credited")


def test_participant_is_given_access_once_when_a_discount_of_the_product_is_a_line() -> None:
    operator = Operator(offers('[[offer]]\nsource="frontcore"\nproduct_id="8079"\ngrants=[{price_id=701}]'))
    line = a_course_line(places=[a_place(1, 1)])
    discount = a_course_line(509, places=[a_place(1, 1)], price_at_order_per_item_vat_excluded=-200)
    assert operator.look(a_course_order(line, discount, total=1300)) == {
        "500/participant-1-user-1/701": (RunState.PENDING, None)
    }


def test_order_is_for_free_when_a_discount_is_as_much_as_its_price() -> None:
    line = a_course_line(places=[a_place(1, 1)])
    voucher = a_course_line(509, product_id=9000, price_at_order_per_item_vat_excluded=-1500)
    states = Operator().look(a_course_order(line, voucher, total=0, is_paid=False))
    assert states == {"500/participant-1-user-1/601": (RunState.PENDING, None)}


def test_impossible_quantity_is_its_own_question_when_no_less_is_paid() -> None:
    operator = Operator(offers('[[offer]]\nsource="frontcore"\nproduct_id="8079"\ngrants=[{price_id=701}]'))
    states = operator.look(a_course_order(a_course_line(places=[a_place(1, 1)]), a_course_line(509, quantity=-1)))
    assert states["509/seat-1/unnamed"] == (REVIEW, Reason.INVALID_QUANTITY)


def test_price_may_change_when_an_invoiced_order_is_provisioned_before_it_is_paid() -> None:
    operator = Operator()
    line = a_course_line(places=[a_place(1, 1)])
    unpaid = a_course_order(line, total=1500, is_paid=False).model_copy(update={"payment": Payment.PAID})
    operator.look(unpaid)
    less = a_course_order(line, total=900)
    assert operator.look(less) == {"500/participant-1-user-1/601": (RunState.PENDING, None)}
