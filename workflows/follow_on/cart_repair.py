"""Mends a cart that differs from what a follow-on run was to make: read, tell what would be called, and call it.

Every call is safe to repeat, and nothing is added: an item that is missing is the run's own to add.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import select

from worker.clients.threedcart.client import SYSTEM as THREEDCART
from worker.clients.threedcart.models import Cart, CartFields
from worker.errors import LedgerError
from worker.ledger.follow_on import carts
from worker.ledger.runs.repository import record_event
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.runs import runs
from worker.sources.order import Learner
from workflows.follow_on.steps import NAME, billing_fields

WANTED_QUANTITY = 1


class CartStore(Protocol):
    """What is asked of 3dcart's client. Raises `ApiError`."""

    def retrieve_cart(self, order_key: str) -> Cart: ...
    def update_cart(self, order_key: str, fields: CartFields) -> None: ...
    def update_cart_item(self, order_key: str, cart_item_id: int, *, quantity: int) -> None: ...
    def delete_cart_item(self, order_key: str, cart_item_id: int) -> None: ...


class NotMendableError(LedgerError):
    """The run has no cart that could be mended; the message says what to do instead."""


@dataclass(frozen=True)
class Repair:
    """One call, in words and as it is made."""

    sentence: str
    call: Callable[[CartStore], None]


def repairs(cart: Cart, catalog_id: int, learner: Learner) -> list[Repair]:
    """The calls after which a cart holds the item once, and nothing else, for this learner.

    The oldest of several is kept. Raises `NotMendableError` where the item is missing, or one has no number.
    """
    key, items = cart.order_key or "", cart.cart_item_list or ()
    mine = [item for item in items if item.catalog_id == catalog_id]
    if not mine:
        raise NotMendableError(
            f"Cart {key} does not hold item {catalog_id}. Have it added: cartbridge replay RUN --from-step "
            f'add_cart_item --again --reason "the item was missing"'
        )
    if any(item.cart_item_id is None for item in items):
        raise NotMendableError(f"3dcart gives an item of cart {key} no number. Correct the cart in 3dcart.")
    kept = min(mine, key=lambda item: item.cart_item_id or 0)
    found = [_take_out(key, item.cart_item_id or 0, item.catalog_id) for item in items if item is not kept]
    if kept.item_quantity not in {None, WANTED_QUANTITY}:
        found.append(_set_quantity(key, kept.cart_item_id or 0))
    wanted = billing_fields(learner)
    differing = {
        name: value
        for name, value in wanted.model_dump(exclude_none=True).items()
        if (getattr(cart, name) or "").strip() != value
    }
    if differing:
        fields = CartFields.model_validate(differing)
        names = ", ".join(sorted(fields.document()))
        found.append(Repair(f"PUT cart {key}: {names}", lambda store: store.update_cart(key, fields)))
    return found


def _take_out(key: str, cart_item_id: int, catalog_id: int | None) -> Repair:
    return Repair(
        f"DELETE cart {key} item {cart_item_id} (item {catalog_id or '?'} of the store)",
        lambda store: store.delete_cart_item(key, cart_item_id),
    )


def _set_quantity(key: str, cart_item_id: int) -> Repair:
    return Repair(
        f"PUT cart {key} item {cart_item_id}: quantity {WANTED_QUANTITY}",
        lambda store: store.update_cart_item(key, cart_item_id, quantity=WANTED_QUANTITY),
    )


def mend(
    ledger: Ledger, store: CartStore, run_id: str, *, actor: str, reason: str | None, now: datetime, dry_run: bool
) -> list[str]:
    """Mend the cart of a follow-on run that waits for a person; returns what was called, or would be.

    Nothing is to be done for a cart that is as it should be. What was called is in the audit trail, also where a later
    call failed. Raises `ApiError`, `NotMendableError`.
    """
    with ledger.read() as connection:
        run = connection.execute(select(runs).where(runs.c.id == run_id)).one()
        made = [each for each in carts.carts_of(connection, run_id) if each["state"] == carts.CartState.MADE]
    if run.workflow != NAME or run.state not in {RunState.REVIEW, RunState.FAILED} or not made:
        raise NotMendableError(
            f"Run {run_id} has no cart to mend: it takes a {NAME} run that waits for a person and whose cart is known."
        )
    cart = store.retrieve_cart(made[-1]["cart_id"])
    found = repairs(cart, int(run.grant["catalog_id"]), Learner.model_validate(run.learner))
    if dry_run:
        return [repair.sentence for repair in found]
    done: list[str] = []
    try:
        for repair in found:
            repair.call(store)
            done.append(repair.sentence)
    finally:
        if done:
            _note(ledger, run, done, actor=actor, reason=reason, now=now)
    return done


def _note(ledger: Ledger, run: Any, done: list[str], *, actor: str, reason: str | None, now: datetime) -> None:
    with ledger.write() as connection:
        record_event(
            connection,
            at=now,
            kind="cart_mended",
            actor=actor,
            run_id=run.id,
            source=run.source,
            system=THREEDCART,
            reason=reason,
            detail={"calls": done},
        )
