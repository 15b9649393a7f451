"""The follow-on's steps, where a store answers in a way that only a reading of its documents makes likely."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.unit.workflows.fakes.storefront import JANE, NOW
from worker.clients.base import NO_LIMITS, CallLimits
from worker.clients.threedcart.models import Cart
from worker.errors import UnexpectedResponseError
from worker.ledger.session import Ledger
from worker.reasons import Reason
from workflows.execution.steps import Call, Lookup, StopError, Workflow
from workflows.follow_on.steps import ADD_CART_ITEM, CHECK_CART, FOLLOW_ON
from workflows.registry import RISKY_STEPS, WORKFLOWS, destinations, share_of

ITEM = {"CatalogID": 1234, "CartItemID": 123, "ItemQuantity": 1}
URL = "https://store.example.test/checkout.asp?key=6F027F81ggx48to"


@dataclass
class Store:
    """Shows one cart."""

    cart: dict[str, Any] = field(default_factory=dict)

    def retrieve_cart(self, order_key: str, *, limits: CallLimits = NO_LIMITS) -> Cart:
        return Cart.model_validate({"OrderKey": order_key, **self.cart})


def a_call(**cart: Any) -> Call:
    return Call(
        clients={"threedcart": Store(cart)},
        ledger=Ledger("sqlite://"),
        source="learningcart",
        order_id=None,
        learner=JANE,
        planned={"catalog_id": 1234},
        step="check_cart",
        reference="cb-x",
        outputs={"create_cart": {"cart_id": "6F027F81ggx48to"}},
        now=NOW,
    )


def looked_up(**cart: Any) -> Lookup:
    assert ADD_CART_ITEM.look_up is not None
    return ADD_CART_ITEM.look_up(a_call(**cart), NOW)


@pytest.mark.parametrize("quantity", [1, 1.0, "1", None])
def test_cart_is_good_when_it_holds_the_item_once(quantity: object) -> None:
    result = CHECK_CART.call(a_call(CheckoutURL=f" {URL} ", CartItemList=[ITEM | {"ItemQuantity": quantity}]))
    assert result.output == {"cart_id": "6F027F81ggx48to", "checkout_url": URL}


@pytest.mark.parametrize(
    ("cart", "note"),
    [
        ({"CartItemList": [ITEM]}, "names no address for its checkout"),
        ({"CheckoutURL": URL, "CartItemList": [ITEM | {"CatalogID": None}]}, "holds 1 × item ?"),
        ({"CheckoutURL": URL, "CartItemList": [ITEM, ITEM | {"ItemQuantity": None}]}, "1 × item 1234, ? × item 1234"),
        ({"CheckoutURL": URL, "CartItemList": []}, "holds nothing"),
    ],
)
def test_person_is_asked_when_the_cart_is_not_good(cart: dict[str, Any], note: str) -> None:
    with pytest.raises(StopError, match="6F027F81ggx48to") as stopped:
        CHECK_CART.call(a_call(**cart))
    assert stopped.value.reason is Reason.CART_DIFFERS
    assert note in stopped.value.note
    assert URL not in stopped.value.note


def test_cart_is_asked_for_again_when_the_store_does_not_tell_what_is_in_it() -> None:
    with pytest.raises(UnexpectedResponseError) as failed:
        CHECK_CART.call(a_call(CheckoutURL=URL))
    assert failed.value.retryable


def test_item_is_found_by_its_number_when_it_was_added_before() -> None:
    other = ITEM | {"CatalogID": 99, "CartItemID": 7}
    assert looked_up(CartItemList=[other, ITEM]).found == ("123",)
    assert looked_up(CartItemList=[other]).found == ()
    with pytest.raises(StopError):
        looked_up(CartItemList=[ITEM | {"CartItemID": None}])


def test_workflow_of_two_destinations_is_shared_by_its_steps_when_shares_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = Workflow("both", (CHECK_CART, replace(ADD_CART_ITEM, system="mail")), lambda _planned: ())
    monkeypatch.setitem(WORKFLOWS, "both", both)
    assert share_of("threedcart").steps["both"] == ("check_cart",)
    assert share_of("mail").steps["both"] == ("add_cart_item",)
    assert share_of("learningcart").steps == {}


def test_each_workflow_is_its_destinations_when_shares_are_made() -> None:
    assert set(destinations()) == {"learningcart", "threedcart", "mail"}
    assert share_of("learningcart").workflows == {"enrolment"}
    assert share_of("threedcart").steps["follow_on"] == ("create_cart", "add_cart_item", "check_cart", "tell")
    assert share_of("mail").workflows == {"welcome_mail"}
    risky = {step.kind for step in FOLLOW_ON.definitions if step.kind in RISKY_STEPS}
    assert risky == {"create_cart", "add_cart_item", "send_follow_on_mail"}
