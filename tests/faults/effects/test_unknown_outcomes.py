"""Unknown outcomes: what the lookup may conclude, and what it must leave to a person."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.harness.product import MAX_ATTEMPTS, ON_SQLITE, Rig
from worker.sandbox import Fault

pytestmark = pytest.mark.faults


def lose_answer(rig: Rig, *, made: bool = True, times: int | None = 1) -> None:
    rig.sandbox.inject(
        Fault("learningcart", "addCompOrder", kind="cut", when="after" if made else "before", times=times)
    )


def test_run_is_in_review_when_comments_are_not_echoed(rig: Rig) -> None:
    rig.sandbox.config.learningcart.echo_comments = False
    run_id = rig.enrol()
    lose_answer(rig)
    rig.finish()
    assert rig.state(run_id) == ("review", "outcome_unprovable")
    (effect,) = rig.comped_orders
    assert str(effect.facts["order_id"]) in rig.run(run_id)["note"]
    assert rig.run(run_id)["result_id"] is None


@ON_SQLITE
def test_no_second_order_is_made_when_an_unprovable_run_is_replayed(rig: Rig) -> None:
    rig.sandbox.config.learningcart.echo_comments = False
    run_id = rig.enrol()
    lose_answer(rig)
    rig.finish()
    for _ in range(3):
        assert rig.runtime.operations.replay(run_id, actor="operator:test").result == "replayed"
        rig.finish()
        assert rig.state(run_id) == ("review", "outcome_unprovable")
    assert len(rig.comped_orders) == 1


@ON_SQLITE
def test_later_orders_can_be_proven_again_when_an_operator_resolved_the_question(rig: Rig) -> None:
    rig.sandbox.config.learningcart.echo_comments = False
    first = rig.enrol(7001)
    lose_answer(rig)
    rig.finish()
    (effect,) = rig.comped_orders
    rig.runtime.operations.resolve(
        first, actor="operator:test", note="it is there", result_id=str(effect.facts["order_id"])
    )
    second = rig.enrol(7002)
    lose_answer(rig, made=False)
    rig.finish()
    assert rig.state(second) == ("succeeded", None)
    assert len(rig.comped_orders) == 2


def test_absence_is_proven_without_comments_when_every_order_of_the_customer_is_accounted_for(rig: Rig) -> None:
    rig.sandbox.config.learningcart.echo_comments = False
    for number in range(3):
        rig.enrol(7001 + number)
    rig.finish()
    run_id = rig.enrol(7010)
    lose_answer(rig, made=False)
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
    assert rig.outcomes(run_id) == [("call", "unknown"), ("lookup", "absent"), ("call", "ok")]
    assert len(rig.comped_orders) == 4


@ON_SQLITE
def test_run_is_in_review_when_one_order_among_accounted_ones_carries_no_reference(rig: Rig) -> None:
    rig.sandbox.config.learningcart.echo_comments = False
    for number in range(3):
        rig.enrol(7001 + number)
    rig.finish()
    run_id = rig.enrol(7010)
    lose_answer(rig)
    rig.finish()
    assert rig.state(run_id) == ("review", "outcome_unprovable")
    assert len(rig.comped_orders) == 4


@ON_SQLITE
@pytest.mark.parametrize("comments", ["", "typed in by Anna, see mail", "cb-notareference studiocart order 7001"])
def test_run_is_in_review_when_somebody_made_an_order_by_hand(rig: Rig, comments: str) -> None:
    customer = rig.sandbox.learningcart.add_customer("jane@example.test")
    by_hand = rig.sandbox.learningcart.add_order(customer.id, 501, comments)
    run_id = rig.enrol()
    lose_answer(rig, made=False)
    rig.finish()
    assert rig.state(run_id) == ("review", "outcome_unprovable")
    assert str(by_hand.id) in rig.run(run_id)["note"]
    assert rig.comped_orders == []


@ON_SQLITE
def test_order_is_adopted_when_it_carries_the_reference_beside_orders_made_by_hand(rig: Rig) -> None:
    customer = rig.sandbox.learningcart.add_customer("jane@example.test")
    rig.sandbox.learningcart.add_order(customer.id, 501, "")
    run_id = rig.enrol()
    lose_answer(rig)
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
    assert len(rig.comped_orders) == 1


@ON_SQLITE
def test_orders_of_others_do_not_matter_when_absence_is_to_be_proven(rig: Rig) -> None:
    other_customer = rig.sandbox.learningcart.add_customer("stranger@example.test")
    rig.sandbox.learningcart.add_order(other_customer.id, 501, "")
    run_id = rig.enrol()
    lose_answer(rig, made=False)
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)


@ON_SQLITE
def test_order_of_another_run_is_not_adopted_when_both_are_of_one_customer_and_price(rig: Rig) -> None:
    rig.enrol(7001)
    rig.finish()
    run_id = rig.enrol(7002)
    lose_answer(rig, made=False)
    rig.finish()
    assert rig.outcomes(run_id) == [("call", "unknown"), ("lookup", "absent"), ("call", "ok")]
    first, second = rig.comped_orders
    assert first.facts["comments"].split()[0] != second.facts["comments"].split()[0]


def test_second_effect_is_reported_when_two_orders_carry_the_reference(rig: Rig) -> None:
    """An intermediary may repeat a GET."""
    run_id = rig.enrol()
    lose_answer(rig)
    rig.go_on()
    (effect,) = rig.comped_orders
    repeated = rig.sandbox.learningcart.add_order(effect.facts["customer_id"], 501, effect.facts["comments"])
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
    assert rig.run(run_id)["result_id"] == str(effect.facts["order_id"])
    (review,) = rig.reviews(about=run_id)
    assert (review["state"], review["reason"]) == ("review", "duplicate_effect")
    assert review["result_id"] == str(repeated.id)


def test_run_is_in_review_and_not_failed_when_the_cap_is_spent_on_unknown_outcomes(rig: Rig) -> None:
    run_id = rig.enrol()
    lose_answer(rig, made=False, times=None)
    rig.finish()
    assert rig.state(run_id) == ("review", "outcome_unknown")
    assert rig.count("addCompOrder") == MAX_ATTEMPTS
    assert rig.outcomes(run_id) == [("call", "unknown"), ("lookup", "absent")] * MAX_ATTEMPTS
    assert rig.comped_orders == []


@ON_SQLITE
def test_nothing_is_sent_before_the_question_when_a_spent_run_is_replayed(rig: Rig) -> None:
    run_id = rig.enrol()
    lose_answer(rig, made=False, times=MAX_ATTEMPTS - 1)
    lose_answer(rig, made=True)
    rig.sandbox.inject(Fault("learningcart", "getOrdersByDate", kind="status", times=2, after=MAX_ATTEMPTS - 1))
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
    assert len(rig.comped_orders) == 1


@ON_SQLITE
def test_attempts_are_counted_for_each_step_when_several_fail(rig: Rig) -> None:
    run_id = rig.enrol()
    for operation in ("addCustomer", "addCustomerToGroup", "addCompOrder"):
        rig.sandbox.inject(
            Fault(
                "learningcart", operation, kind="status", status=429, times=MAX_ATTEMPTS - 1, body='{"Message": "slow"}'
            )
        )
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
    assert [row["counted"] for row in rig.rows("steps")] == [MAX_ATTEMPTS - 1, MAX_ATTEMPTS - 1, MAX_ATTEMPTS]


@ON_SQLITE
def test_run_fails_when_the_cap_is_spent_on_refusals_after_an_unknown_outcome_was_settled(rig: Rig) -> None:
    run_id = rig.enrol()
    lose_answer(rig, made=False)
    rig.sandbox.inject(
        Fault("learningcart", "addCompOrder", kind="status", status=429, times=None, body="Too many requests")
    )
    rig.finish()
    assert rig.state(run_id) == ("failed", "attempts_spent")
    assert rig.comped_orders == []


@ON_SQLITE
def test_new_reference_is_used_when_an_operator_repeats_on_purpose(rig: Rig) -> None:
    run_id = rig.enrol()
    rig.finish()
    done = rig.runtime.operations.replay(
        run_id, actor="operator:test", from_step="add_comped_order", again=True, reason="the first was cancelled"
    )
    assert done.result == "replayed"
    lose_answer(rig)
    rig.finish()
    first, second = rig.comped_orders
    assert first.facts["comments"].split()[0] != second.facts["comments"].split()[0]
    assert rig.state(run_id) == ("succeeded", None)
    assert rig.run(run_id)["result_id"] == str(second.facts["order_id"])
    assert rig.reviews() == []


@ON_SQLITE
def test_reference_holds_nothing_personal_and_nothing_secret_when_it_is_sent(rig: Rig) -> None:
    rig.enrol(7001, email="very.personal@example.test")
    rig.finish()
    (effect,) = rig.comped_orders
    assert effect.facts["comments"].endswith(" studiocart order 7001")
    assert "personal" not in effect.facts["comments"]


@ON_SQLITE
def test_order_is_read_again_when_the_list_does_not_name_its_customer(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that leaves the customer out is no proof: each of its orders is asked for by its id."""
    customer = rig.sandbox.learningcart.add_customer("stranger@example.test")
    rig.sandbox.learningcart.add_order(customer.id, 501, "")
    client = rig.runtime.clients["learningcart"]
    real = client.get_orders_by_date

    def without_customers(*arguments: object, **options: object) -> list[object]:
        return [
            order.model_copy(update={"customer": None, "customer_email": None}) for order in real(*arguments, **options)
        ]

    monkeypatch.setattr(client, "get_orders_by_date", without_customers)
    run_id = rig.enrol()
    lose_answer(rig, made=False)
    rig.finish()
    assert rig.count("getOrderByID") == 2
    assert rig.state(run_id) == ("succeeded", None)


