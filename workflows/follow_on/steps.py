"""The `follow_on` workflow: `create_cart` → `add_cart_item` → `check_cart`, and then a notification, if wanted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select

from worker.clients.threedcart.client import SYSTEM as THREEDCART
from worker.clients.threedcart.client import ThreedcartClient
from worker.clients.threedcart.models import Cart, CartFields
from worker.errors import ApiError, LeaseLostError, NotFoundError, UnexpectedResponseError
from worker.ledger import outbox
from worker.ledger.follow_on import carts
from worker.ledger.orders.people import bought
from worker.ledger.states import RunState
from worker.ledger.tables.follow_on import completions
from worker.mail_templates import FOLLOW_ON as FOLLOW_ON_TEMPLATE
from worker.mail_templates.rendering import one_short_line
from worker.reasons import Reason
from worker.sources.order import Address, Learner
from workflows.enrolment.mailer import MAIL, Mailer
from workflows.execution.steps import Call, Lookup, PlannedStep, Repeat, StepDefinition, StepResult, StopError, Workflow

NAME: Final = "follow_on"
CART_READY: Final = "follow_on.cart_ready"
CHECKOUT_URL: Final = "checkout_url"
"""The name under which an earlier step of the run gives the cart's address."""
COMPLETION_ID: Final = "completion_id"
"""The name under which the run was planned with the completion it follows."""


def _store(call: Call) -> ThreedcartClient:
    client: ThreedcartClient = call.clients[THREEDCART]
    return client


def _cart_id(call: Call) -> str:
    return str(call.outputs["create_cart"]["cart_id"])


def _catalog_id(call: Call) -> int:
    return int(call.planned["catalog_id"])


def billing_fields(learner: Learner) -> CartFields:
    """A cart's fields for a learner; what is not known is left out."""
    address = learner.address or Address()
    fields = {
        "billing_email": learner.email,
        "billing_first_name": learner.first_name,
        "billing_last_name": learner.last_name,
        "billing_address": address.line_1,
        "billing_address_2": address.line_2,
        "billing_city": address.city,
        "billing_state": address.state or address.province,
        "billing_zip_code": address.zip,
        "billing_country": address.country,
    }
    return CartFields.model_validate({name: value for name, value in fields.items() if value.strip()})


def _create_cart(call: Call) -> StepResult:
    """Make an empty cart for the learner, unless the item was bought meanwhile.

    Two that arrive make two carts (vendor); one of them is never used and never announced. No call lists carts.
    """
    with call.ledger.read() as connection:
        by = bought(
            connection, call.learner.email, catalog_id=_catalog_id(call), price_ids=call.planned.get("price_ids", ())
        )
    if by is not None:
        raise StopError(f"It was bought by {by}.", reason=Reason.ALREADY_BOUGHT, state=RunState.CANCELLED)
    with call.ledger.write() as connection:
        carts.note_try(connection, call.run_id, call.attempt, now=call.now)
    try:
        cart_id = _store(call).create_cart(billing_fields(call.learner), limits=call.limits)
    except (ApiError, LeaseLostError) as error:
        if not (isinstance(error, ApiError) and error.outcome_unknown):
            with call.ledger.write() as connection:
                carts.forget_try(connection, call.run_id, call.attempt)
        raise
    return StepResult(
        {"cart_id": cart_id},
        cart_id,
        lambda connection, now: carts.note_made(connection, call.run_id, call.attempt, cart_id, now=now),
    )


def _add_cart_item(call: Call) -> StepResult:
    """Every call that arrives adds the item once more (vendor): never to be repeated blindly."""
    item_id = _store(call).create_cart_item(_cart_id(call), _catalog_id(call), limits=call.limits)
    return StepResult({"cart_item_id": str(item_id), "catalog_id": _catalog_id(call)}, str(item_id))


def _look_up_cart_item(call: Call, _since: datetime) -> Lookup:
    """Read the cart: it is ours alone, so that an item of this number in it is what an earlier attempt added."""
    cart = _read_cart(call)
    matching = [item for item in cart.cart_item_list or () if item.catalog_id == _catalog_id(call)]
    if len(matching) > 1 or any(item.cart_item_id is None for item in matching):
        raise _differs(cart)
    return Lookup(
        found=tuple(str(item.cart_item_id) for item in matching),
        output={"catalog_id": _catalog_id(call)},
        result_name="cart_item_id",
    )


def _check_cart(call: Call) -> StepResult:
    """Read the cart back: it must hold the item once and nothing else, and say where it can be checked out."""
    cart = _read_cart(call)
    items = cart.cart_item_list or ()
    if len(items) != 1 or items[0].catalog_id != _catalog_id(call) or items[0].item_quantity not in {None, 1}:
        raise _differs(cart)
    url = (cart.checkout_url or "").strip()
    if not url:
        raise StopError(f"Cart {_cart_id(call)} names no address for its checkout.", reason=Reason.CART_DIFFERS)
    cart_id = _cart_id(call)
    return StepResult(
        {"cart_id": cart_id, CHECKOUT_URL: url},
        cart_id,
        lambda connection, now: carts.note_checkout_url(connection, call.run_id, cart_id, url, now=now),
    )


