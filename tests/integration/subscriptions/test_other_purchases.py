"""A later payment of a subscription for what was not bought before is no renewal: a person is asked."""

from __future__ import annotations

import pytest

from tests.integration.subscriptions.watched import IGNORING_TEXT, Watched, a_subscription
from tests.unit.workflows.fakes.storefront import JANE, a_line, an_order, offers, put_run, record, rows, states
from worker.ledger.states import RunState
from worker.ledger.tables.runs import orders
from worker.sources.order import Line, Payment, Product, Seat

RULES = offers(
    IGNORING_TEXT
    + IGNORING_TEXT.replace("1107", "1200").replace("501", "502")
    + IGNORING_TEXT.replace('"1107"', '"1107"\nplan_id = "gold"').replace("501", "503")
)
GIVEN = {"1109/1107/buyer/501": ("pending", None)}


def of_plan(plan_id: str) -> Line:
    product = Product(product_id="1107", plan_id=plan_id, product_name="Course 1107")
    return Line(id="1107", title="Course 1107", product=product, seats=(Seat(id="buyer", learner=JANE),))


def pay(watched: Watched, order_id: int, line: Line, *, replan: bool = False) -> None:
    order = an_order(str(order_id), lines=[line])
    record(watched.ledger, order, rules=RULES, now=watched.clock.advance(minutes=1), replan=replan)


@pytest.mark.parametrize("installments", [None, 3])
@pytest.mark.parametrize(
    ("line", "place", "price_id"), [(a_line("1200"), "1200/buyer", 502), (of_plan("gold"), "1107/buyer", 503)]
)
def test_a_person_is_asked_when_a_payment_is_for_another_product_or_plan(
    watched: Watched, line: Line, place: str, price_id: int, installments: int | None
) -> None:
    watched.site.put(a_subscription(1108, 1109, 1120, 1130, installments=installments))
    pay(watched, 1109, of_plan("silver"))
    watched.poll()
    pay(watched, 1120, line)
    asked = f"1120/{place}/renewal"
    assert states(watched.ledger) == GIVEN | {asked: ("review", "renewal_undecided")}
    pay(watched, 1130, line)  # from then on it renews that
    reasons = {row.order_id: row.reason for row in rows(watched.ledger, orders)}
    assert reasons["1130"] == ("renewal_ignored" if installments is None else "instalment")
    pay(watched, 1120, line, replan=True)
    assert states(watched.ledger) == GIVEN | {
        asked: ("cancelled", "superseded"),
        f"1120/{place}/{price_id}": ("pending", None),
    }


def by_name(name: str) -> Line:
    """A line of a version that shows no product's id."""
    product = Product(product_name=name)
    return Line(id="name-1", title=name, product=product, seats=(Seat(id="buyer", learner=JANE),))


@pytest.mark.parametrize("installments", [None, 3])
@pytest.mark.parametrize(
    ("first", "later"),
    [(by_name("Course 1107"), a_line("1107")), (of_plan("gold"), a_line("1107")), (None, of_plan("gold"))],
)
def test_nobody_is_asked_or_given_a_second_time_when_a_record_leaves_out_what_was_bought(
    watched: Watched, first: Line | None, later: Line, installments: int | None
) -> None:
    watched.site.put(a_subscription(1108, 1109, 1120, installments=installments))
    record(watched.ledger, an_order("1109", lines=[] if first is None else [first]), rules=RULES)
    watched.poll()
    pay(watched, 1120, later)
    assert not [key for key in states(watched.ledger) if key.startswith("1120/")]


@pytest.mark.parametrize("line", [of_plan("silver"), of_plan("bronze"), a_line("1107")])
def test_nobody_is_asked_when_a_payment_is_for_the_same(watched: Watched, line: Line) -> None:
    watched.site.put(a_subscription(1108, 1109, 1120))
    pay(watched, 1109, of_plan("silver"))
    watched.poll()
    pay(watched, 1120, line)
    assert states(watched.ledger) == GIVEN


FIRST = "1109/1107/buyer/501"
ASKED = {"1120/1107/buyer/renewal": ("review", "renewal_undecided")}


def is_paid_later(watched: Watched, payment: Payment, *, replan: bool = False) -> None:
    """The purchase turns out as this, and what is paid after it is looked at."""
    watched.sell(1109, payment=payment)
    record(watched.ledger, an_order("1120"), rules=RULES, now=watched.clock.advance(minutes=1), replan=replan)


@pytest.mark.parametrize("installments", [None, 3])
@pytest.mark.parametrize("payment", [Payment.REFUNDED, Payment.CANCELLED, Payment.UNKNOWN, Payment.WAITING])
def test_a_person_is_asked_when_the_purchase_gave_nothing_and_a_later_payment_is_made(
    watched: Watched, payment: Payment, installments: int | None
) -> None:
    watched.site.put(a_subscription(1108, 1109, 1120, 1130, installments=installments))
    watched.poll()
    is_paid_later(watched, payment)
    assert states(watched.ledger).items() >= ASKED.items()
    pay(watched, 1130, a_line())  # one question is enough
    assert not [key for key in states(watched.ledger) if key.startswith("1130/")]
    is_paid_later(watched, payment, replan=True)
    assert states(watched.ledger)["1120/1107/buyer/501"] == ("pending", None)


def test_a_person_is_asked_when_the_access_of_a_refunded_purchase_was_taken_back(watched: Watched) -> None:
    watched.site.put(a_subscription(1108, 1109, 1120))
    watched.sell(1109)
    watched.poll()
    watched.succeed(1109)
    is_paid_later(watched, Payment.REFUNDED)
    assert set(states(watched.ledger)) == {FIRST, f"{FIRST}/revoke"}  # she still has it
    taken_back = {"reason": "done_by_hand", "finished_at": watched.clock()}
    put_run(watched.ledger, f"{FIRST}/revoke", RunState.SUCCEEDED, **taken_back)
    is_paid_later(watched, Payment.REFUNDED)
    assert states(watched.ledger).items() >= ASKED.items()


def test_question_is_settled_when_the_purchase_is_paid_after_all(watched: Watched) -> None:
    watched.site.put(a_subscription(1108, 1109, 1120))
    watched.poll()
    is_paid_later(watched, Payment.CANCELLED)
    assert states(watched.ledger) == ASKED
    is_paid_later(watched, Payment.PAID)
    assert states(watched.ledger) == GIVEN | {"1120/1107/buyer/renewal": ("cancelled", "superseded")}
