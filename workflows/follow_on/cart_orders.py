"""Looks in the store for the order that a cart became: deleting a bought cart deletes its order.

Carts are rows of the orders' table. A cart may still answer after it was bought, and `orderstatus=7` lists those that
were not (all from public material).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final, Protocol

from worker.clients.threedcart.models import Order
from worker.clients.unreadable import Rows, UnreadableRow
from worker.sources.order import email_key
from worker.sources.threedcart_statuses import NOT_COMPLETED

_WIDER: Final = timedelta(hours=26)
"""How much before a cart was made its order may be dated: the store's zone is a setting, and may be set wrong."""


class OrderList(Protocol):
    """What is asked of 3dcart's client. Raises `ApiError`."""

    def iter_order_pages(
        self,
        *,
        date_start: datetime | None = None,
        order_status: int | None = None,
        billing_email: str | None = None,
    ) -> Iterator[Rows[Order]]:
        """The store's orders; whether it minds the filters is not known."""


class Bought(Enum):
    """Whether a cart was bought."""

    YES = auto()
    NO = auto()
    """Its order was looked for, and there is none."""
    UNCLEAR = auto()
    """There is an order that may be the cart's, by somebody who had the cart."""


@dataclass(frozen=True)
class SoughtCart:
    """What the order of a cart is known by."""

    order_key: str
    catalog_id: int
    emails: Collection[str]
    """The learner's address, and the one that the cart itself holds now."""
    made_at: datetime


def look_for_order(store: OrderList, cart: SoughtCart) -> Bought:
    """Ask the store whether a cart was bought: the finished orders and the unfinished ones of its addresses.

    Raises `ApiError`: then nothing is known.
    """
    emails = {email_key(email): email for email in cart.emails if email.strip()}
    found = Bought.NO if emails else Bought.UNCLEAR
    for row in _rows(store, cart, emails.values()):
        judged = _judge(row, cart, emails)
        if judged is Bought.YES:
            return judged
        found = judged if found is Bought.NO else found
    return found


def _rows(store: OrderList, cart: SoughtCart, emails: Iterable[str]) -> Iterator[Order | UnreadableRow]:
    for email in emails:
        for status in (NOT_COMPLETED, None):
            pages = store.iter_order_pages(date_start=cart.made_at - _WIDER, order_status=status, billing_email=email)
            for page in pages:
                yield from page


def _judge(order: Order | UnreadableRow, cart: SoughtCart, emails: Collection[str]) -> Bought:
    """Whether one order says that the cart was bought. One that cannot be read may be its order."""
    if isinstance(order, UnreadableRow):
        return Bought.UNCLEAR
    if order.order_status_id == NOT_COMPLETED:
        return Bought.NO
    key = (order.order_key or "").casefold()
    if key.startswith(cart.order_key.casefold()):
        return Bought.YES
    if email_key(order.billing_email or "") not in emails:
        return Bought.NO
    if any(item.catalog_id == cart.catalog_id for item in order.order_item_list or ()):
        return Bought.YES
    # Another key: another cart. Without one, the learner may have put something else into ours.
    return Bought.NO if key else Bought.UNCLEAR
