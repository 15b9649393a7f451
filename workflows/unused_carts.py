"""Deletes the carts of ours that nobody checked out in time, each after the store was asked what became of it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from sqlalchemy import Row, select

from worker.clients.threedcart_models import Cart
from worker.errors import ApiError, NotFoundError
from worker.ledger import breaker, carts, repository
from worker.ledger.bought import store_order
from worker.ledger.breaker import BreakerState
from worker.ledger.carts import CartState
from worker.ledger.models import pauses
from worker.ledger.session import Ledger
from worker.ledger.states import Actor
from workflows.attempt_rows import describe

log = logging.getLogger(__name__)

SYSTEM: Final = "threedcart"
LOOK_AGAIN: Final = timedelta(hours=20)
"""A cart that could not be dealt with is looked at again after this, which is a day later at the latest."""
_AT_ONCE: Final = 100


class CartStore(Protocol):
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
    should_stop: Callable[[], bool] = lambda: False

    def delete(self) -> Counter[str]:
        """Deal with every cart that is due; returns how many were deleted, checked out, gone, or failed.

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
                    looked_before=now - LOOK_AGAIN,
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
            paused = connection.execute(select(pauses.c.system).where(pauses.c.system == SYSTEM)).first()
            found = breaker.read(connection, SYSTEM)
        return paused is None and (found is None or found.state is not BreakerState.OPEN)

    def _deal_with(self, row: Row[Any]) -> str:
        with self.ledger.write() as connection:
            carts.note_look(connection, row.id, now=self.clock())
        try:
            state = self._ask(row)
        except ApiError as error:
            log.warning("cart %s of run %s is not dealt with yet: %s", row.id, row.run_id, describe(error))
            return "failed"
        self._note(row, state)
        return str(state)

    def _ask(self, row: Row[Any]) -> CartState:
        """What became of a cart; it is deleted where it was left unused.

        The document gives a cart no mark of its own for a checkout: what is known is that it is gone, or that the
        learner has an order of the item in the store since.
        """
        try:
            self.store.retrieve_cart(row.cart_id)
        except NotFoundError:
            return CartState.CHECKED_OUT if self._is_ordered(row) else CartState.GONE
        if self._is_ordered(row):
            return CartState.CHECKED_OUT
        try:
            self.store.delete_cart(row.cart_id)
        except NotFoundError:
            return CartState.GONE
        return CartState.DELETED

    def _is_ordered(self, row: Row[Any]) -> bool:
        catalog_id = int((row.planned or {}).get("catalog_id", 0))
        with self.ledger.read() as connection:
            order_id = store_order(connection, row.email_key, catalog_id=catalog_id, since=row.created_at)
        return order_id is not None

    def _note(self, row: Row[Any], state: CartState) -> None:
        now = self.clock()
        # Two at once: whoever deleted it knows more than whoever found it gone.
        before = (CartState.MADE, CartState.GONE) if state is CartState.DELETED else (CartState.MADE,)
        with self.ledger.write() as connection:
            if not carts.note_fate(connection, row.id, state, now=now, before=before):
                return
            repository.record_event(
                connection,
                at=now,
                kind=f"cart_{state}",
                actor=Actor.ENGINE,
                run_id=row.run_id,
                source=row.source,
                system=SYSTEM,
                detail={"cart_id": row.cart_id},
            )
