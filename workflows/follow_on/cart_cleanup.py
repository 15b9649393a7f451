"""Deletes the carts of ours that nobody checked out in time, each after the store was asked what became of it.

None is deleted whose order was not looked for: a bought cart may still answer, and deleting it deletes the order.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from sqlalchemy import Connection

from worker.clients.threedcart.models import Cart
from worker.errors import ApiError, NotFoundError, UnexpectedResponseError
from worker.ledger import pauses
from worker.ledger.events import record_event
from worker.ledger.follow_on import carts
from worker.ledger.follow_on.carts import CartState, UnusedCart
from worker.ledger.orders.people import store_order
from worker.ledger.runs import breaker
from worker.ledger.runs.breaker import BreakerState
from worker.ledger.session import Ledger
from worker.ledger.states import Actor
from workflows.follow_on.cart_orders import Bought, OrderList, SoughtCart, look_for_order
from workflows.ingest.set_aside import describe_failure

log = logging.getLogger(__name__)

SYSTEM: Final = "threedcart"
LOOK_AGAIN: Final = timedelta(hours=20)
"""A cart that could not be dealt with is looked at again after this, which is a day later at the latest."""
_AT_ONCE: Final = 100
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class CartStore(OrderList, Protocol):
    """What is asked of 3dcart's client. Raises `ApiError`."""

    def retrieve_cart(self, order_key: str) -> Cart:
        """Read a cart; `NotFoundError` when there is none of that key."""

    def delete_cart(self, order_key: str) -> None:
        """Delete a cart; `NotFoundError` when there is none of that key."""


@dataclass
class UnusedCarts:
    """Looks through the carts that were made `cart_days` ago and more. Safe to repeat, and to double."""

    ledger: Ledger
    store: CartStore
    cart_days: int
    clock: Callable[[], datetime]
    reads_orders: bool
    """The store's orders are a source. Else nothing can be looked for in them: none is deleted, and each is asked for
    once at most."""
    should_stop: Callable[[], bool] = lambda: False

    def delete(self) -> Counter[str]:
        """Deal with every cart that is due; returns how many were deleted, checked out, gone, kept, or failed.

        Commits cart by cart. Nothing is asked while the store is paused or down. A failure is logged and the cart
        looked at another day: nothing but a read comes before a delete, and both are safe to repeat.
        """
        done: Counter[str] = Counter()
        while not self.should_stop() and self._may_ask():
            now = self.clock()
            with self.ledger.read() as connection:
                found = carts.unused_carts(
                    connection,
                    made_before=now - timedelta(days=self.cart_days),
                    looked_before=now - LOOK_AGAIN if self.reads_orders else _NEVER,
                    limit=_AT_ONCE,
                )
            for row in found:
                if self.should_stop():
                    break
                done[self._deal_with(row)] += 1
            if len(found) < _AT_ONCE:
                break
        return done

    def _may_ask(self) -> bool:
        with self.ledger.read() as connection:
            paused = pauses.pause_of(connection, SYSTEM)
            found = breaker.read(connection, SYSTEM)
        return paused is None and (found is None or found.state is not BreakerState.OPEN)

    def _deal_with(self, row: UnusedCart) -> str:
        with self.ledger.write() as connection:
            carts.note_look(connection, row.id, now=self.clock())
        try:
            state = self._ask(row)
        except ApiError as error:
            why = describe_failure(error, self.ledger, run_id=row.run_id)
            log.warning("cart %s of run %s is not dealt with yet: %s", row.id, row.run_id, why)
            return "failed"
        if state is None:
            return "kept"
        self._note(row, state)
        return str(state)

    def _ask(self, row: UnusedCart) -> CartState | None:
        """What became of a cart; it is deleted where it was left unused. None: it is left as it is."""
        cart = self._read(row)
        if self._is_ordered(row):
            return CartState.CHECKED_OUT
        bought = self._look_for_order(row, cart)
        if bought is Bought.YES:
            return CartState.CHECKED_OUT
        if cart is None:
            return CartState.GONE
        if bought is Bought.UNCLEAR:
            return None
        try:
            self.store.delete_cart(row.cart_id)
        except NotFoundError:
            return CartState.GONE
        return CartState.DELETED

    def _read(self, row: UnusedCart) -> Cart | None:
        """The cart as it is now; None where there is none.

        A page of HTML may say so too, and may come from something in between: it counts when two looks in a row, which
        are most of a day apart, met one.
        """
        try:
            return self.store.retrieve_cart(row.cart_id)
        except NotFoundError:
            return None
        except UnexpectedResponseError as error:
            if error.status not in {404, 410}:
                raise
            with self.ledger.write() as connection:
                met_before = carts.was_unclear(connection, row.run_id, looked_at=row.looked_at)
                if not met_before:
                    self._record(connection, row, carts.UNCLEAR)
            if met_before:
                return None
            raise

    def _look_for_order(self, row: UnusedCart, cart: Cart | None) -> Bought:
        if not self.reads_orders:
            return Bought.UNCLEAR
        emails = (row.email_key or "", (cart.billing_email if cart is not None else None) or "")
        return look_for_order(self.store, SoughtCart(row.cart_id, self._catalog_id(row), emails, row.created_at))

    @staticmethod
    def _catalog_id(row: UnusedCart) -> int:
        return int((row.planned or {}).get("catalog_id", 0))

    def _is_ordered(self, row: UnusedCart) -> bool:
        """Whether the ledger holds a paid order of the item by the learner since."""
        with self.ledger.read() as connection:
            order_id = store_order(connection, row.email_key, catalog_id=self._catalog_id(row), since=row.created_at)
        return order_id is not None

    def _note(self, row: UnusedCart, state: CartState) -> None:
        now = self.clock()
        # Two at once: whoever deleted it knows more than whoever found it gone.
        before = (CartState.MADE, CartState.GONE) if state is CartState.DELETED else (CartState.MADE,)
        with self.ledger.write() as connection:
            if carts.note_fate(connection, row.id, state, now=now, before=before):
                self._record(connection, row, f"cart_{state}")

    def _record(self, connection: Connection, row: UnusedCart, kind: str) -> None:
        record_event(
            connection,
            at=self.clock(),
            kind=kind,
            actor=Actor.ENGINE,
            run_id=row.run_id,
            source=row.source,
            system=SYSTEM,
            detail={"cart_id": row.cart_id},
        )
