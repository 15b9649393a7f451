from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.records import record
from worker.cli.demo.facts import Facts
from worker.cli.demo.proof import (
    check_effects,
    check_faults,
    check_finished,
    check_reviews,
    check_sales,
)
from worker.ledger.views.details import AttemptItem, RunDetail, StepItem
from worker.ledger.views.records import OrderItem
from worker.sandbox import Effect

AT = datetime(2026, 3, 4, tzinfo=UTC)
ONE, TWO = "cb-" + "a" * 20, "cb-" + "b" * 20


def comped(order_id: int, reference: str, *, price: int = 501, email: str = "Jane@example.test", of: int = 7) -> Effect:
    comments = f"{reference} studiocart order {of}"
    facts = {"order_id": order_id, "customer_id": 1, "price_id": price, "email": email, "comments": comments}
    return Effect(order_id, AT, "learningcart", "addCompOrder", facts)


def joined(group_id: int, email: str = "jane@example.test") -> Effect:
    return Effect(1, AT, "learningcart", "addCustomerToGroup", {"email": email, "group_id": group_id})


def run(run_id: str = "r1", reference: str = ONE, **fields: Any) -> RunDetail:
    attempt = record(AttemptItem, number=1, outcome="ok", reference=reference)
    customer = record(AttemptItem, number=1, outcome="ok")
    values: dict[str, Any] = {
        "id": run_id,
        "workflow": "enrolment",
        "state": "succeeded",
        "reason": None,
        "order_id": "7",
        "email": "jane@example.test",
        "grant": {"price_id": 501, "group_ids": [12]},
        "result_id": "90001",
        "steps": [
            record(StepItem, name="add_comped_order", attempts=[attempt]),
            record(StepItem, name="add_customer", attempts=[customer]),
        ],
    }
    return record(RunDetail, **(values | fields))


def shown(order_id: int = 90001, reference: str = ONE, price: int = 501, email: str = "jane@example.test") -> str:
    return f"LearningCart order {order_id} under {reference}, price {price}, {email}"


def disagreements(effects: list[Effect], *runs: RunDetail) -> list[str]:
    return [line for check in check_effects(effects, Facts(runs=runs, details=runs)) for line in check.disagreements]


def test_nothing_disagrees_when_books_and_ledger_are_the_same() -> None:
    assert disagreements([comped(90001, ONE), joined(12)], run()) == []


@pytest.mark.parametrize(
    ("effects", "changes", "sentence"),
    [
        ([], {}, f"not in LearningCart's books: {shown()}"),
        ([comped(90001, ONE), comped(90002, ONE)], {}, f"belongs to no succeeded run: {shown(90002)}"),
        ([comped(90001, ONE), comped(90002, TWO)], {}, f"belongs to no succeeded run: {shown(90002, TWO)}"),
        ([comped(90001, "by hand")], {}, f"belongs to no succeeded run: {shown(reference='no reference')}"),
        ([comped(90001, ONE)], {"result_id": "90009"}, f"not in LearningCart's books: {shown(90009)}"),
        ([comped(90001, ONE, price=502)], {}, f"belongs to no succeeded run: {shown(price=502)}"),
        ([comped(90001, ONE, email="john@x.test")], {}, f"belongs to no succeeded run: {shown(email='john@x.test')}"),
        ([comped(90001, ONE)], {"state": "waiting"}, f"belongs to no succeeded run: {shown()}"),
    ],
)
def test_disagreement_is_told_when_books_and_ledger_differ(
    effects: list[Effect], changes: dict[str, Any], sentence: str
) -> None:
    assert sentence in disagreements([*effects, joined(12)], run(**changes))


def test_membership_is_told_when_it_is_missing_or_too_much() -> None:
    found = disagreements([comped(90001, ONE), joined(13)], run())
    assert found == ["jane@example.test is not in group 12", "jane@example.test is in group 13, for no run"]


def test_every_sale_is_counted_when_books_are_held_against_the_shop() -> None:
    expected = Counter({("7", 501): 1})
    assert check_sales([comped(1, ONE)], expected).holds
    assert check_sales([], expected).disagreements == ("order 7: no comped order of price 501",)
    found = check_sales([comped(1, ONE), comped(2, TWO)], expected)
    assert found.disagreements == ("order 7: a comped order of price 501 too many",)


def test_reviews_are_as_expected_when_nothing_else_waits() -> None:
    waiting = run(state="review", reason="unnamed_seat")
    expected = Counter({("7", "unnamed_seat"): 1})
    assert check_reviews(Facts(runs=(waiting,)), expected).holds
    assert check_reviews(Facts(), expected).disagreements == ("order 7 is not in review as unnamed_seat",)
    found = check_reviews(Facts(runs=(waiting, run(state="failed", reason="refused"))), Counter())
    assert found.disagreements == ("order 7 is in failed as refused", "order 7 is in review as unnamed_seat")


def test_what_is_left_is_told_when_the_end_came_too_early() -> None:
    order = record(OrderItem, order_id="7", status="paid")
    assert check_finished(Facts(orders=(order,)), {"7": "paid"}, 9.0).holds
    found = check_finished(Facts(runs=(run(state="waiting"),), orders=(order,)), {"7": "refunded", "8": "paid"}, 9.0)
    assert found.disagreements == (
        "order 7: run r1 is waiting",
        "order 7 is 'refunded' in the shop alone",
        "order 8 is 'paid' in the shop alone",
        "order 7 is 'paid' in the ledger alone",
    )


def test_fault_that_never_struck_is_told_when_the_story_ends() -> None:
    assert check_faults({"a cut": 1}).holds
    assert check_faults({"a cut": 2, "a hang": 0}).disagreements == ("this never happened: a hang",)
