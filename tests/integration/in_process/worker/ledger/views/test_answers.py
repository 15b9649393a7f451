"""One true sentence for each reason, by rows that planning and the engine really make: who has what, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.unit.worker.ledger.rows import add_run
from tests.unit.workflows.fakes.storefront import (
    JANE,
    JOHN,
    NOW,
    START,
    a_line,
    a_seat,
    an_order,
    offers,
    put_run,
    record,
    rows,
    run_of,
)
from worker.ledger import keys
from worker.ledger.orders import order_rows
from worker.ledger.session import Ledger
from worker.ledger.sql import record_of
from worker.ledger.states import DeliveryState, OrderState, RunState, Via
from worker.ledger.tables.runs import Run, deliveries, orders, pauses, runs
from worker.ledger.views.history import why
from worker.ledger.views.page.today import needs_person
from worker.ledger.views.serializers import to_json
from worker.reasons import Reason
from worker.sources.order import Money, Payment, Seat
from workflows.execution import late_results
from workflows.monitoring.alerts import problems

ORDER = "studiocart/1109"
SEAT = "1109/1107/buyer/501"
COURSE = "Course 1107"
BOTH = """
[[offer]]
source = "studiocart"
product_id = "1107"
grants = [{ price_id = 501, group_ids = [12] }]

