from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from worker.cli.demo_facts import Facts
from worker.cli.demo_proof import (
    Check,
    attempts_of,
    check_effects,
    check_ends,
    check_faults,
    check_finished,
    check_reviews,
    check_sales,
    check_secrecy,
)
from worker.sandbox import Effect

AT = datetime(2026, 3, 4, tzinfo=UTC)
ONE, TWO = "cb-" + "a" * 20, "cb-" + "b" * 20


def comped(order_id: int, reference: str, *, price: int = 501, email: str = "Jane@example.test", of: int = 7) -> Effect:
    comments = f"{reference} studiocart order {of}"
    facts = {"order_id": order_id, "customer_id": 1, "price_id": price, "email": email, "comments": comments}
    return Effect(order_id, AT, "learningcart", "addCompOrder", facts)


def joined(group_id: int, email: str = "jane@example.test") -> Effect:
    return Effect(1, AT, "learningcart", "addCustomerToGroup", {"email": email, "group_id": group_id})


def run(run_id: str = "r1", reference: str = ONE, **fields: Any) -> dict[str, Any]:
    attempt = {"number": 1, "started_at": "2026-03-04T00:00:02Z", "outcome": "ok", "reference": reference}
    customer = {"number": 1, "started_at": "2026-03-04T00:00:01Z", "outcome": "ok", "reference": None}
    return {
        "id": run_id,
        "workflow": "enrolment",
        "state": "succeeded",
        "reason": None,
        "order_id": "7",
        "email": "jane@example.test",
        "grant": {"price_id": 501, "group_ids": [12]},
        "result_id": "90001",
        "steps": [
            {"name": "add_comped_order", "attempts": [attempt]},
            {"name": "add_customer", "attempts": [customer]},
        ],
    } | fields


def disagreements(effects: list[Effect], *runs: dict[str, Any]) -> list[str]:
    return [line for check in check_effects(effects, Facts(runs=runs)) for line in check.disagreements]


def test_nothing_disagrees_when_books_and_ledger_are_the_same() -> None:
    assert disagreements([comped(90001, ONE), joined(12)], run()) == []


@pytest.mark.parametrize(
    ("effects", "changes", "sentence"),
    [
        ([], {}, "run r1 (order 7) has 0 comped orders"),
        ([comped(90001, ONE), comped(90002, ONE)], {}, "run r1 (order 7) has 2 comped orders"),
        ([comped(90001, ONE), comped(90002, ONE)], {}, f"{ONE}: LearningCart orders 90001, 90002"),
        ([comped(90001, ONE), comped(90002, TWO)], {}, "LearningCart order 90002 belongs to no succeeded run"),
        ([comped(90001, "by hand")], {}, "no reference: LearningCart orders 90001"),
        (
            [comped(90001, ONE)],
            {"result_id": "90009"},
            "run r1 (order 7) names LearningCart order 90009, its reference is on 90001",
        ),
        (
            [comped(90001, ONE, price=502)],
            {},
            "run r1 (order 7) grants price 501, LearningCart order 90001 has 502",
        ),
        (
            [comped(90001, ONE, email="john@example.test")],
            {},
            "run r1 (order 7) is for jane@example.test, LearningCart order 90001 is for john@example.test",
        ),
        ([comped(90001, ONE)], {"state": "waiting"}, "LearningCart order 90001 belongs to no succeeded run"),
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
    assert found.disagreements == ("order 7 is in review as unnamed_seat", "order 7: run r1 failed (refused)")


def test_what_is_left_is_told_when_the_end_came_too_early() -> None:
    order = {"order_id": "7", "status": "paid"}
    assert check_finished(Facts(orders=(order,)), {"7": "paid"}, 9.0).holds
    found = check_finished(Facts(runs=(run(state="waiting"),), orders=(order,)), {"7": "refunded", "8": "paid"}, 9.0)
    assert found.disagreements == (
        "order 7: run r1 is waiting",
        "order 7 is 'refunded' in the shop and 'paid' in the ledger",
        "order 8 is 'paid' in the shop and 'not there' in the ledger",
    )


def test_fault_that_never_struck_is_told_when_the_story_ends() -> None:
    assert check_faults({"a cut": 1}).holds
    assert check_faults({"a cut": 2, "a hang": 0}).disagreements == ("this never happened: a hang",)


def test_ends_are_told_when_they_are_not_as_they_should() -> None:
    assert check_ends(1, stopped_well=True).holds
    assert len(check_ends(0, stopped_well=False).disagreements) == 2


def test_secret_is_told_without_being_shown_when_it_leaked() -> None:
    places = {"the log": b"password=sandbox-password-learningcart", "the ledger": b"nothing"}
    found = check_secrecy(places)
    assert found.disagreements == ("the log holds one that begins with sandbox-password-",)
    assert check_secrecy({"the log": b"all is well"}) == Check("no password, key or token is in the log")


def test_attempts_are_in_the_order_of_time_when_a_run_has_several_steps() -> None:
    assert [attempt["step"] for attempt in attempts_of(run())] == ["add_customer", "add_comped_order"]