def _read_cart(call: Call) -> Cart:
    cart_id = _cart_id(call)
    try:
        cart = _store(call).retrieve_cart(cart_id, limits=call.limits)
    except NotFoundError:
        raise StopError(f"3dcart does not know cart {cart_id} any more.", reason=Reason.CART_DIFFERS) from None
    if cart.cart_item_list is None:
        message = f"{THREEDCART} retrieve_cart: the answer does not tell what is in the cart"
        raise UnexpectedResponseError(message, system=THREEDCART, operation="retrieve_cart", retryable=True)
    return cart


def _differs(cart: Cart) -> StopError:
    """What a cart holds instead of the one item, for a person."""
    held = [f"{_number(item.item_quantity)} × item {item.catalog_id or '?'}" for item in cart.cart_item_list or ()]
    return StopError(f"Cart {cart.order_key} holds {', '.join(held) or 'nothing'}.", reason=Reason.CART_DIFFERS)


def _number(quantity: object) -> str:
    return "?" if quantity is None else f"{quantity:g}" if isinstance(quantity, float) else f"{quantity}"


def _tell(call: Call) -> StepResult:
    """Put an event into the outbox, in the transaction that ends the run: written once, and sent at least once."""
    ready = call.outputs["check_cart"]
    data = {
        "run_id": call.run_id,
        **{name: call.planned.get(name) for name in (COMPLETION_ID, "customer_id", "course_id", "catalog_id")},
        "email": call.learner.email,
        "name": f"{call.learner.first_name} {call.learner.last_name}".strip(),
        "cart_id": ready["cart_id"],
        "checkout_url": ready[CHECKOUT_URL],
    }
    return StepResult(
        {"told_by": "event"},
        ready["cart_id"],
        lambda connection, now: _add_event(connection, data, now),
    )


def _add_event(connection: Connection, data: dict[str, Any], now: datetime) -> None:
    outbox.add_event(connection, CART_READY, data, now=now)


def _send_follow_on_mail(call: Call) -> StepResult:
    """Mail the cart's checkout address. Never repeated by itself. Raises `StopError` where no step gave an address."""
    mailer: Mailer = call.clients[MAIL]
    addresses = [output[CHECKOUT_URL] for output in call.outputs.values() if output.get(CHECKOUT_URL)]
    if not addresses:
        raise StopError("3dcart gave no address for the cart's checkout", reason=Reason.REFUSED)
    values = {"checkout_url": addresses[-1], "course_name": _course_name(call)}
    message_id = mailer.send(FOLLOW_ON_TEMPLATE, call.learner, values, reference=call.reference, limits=call.limits)
    return StepResult({"message_id": message_id}, message_id)


def _course_name(call: Call) -> str:
    """The name of the completed course, as LearningCart last gave it; empty where it gave none."""
    with call.ledger.read() as connection:
        name = connection.scalar(
            select(completions.c.course_name).where(completions.c.id == str(call.planned.get(COMPLETION_ID)))
        )
    return one_short_line(name)


CREATE_CART = StepDefinition("create_cart", THREEDCART, _create_cart, repeat=Repeat.HARMLESS)
ADD_CART_ITEM = StepDefinition("add_cart_item", THREEDCART, _add_cart_item, _look_up_cart_item, Repeat.ASK)
CHECK_CART = StepDefinition("check_cart", THREEDCART, _check_cart)
TELL = StepDefinition("tell", THREEDCART, _tell)
SEND_FOLLOW_ON_MAIL = StepDefinition("send_follow_on_mail", MAIL, _send_follow_on_mail, repeat=Repeat.NEVER)

NOTIFIERS: Final[Mapping[str, tuple[StepDefinition, ...]]] = {
    "none": (),
    "event": (TELL,),
    "mail": (SEND_FOLLOW_ON_MAIL,),
}
"""The steps that tell of a cart, by the setting that was in force when its run was planned."""


def _sequence(planned: Mapping[str, Any]) -> tuple[PlannedStep, ...]:
    definitions = (CREATE_CART, ADD_CART_ITEM, CHECK_CART, *NOTIFIERS[planned.get("notify", "none")])
    return tuple(PlannedStep(definition.kind, definition) for definition in definitions)


FOLLOW_ON = Workflow(
    NAME,
    (CREATE_CART, ADD_CART_ITEM, CHECK_CART, *(step for steps in NOTIFIERS.values() for step in steps)),
    _sequence,
)
