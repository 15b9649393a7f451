"""The enrolment's steps: what each asks of LearningCart, and what the lookup makes of its answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.workflows.fakes.learningcart import FakeLearningCart, comped_order
from tests.unit.workflows.fakes.storefront import JANE, NOW
from worker.clients.base import CallLimits
from worker.clients.learningcart.models import Order
from worker.errors import UnexpectedResponseError
from worker.ledger import keys
from worker.ledger.session import Ledger
from workflows.enrolment.steps import ADD_COMPED_ORDER, ADD_CUSTOMER, ADD_CUSTOMER_TO_GROUP, ENROLMENT
from workflows.execution.steps import Call, Lookup, Repeat
from workflows.registry import WORKFLOWS

OURS = keys.reference("studiocart/1109/1107/buyer/501", "add_comped_order", 0)
ANOTHERS = keys.reference("studiocart/1110/1107/buyer/501", "add_comped_order", 0)


def a_call(learningcart: FakeLearningCart, step: str = "add_comped_order", **more: Any) -> Call:
    return Call(
        clients={"learningcart": learningcart},
        ledger=Ledger("sqlite://"),
        source="studiocart",
        order_id="1109",
        learner=JANE,
        planned={"price_id": 501, "group_ids": [12, 13]},
        step=step,
        reference=OURS,
        outputs={"add_customer": {"customer_id": 5001}},
        now=NOW,
        limits=CallLimits(deadline_seconds=7.0),
        **more,
    )


def looked_up(learningcart: FakeLearningCart) -> Lookup:
    assert ADD_COMPED_ORDER.look_up is not None
    return ADD_COMPED_ORDER.look_up(a_call(learningcart), NOW - timedelta(minutes=5))


@pytest.mark.parametrize(
    ("group_ids", "names"),
    [
        ((), ["add_customer", "add_comped_order"]),
        ((12,), ["add_customer", "add_customer_to_group", "add_comped_order"]),
        (
            (12, 13, 14),
            [
                "add_customer",
                "add_customer_to_group",
                "add_customer_to_group_2",
                "add_customer_to_group_3",
                "add_comped_order",
            ],
        ),
    ],
)
def test_run_has_one_step_a_group_when_its_grant_names_some(group_ids: tuple[int, ...], names: list[str]) -> None:
    planned = ENROLMENT.sequence({"price_id": 501, "group_ids": group_ids})
    assert [step.name for step in planned] == names
    assert planned[-1].definition is ADD_COMPED_ORDER


def test_only_the_comped_order_needs_asking_when_steps_are_repeated() -> None:
    assert [each.repeat for each in ENROLMENT.definitions] == [Repeat.SAFE, Repeat.SAFE, Repeat.ASK]
    assert WORKFLOWS["enrolment"] is ENROLMENT


def test_no_password_is_sent_when_the_customer_is_added() -> None:
    learningcart = FakeLearningCart()
    result = ADD_CUSTOMER.call(a_call(learningcart, "add_customer"))
    assert result.output == {"customer_id": 5001, "is_new": True, "site": "academy.example"}
    (fields,) = learningcart.customers
    assert fields.parameters() == {"Email": JANE.email, "FirstName": "Jane", "LastName": "Doe"}


@pytest.mark.parametrize(("step", "group_id"), [("add_customer_to_group", 12), ("add_customer_to_group_2", 13)])
def test_customer_joins_the_group_of_the_steps_number_when_there_are_several(step: str, group_id: int) -> None:
    learningcart = FakeLearningCart()
    assert ADD_CUSTOMER_TO_GROUP.call(a_call(learningcart, step)).output == {"group_id": group_id}
    assert learningcart.members == [(5001, group_id)]


def test_order_carries_the_reference_and_its_origin_when_it_is_made() -> None:
    learningcart = FakeLearningCart()
    result = ADD_COMPED_ORDER.call(a_call(learningcart))
    assert (result.output, result.result_id) == ({"order_id": "90001", "price_id": 501}, "90001")
    (order,) = learningcart.made
    assert order.customer_comments == f"{OURS} studiocart order 1109"
    assert learningcart.limits == [CallLimits(deadline_seconds=7.0)]


@pytest.mark.parametrize(
    "answered",
    [
        comped_order(90007, f"{ANOTHERS} studiocart order 1110"),
        comped_order(90007, f"{OURS} studiocart order 1109", customer_id=5002),
        comped_order(90007, "", customer_id=5002),
    ],
)
def test_outcome_is_unknown_when_anothers_order_is_answered(answered: Order) -> None:
    learningcart = FakeLearningCart()
    learningcart.add_comp_order = lambda *_, **__: answered  # type: ignore[method-assign]
    with pytest.raises(UnexpectedResponseError) as caught:
        ADD_COMPED_ORDER.call(a_call(learningcart))
    assert (caught.value.outcome_unknown, caught.value.retryable) == (True, False)


@pytest.mark.parametrize("comments", [f"{OURS.upper()} studiocart", f"{ANOTHERS} {OURS}", "", None, "cut off cb-"])
def test_order_is_ours_when_nothing_in_the_answer_denies_it(comments: str | None) -> None:
    learningcart = FakeLearningCart()
    learningcart.add_comp_order = lambda *_, **__: comped_order(90007, comments)  # type: ignore[method-assign]
    assert ADD_COMPED_ORDER.call(a_call(learningcart)).result_id == "90007"


def test_window_is_a_day_wider_on_each_side_when_an_order_is_looked_up() -> None:
    learningcart = FakeLearningCart()
    assert looked_up(learningcart) == Lookup(output={"price_id": 501})
    assert learningcart.windows == [(NOW - timedelta(days=1, minutes=5), NOW + timedelta(days=1))]


@pytest.mark.parametrize(
    "comments", [f"{OURS} studiocart order 1109", f"Order: {OURS.upper()}.", f"{ANOTHERS} {OURS}", f"\n{OURS}\n"]
)
def test_order_is_found_when_it_carries_our_reference_as_a_whole_word(comments: str) -> None:
    assert looked_up(FakeLearningCart(made=[comped_order(90007, comments)])).found == ("90007",)


@pytest.mark.parametrize("comments", [OURS + "a", "x" + OURS, f"{OURS}-2", None, "", "typed in by Anna"])
def test_order_is_unreferenced_when_it_carries_no_whole_reference(comments: str | None) -> None:
    found = looked_up(FakeLearningCart(made=[comped_order(90007, comments)]))
    assert (found.found, found.unreferenced) == ((), ("90007",))


def test_order_is_left_out_when_it_carries_another_reference_or_is_anothers() -> None:
    orders = [comped_order(90007, ANOTHERS), comped_order(90008, "by hand", customer_id=5002)]
    assert looked_up(FakeLearningCart(made=orders)) == Lookup(output={"price_id": 501})


def test_oldest_is_first_when_several_carry_our_reference() -> None:
    orders = [comped_order(100000, OURS), comped_order(99999, OURS)]
    assert looked_up(FakeLearningCart(made=orders)).found == ("99999", "100000")


def test_order_is_read_again_when_the_list_names_no_customer() -> None:
    orders = [comped_order(90007), comped_order(90008, customer_id=5002), comped_order(90009, customer_id=5002)]
    learningcart = FakeLearningCart(made=orders, names_customers=False, forgets={90009})
    assert looked_up(learningcart).unreferenced == ("90007", "90009")
    assert learningcart.asked.count("get_order_by_id 90008") == 1