[[offer]]
source = "studiocart"
product_id = "1108"
grants = [{ price_id = 502 }]
"""

Build = Callable[[Ledger], object]


def given(ledger: Ledger, order_id: str = "1109", **more: Any) -> None:
    """An order whose seat has its access."""
    record(ledger, an_order(order_id, **more))
    put_run(
        ledger, f"{order_id}/1107/buyer/501", RunState.SUCCEEDED, result_id=f"9{order_id}", finished_at=NOW, reason=None
    )


def held(reason: Reason) -> Build:
    """A seat that its source holds."""
    nameless = {Reason.MISSING_EMAIL, Reason.UNNAMED_SEAT}
    seat = Seat(id="buyer", learner=None if reason in nameless else JANE, hold=reason)
    return lambda ledger: record(ledger, an_order(lines=[a_line(seats=[seat])]))


def engine(state: RunState, reason: Reason, **more: Any) -> Build:
    """A run as the engine leaves it."""

    def build(ledger: Ledger) -> None:
        record(ledger, an_order())
        due = {"next_attempt_at": NOW + timedelta(minutes=5)} if state is RunState.WAITING else {}
        put_run(ledger, SEAT, state, reason=reason, **due | more)

    return build


def withdrawn(payment: Payment, *, after: bool) -> Build:
    def build(ledger: Ledger) -> None:
        if after:
            given(ledger)
        else:
            record(ledger, an_order())
        record(ledger, an_order(payment=payment))

    return build


def asked(reason: Reason, word: str = keys.REVOKE, result_id: str | None = None) -> Build:
    """A question about access that was given, as the ledger holds it whoever asks it."""

    def build(ledger: Ledger) -> None:
        given(ledger)
        row = record_of(Run, run_of(ledger, SEAT))
        with ledger.write() as connection:
            late_results._open(connection, row, word, reason, result_id, now=NOW)

    return build


def two_lines_then_one(*, after: bool) -> Build:
    def build(ledger: Ledger) -> None:
        record(ledger, an_order(lines=[a_line(), a_line("1108")]), rules=offers(BOTH))
        if after:
            put_run(ledger, "1109/1108/buyer/502", RunState.SUCCEEDED, finished_at=NOW)
        record(ledger, an_order(lines=[a_line()]), rules=offers(BOTH))

    return build


def place_lost(ledger: Ledger) -> None:
    given(ledger)
    record(ledger, an_order(lines=[a_line(seats=[Seat(id="buyer", learner=JANE, hold="waiting_list")])]))


def learner_changed(ledger: Ledger) -> None:
    given(ledger)
    record(ledger, an_order(learner=JOHN))


def paid_after_cancel(ledger: Ledger) -> None:
    record(ledger, an_order())
    put_run(ledger, SEAT, RunState.CANCELLED, cancelled_by="operator", reason=Reason.CANCELLED_BY_OPERATOR)
    record(ledger, an_order(payment=Payment.CANCELLED))
    record(ledger, an_order())


def answered_by_hand(ledger: Ledger) -> None:
    record(ledger, an_order(payment=Payment.UNKNOWN))
    settle(ledger, "1109/-/-/unknown-status")
    record(ledger, an_order())


def settle(ledger: Ledger, key: str) -> None:
    put_run(ledger, key, RunState.SUCCEEDED, reason=Reason.DONE_BY_HAND, note="taken back", finished_at=NOW)


def paid_after_revocation(ledger: Ledger) -> None:
    given(ledger)
    record(ledger, an_order(payment=Payment.REFUNDED))
    settle(ledger, f"{SEAT}/revoke")
    record(ledger, an_order())


def settled_by_source(ledger: Ledger) -> None:
    given(ledger)
    record(ledger, an_order(payment=Payment.REFUNDED))
    record(ledger, an_order())


def superseded(ledger: Ledger) -> None:
    record(ledger, an_order(lines=[a_line("1108")]))
    record(ledger, an_order(lines=[a_line("1108")]), rules=offers(BOTH))


def partially_refunded(ledger: Ledger) -> None:
    given(ledger)
    record(ledger, an_order().model_copy(update={"total": Money(minor_units=100, currency="INR")}))


def order_says(state: OrderState, reason: Reason) -> Build:
    """An order without runs, as planning leaves it."""

    def build(ledger: Ledger) -> None:
        record(ledger, an_order(payment=Payment.WAITING))
        with ledger.write() as connection:
            connection.execute(orders.update().values(state=state, reason=reason, payment="paid"))

    return build


def unread(reason: Reason) -> Build:
    """A delivery whose order could not be read, or that names none."""
    unreadable = {Reason.ORDER_NOT_FOUND, Reason.RECORD_UNREADABLE}
    no_order = {Reason.SUBSCRIPTION_NEWS, Reason.TEST_NOTIFICATION}

    def build(ledger: Ledger) -> None:
        with ledger.write() as connection:
            order_rows.insert_delivery(
                connection, source="studiocart", order_id="1109", via=Via.WEBHOOK, actor="source", now=NOW
            )
            state = DeliveryState.REVIEW if reason in unreadable else DeliveryState.WAITING
            state = DeliveryState.IGNORED if reason in no_order else state
            connection.execute(deliveries.update().values(state=state, reason=reason, next_attempt_at=NOW))

    return build


def beside(state: RunState, reason: Reason) -> Build:
    """A follow-on run, which gives no access."""

    def build(ledger: Ledger) -> None:
        record(ledger, an_order(payment=Payment.WAITING))
        with ledger.write() as connection:
            add_run(connection, workflow="follow_on", state=state, reason=reason, email=JANE.email)

    return build


def ignored_renewal(ledger: Ledger) -> None:
    rules = offers(BOTH.replace("grants = [{ price_id = 501", 'renewals = "ignore"\ngrants = [{ price_id = 501'))
    record(ledger, an_order(renewal=True), rules=rules)


def ignored_product(ledger: Ledger) -> None:
    record(ledger, an_order(), rules=offers('[[ignore]]\nsource = "studiocart"\nproduct_id = "1107"\n'))


def authentication(ledger: Ledger) -> None:
    engine(RunState.WAITING, Reason.AUTHENTICATION)(ledger)
    with ledger.write() as connection:
        values = {"system": "learningcart", "kind": "authentication", "reason": "", "actor": "engine", "since": NOW}
        connection.execute(pauses.insert().values(**values))


OLDER = an_order(created_at=START - timedelta(days=3))
MAYBE, DUE, HAS = "Whether jane", "has no access to", "has access to"
EXPECTED: dict[Reason, tuple[Build, str]] = {
    Reason.UNMAPPED_PRODUCT: (lambda ledger: record(ledger, an_order(lines=[a_line("99")])), "no access to Course 99"),
    Reason.UNNAMED_SEAT: (lambda ledger: record(ledger, an_order(quantity=2)), "seat-2 yet"),
    Reason.MISSING_EMAIL: (held(Reason.MISSING_EMAIL), DUE),
    Reason.INVALID_EMAIL: (held(Reason.INVALID_EMAIL), DUE),
    Reason.INVALID_QUANTITY: (held(Reason.INVALID_QUANTITY), DUE),
    Reason.SHARED_EMAIL: (held(Reason.SHARED_EMAIL), DUE),
    Reason.LEARNER_ERASED: (held(Reason.LEARNER_ERASED), DUE),
    Reason.WAITING_LIST: (held(Reason.WAITING_LIST), DUE),
    Reason.COURSE_CANCELLED: (held(Reason.COURSE_CANCELLED), DUE),
    Reason.RENEWAL_UNDECIDED: (lambda ledger: record(ledger, an_order(renewal=True)), DUE),
    Reason.SUBSCRIPTION_UNLISTED: (engine(RunState.REVIEW, Reason.SUBSCRIPTION_UNLISTED), DUE),
    Reason.PAYMENT_UNPROVEN: (engine(RunState.REVIEW, Reason.PAYMENT_UNPROVEN), "nothing in it shows that money"),
    Reason.UNKNOWN_STATUS: (lambda ledger: record(ledger, an_order(payment=Payment.UNKNOWN)), f"Order {ORDER}:"),
    Reason.OLDER_THAN_START: (lambda ledger: record(ledger, OLDER, manual=True), MAYBE),
    Reason.ANSWERED_BY_HAND: (answered_by_hand, MAYBE),
    Reason.PAID_AFTER_CANCEL: (paid_after_cancel, DUE),
    Reason.READ_ANEW: (engine(RunState.REVIEW, Reason.READ_ANEW), MAYBE),
    Reason.REOPENED: (engine(RunState.REVIEW, Reason.REOPENED), MAYBE),
    Reason.LINE_RENAMED: (engine(RunState.REVIEW, Reason.LINE_RENAMED), MAYBE),
    Reason.REPEATED_WEBHOOK: (asked(Reason.REPEATED_WEBHOOK), "may be an old one"),
    Reason.OUTCOME_UNPROVABLE: (engine(RunState.REVIEW, Reason.OUTCOME_UNPROVABLE), MAYBE),
    Reason.OUTCOME_UNKNOWN: (engine(RunState.REVIEW, Reason.OUTCOME_UNKNOWN), MAYBE),
    Reason.DUPLICATE_EFFECT: (asked(Reason.DUPLICATE_EFFECT, f"{keys.DUPLICATE}/95", "95"), "LearningCart order 95"),
    Reason.REFUNDED_AFTER_PROVISIONING: (withdrawn(Payment.REFUNDED, after=True), "was refunded after that"),
    Reason.CANCELLED_AFTER_PROVISIONING: (withdrawn(Payment.CANCELLED, after=True), "was cancelled after that"),
    Reason.REMOVED_AFTER_PROVISIONING: (two_lines_then_one(after=True), "has access to Course 1108"),
    Reason.PLACE_LOST_AFTER_PROVISIONING: (place_lost, "went to the waiting list"),
    Reason.PAID_AFTER_REVOCATION: (paid_after_revocation, "is paid again"),
    Reason.LEARNER_CHANGED: (learner_changed, "changed the seat's learner to john@example.test, who has none yet"),
    Reason.PARTIALLY_REFUNDED: (partially_refunded, "still paid, but for less"),
    Reason.CART_DIFFERS: (beside(RunState.REVIEW, Reason.CART_DIFFERS), "needs a person"),
    Reason.SUBSCRIPTION_CANCELED: (asked(Reason.SUBSCRIPTION_CANCELED), "was canceled"),
    Reason.SUBSCRIPTION_PAUSED: (asked(Reason.SUBSCRIPTION_PAUSED), "was paused"),
    Reason.SUBSCRIPTION_PAST_DUE: (asked(Reason.SUBSCRIPTION_PAST_DUE), "is overdue"),
    Reason.SUBSCRIPTION_EXPIRED: (asked(Reason.SUBSCRIPTION_EXPIRED), "came to its end"),
    Reason.SUBSCRIPTION_RESUMED: (asked(Reason.SUBSCRIPTION_RESUMED, keys.REGRANT), "the subscription goes on"),
    Reason.REFUSED: (engine(RunState.FAILED, Reason.REFUSED), "it failed"),
    Reason.REQUEST_REFUSED: (engine(RunState.REVIEW, Reason.REQUEST_REFUSED), "has no access to"),
    Reason.TLS_FAILURE: (engine(RunState.FAILED, Reason.TLS_FAILURE), "it failed"),
    Reason.ATTEMPTS_SPENT: (engine(RunState.FAILED, Reason.ATTEMPTS_SPENT), "it failed"),
    Reason.UNEXPECTED_ERROR: (engine(RunState.FAILED, Reason.UNEXPECTED_ERROR), "it failed"),
    Reason.AUTHENTICATION: (authentication, "learningcart is paused"),
    Reason.RETRYING: (engine(RunState.WAITING, Reason.RETRYING), "the next try is at"),
    Reason.SETTLING: (engine(RunState.WAITING, Reason.SETTLING), MAYBE),
    Reason.WORKER_VANISHED: (engine(RunState.WAITING, Reason.WORKER_VANISHED), MAYBE),
    Reason.LEASE_SHORT: (engine(RunState.WAITING, Reason.LEASE_SHORT), "the next try is at"),
    Reason.SUPERSEDED: (superseded, "it is due now"),
    Reason.CANCELLED_BY_SOURCE: (withdrawn(Payment.CANCELLED, after=False), "gets no access to"),
    Reason.REFUNDED_BY_SOURCE: (withdrawn(Payment.REFUNDED, after=False), "has given no access by it"),
    Reason.REMOVED_FROM_ORDER: (two_lines_then_one(after=False), DUE),
    Reason.CANCELLED_BY_OPERATOR: (
        engine(RunState.CANCELLED, Reason.CANCELLED_BY_OPERATOR, cancelled_by="operator"),
        "gets no access to",
    ),
    Reason.DONE_BY_HAND: (engine(RunState.SUCCEEDED, Reason.DONE_BY_HAND, note="by Ann"), "by hand: by Ann"),
    Reason.SETTLED_BY_SOURCE: (settled_by_source, HAS),
    Reason.BEFORE_START: (lambda ledger: record(ledger, OLDER, baseline=True), "before Cartbridge started"),
    Reason.IGNORED_PRODUCT: (ignored_product, "gives nothing by rule"),
    Reason.RENEWAL_IGNORED: (ignored_renewal, "gives nothing by rule"),
    Reason.INSTALMENT: (order_says(OrderState.IGNORED, Reason.INSTALMENT), "gives nothing by rule"),
    Reason.ON_TRIAL: (order_says(OrderState.WAITING, Reason.ON_TRIAL), "waits"),
    Reason.COVERED_BY_OTHER_LINE: (order_says(OrderState.IGNORED, Reason.COVERED_BY_OTHER_LINE), "nothing by rule"),
    Reason.AWAITING_PAYMENT: (lambda ledger: record(ledger, an_order(payment=Payment.WAITING)), "is not paid yet"),
    Reason.ALREADY_BOUGHT: (beside(RunState.CANCELLED, Reason.ALREADY_BOUGHT), "has bought the follow-on course"),
    Reason.ORDER_NOT_FOUND: (unread(Reason.ORDER_NOT_FOUND), "could not be read"),
    Reason.RECORD_UNREADABLE: (unread(Reason.RECORD_UNREADABLE), "could not be read"),
    Reason.ORDER_INCOMPLETE: (unread(Reason.ORDER_INCOMPLETE), "is not read yet"),
    Reason.SOURCE_UNREACHABLE: (unread(Reason.SOURCE_UNREACHABLE), "is not read yet"),
    Reason.SOURCE_REFUSED: (unread(Reason.SOURCE_REFUSED), "is not read yet"),
    Reason.SOURCE_OFF: (unread(Reason.SOURCE_OFF), "is not read yet"),
    Reason.OFFERS_INVALID: (unread(Reason.OFFERS_INVALID), "is not read yet"),
    Reason.SUBSCRIPTION_NEWS: (unread(Reason.SUBSCRIPTION_NEWS), "news of a subscription, which is no order"),
    Reason.TEST_NOTIFICATION: (unread(Reason.TEST_NOTIFICATION), "there is no such order"),
}
"""How each reason comes about, and what the answer must say."""
NEVER_ASKED = {Reason.LEAD, Reason.POLLED}
"""They have no order, no learner and no run: nothing that could be asked about."""


def ask(ledger: Ledger, subject: str = ORDER, now: datetime = NOW) -> dict[str, Any]:
    with ledger.read() as connection:
        found: dict[str, Any] = to_json(why(connection, subject, now=now))
        return found


def test_every_reason_has_its_sentence_when_all_are_counted() -> None:
    assert set(Reason) - set(EXPECTED) == NEVER_ASKED


@pytest.mark.parametrize("reason", list(EXPECTED))
def test_answer_is_true_and_says_what_to_do_when_asked_why(ledger: Ledger, reason: Reason) -> None:
    build, expected = EXPECTED[reason]
    build(ledger)
    answer, action = ask(ledger)["answer"], ask(ledger)["action"]
    assert expected in answer
    for row in rows(ledger, runs):
        product = row.title
        if row.workflow == "enrolment" and row.state == RunState.SUCCEEDED:
            assert f"no access to {product} (" not in answer, "access that was given is denied"
            assert f"access to {product}" in answer
    if not [row for row in rows(ledger, runs) if row.state == RunState.SUCCEEDED]:
        assert HAS not in answer.replace("Whether jane@example.test has access to", "")
    assert not re.search(r"\b(RUN|SOURCE|ORDER)\b", f"{answer} {action}"), "a name that was not filled in"
    assert f"access to {str(reason).replace('_', ' ')}" not in answer, "a code is no product"


def test_payment_is_what_is_missing_when_an_order_is_unpaid_again_before_its_access_was_given(ledger: Ledger) -> None:
    record(ledger, an_order())
    record(ledger, an_order(payment=Payment.WAITING))
    found = ask(ledger)
    assert found["answer"].startswith("jane@example.test has no access to Course 1107")
    assert "The order is not paid; it waits for news from the source." in found["answer"]
    record(ledger, an_order(payment=Payment.UNKNOWN, status="held"))
    assert ask(ledger)["answer"].startswith(f"Order {ORDER}: The source gives the order")


def test_other_payment_is_named_when_a_refunded_order_was_one_of_two(ledger: Ledger) -> None:
    given(ledger, "1108")
    withdrawn(Payment.REFUNDED, after=True)(ledger)
    found = ask(ledger)
    assert "Order studiocart/1108 also pays for this access." in found["answer"]
    assert found["action"].startswith("Leave the access")


def test_payment_that_was_refunded_too_is_not_named_when_both_were(ledger: Ledger) -> None:
    given(ledger, "1108")
    record(ledger, an_order("1108", payment=Payment.REFUNDED))
    withdrawn(Payment.REFUNDED, after=True)(ledger)
    assert "Nothing else that the ledger knows pays for this access." in ask(ledger)["answer"]


def test_new_learners_own_purchase_is_named_when_the_seat_was_changed_to_them(ledger: Ledger) -> None:
    given(ledger, "1108", learner=JOHN)
    learner_changed(ledger)
    assert "john@example.test, who has it by order studiocart/1108" in ask(ledger)["answer"]


def test_access_given_is_said_when_another_order_of_the_learner_needs_a_person(ledger: Ledger) -> None:
    given(ledger)
    record(ledger, an_order("1200", lines=[a_line("99", seats=[a_seat()])]))
    answer = ask(ledger, JANE.email)["answer"]
    assert "no access to Course 99" in answer
    assert f"has access to {COURSE}" in answer


def test_taking_back_by_hand_is_said_when_a_refund_was_settled(ledger: Ledger) -> None:
    given(ledger)
    record(ledger, an_order(payment=Payment.REFUNDED))
    settle(ledger, f"{SEAT}/revoke")
    answer = ask(ledger)["answer"]
    assert answer.startswith(f"jane@example.test was given access to {COURSE}")
    assert "settled by hand: taken back" in answer


def test_shared_email_is_one_question_when_several_seats_of_an_order_have_it(ledger: Ledger) -> None:
    seats = [Seat(id=f"participant-{number}-user-{number}", learner=JANE, hold="shared_email") for number in range(12)]
    record(ledger, an_order(lines=[a_line(seats=seats)]))
    found = ask(ledger)
    assert found["answer"].startswith(f"12 seats of order {ORDER} share jane@example.test")
    assert "more below" not in found["answer"]
    with ledger.read() as connection:
        (group,) = needs_person(connection, most_counted=100)
        assert (group.count, group.orders) == (12, 1)
        (problem,) = problems(connection, NOW)
        assert problem.title == "12 runs of 1 order in review: shared_email"


def test_order_says_refunded_after_when_access_was_given_by_it(ledger: Ledger) -> None:
    withdrawn(Payment.REFUNDED, after=True)(ledger)
    (order,) = rows(ledger, orders)
    assert (order.state, order.reason) == (OrderState.CANCELLED, Reason.REFUNDED_AFTER_PROVISIONING)