@ON_SQLITE
def test_order_is_known_when_its_answer_names_a_shell_of_a_customer(rig: Rig) -> None:
    rig.sandbox.config.learningcart.records = "shell_customer"
    run_id = rig.enrol()
    rig.finish()
    assert rig.outcomes(run_id) == [("call", "ok")]
    assert rig.count("getOrdersByDate") == 0


@ON_SQLITE
@pytest.mark.parametrize("records", ["shell_customer", "null_row"])
def test_order_is_adopted_when_other_records_cannot_be_read(rig: Rig, records: Any) -> None:
    rig.sandbox.config.learningcart.records = records
    run_id = rig.enrol()
    lose_answer(rig)
    rig.finish()
    assert rig.outcomes(run_id) == [("call", "unknown"), ("lookup", "adopted")]
    assert len(rig.comped_orders) == 1


@ON_SQLITE
@pytest.mark.parametrize(
    ("records", "made"), [("no_order_id", True), ("null_row", False)], ids=["order without an id", "null row"]
)
def test_run_is_in_review_when_a_record_cannot_be_read(rig: Rig, records: Any, *, made: bool) -> None:
    rig.sandbox.config.learningcart.records = records
    run_id = rig.enrol()
    lose_answer(rig, made=made)
    rig.finish()
    assert rig.state(run_id) == ("review", "outcome_unprovable")
    assert "cannot be read" in rig.run(run_id)["note"]
    assert rig.count("addCompOrder") == 1
