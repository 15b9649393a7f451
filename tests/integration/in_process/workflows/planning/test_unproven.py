"""Complete orders in which nothing shows that money was taken: they wait for a day, then a person is asked."""

from __future__ import annotations

from datetime import timedelta

from tests.unit.workflows.fakes.storefront import (
    NOW,
    START,
    Clock,
    FakeSource,
    an_order,
    put_run,
    record,
    rows,
    states,
)
from worker.ledger.runs.due import take_orders_to_replan
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.runs import orders
from worker.sources.order import Order, Payment
from workflows.ingest.deliveries import DeliveryReader
from workflows.planning.unproven import ASKED_AFTER, asked_at

DAY = timedelta(hours=24)
ASKED = {"1109/-/-/payment-unproven": ("review", "payment_unproven")}


def unproven(**more: object) -> Order:
    return an_order(payment=Payment.WAITING, payment_unproven=True, status="1 New", **more)  # type: ignore[arg-type]


def order_state(ledger: Ledger) -> tuple[str, str | None, object]:
    (row,) = rows(ledger, orders)
    return row.state, row.reason, row.replan_at


def test_order_waits_with_a_time_when_nothing_shows_that_money_was_taken(ledger: Ledger) -> None:
    record(ledger, unproven())
    assert order_state(ledger) == ("waiting", "awaiting_payment", NOW - timedelta(hours=1) + DAY)
    assert states(ledger) == {}
    record(ledger, unproven(), now=NOW + timedelta(hours=22))
    assert order_state(ledger) == ("waiting", "awaiting_payment", NOW - timedelta(hours=1) + DAY)


def test_order_is_asked_about_by_its_time_alone_when_a_day_has_passed(ledger: Ledger) -> None:
    record(ledger, unproven())
    with ledger.write() as connection:
        assert take_orders_to_replan(connection, now=NOW + timedelta(hours=22, minutes=59), limit=9) == []
        assert take_orders_to_replan(connection, now=NOW + timedelta(hours=23), limit=9) == [("studiocart", "1109")]
    record(ledger, unproven(), now=NOW + timedelta(hours=23))
    assert order_state(ledger) == ("review", "payment_unproven", None)
    assert states(ledger) == ASKED
    assert record(ledger, unproven(), now=NOW + DAY).plan.actions == ()


def test_question_is_settled_and_access_given_when_the_money_came(ledger: Ledger) -> None:
    record(ledger, unproven())
    record(ledger, unproven(), now=NOW + DAY)
    record(ledger, an_order(), now=NOW + DAY + timedelta(minutes=1))
    assert states(ledger) == {
        "1109/-/-/payment-unproven": ("cancelled", "settled_by_source"),
        "1109/1107/buyer/501": ("pending", None),
    }


def test_question_is_settled_when_the_order_is_unpaid_cancelled_or_of_a_status_nobody_ruled_on(ledger: Ledger) -> None:
    for payment, state in ((Payment.WAITING, "waiting"), (Payment.CANCELLED, "cancelled"), (Payment.UNKNOWN, "review")):
        record(ledger, unproven(), now=NOW + DAY)
        assert states(ledger)["1109/-/-/payment-unproven"] == ASKED["1109/-/-/payment-unproven"]
        record(ledger, an_order(payment=payment), now=NOW + DAY)
        assert states(ledger)["1109/-/-/payment-unproven"] == ("cancelled", "settled_by_source")
        assert order_state(ledger)[0] == state


def test_nothing_is_asked_when_access_was_given_before(ledger: Ledger) -> None:
    record(ledger, an_order())
    put_run(ledger, "1109/1107/buyer/501", RunState.SUCCEEDED)
    record(ledger, unproven(), now=NOW + DAY)
    assert order_state(ledger)[:2] == ("planned", None)
    assert list(states(ledger)) == ["1109/1107/buyer/501"]


def test_seat_is_held_back_and_asked_about_when_the_money_is_gone_before_access_was_given(ledger: Ledger) -> None:
    record(ledger, an_order())
    record(ledger, unproven(), now=NOW + DAY)
    held = {"1109/1107/buyer/501": ("cancelled", "awaiting_payment")}
    assert states(ledger) == ASKED | held
    record(ledger, an_order(), now=NOW + DAY + timedelta(minutes=1))
    assert states(ledger)["1109/1107/buyer/501"] == ("pending", None)


def test_preview_says_the_same_when_a_day_has_passed(
    ledger: Ledger, source: FakeSource, reader: DeliveryReader, clock: Clock
) -> None:
    source.put(unproven())
    for _ in range(2):
        _, plan = reader.preview_fetched("studiocart", "1109")
        assert (plan.state, plan.reason) == ("waiting", "awaiting_payment")
    clock.advance(hours=23)
    _, plan = reader.preview_fetched("studiocart", "1109")
    assert (plan.state, plan.reason) == ("review", "payment_unproven")


def test_moment_counts_from_the_order_and_nobody_is_asked_when_it_is_older_than_the_start() -> None:
    made_at = NOW - timedelta(hours=1)
    assert asked_at(unproven(), first_seen_at=NOW, start_at=START) == made_at + ASKED_AFTER
    assert asked_at(unproven(created_at=None), first_seen_at=NOW, start_at=START) == NOW + ASKED_AFTER
    assert asked_at(unproven(created_at=NOW + DAY), first_seen_at=NOW, start_at=START) == NOW + ASKED_AFTER
    assert asked_at(unproven(), first_seen_at=NOW, start_at=NOW) is None
    assert asked_at(unproven(), first_seen_at=NOW, start_at=None) == made_at + ASKED_AFTER
    assert asked_at(an_order(), first_seen_at=NOW, start_at=START) is None
