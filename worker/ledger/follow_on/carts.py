"""3dcart carts in the ledger: every try of making one, what is known of it, and those that nobody checked out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from worker.ledger.keys import new_id
from worker.ledger.sql import record_of
from worker.ledger.states import RunState
from worker.ledger.tables.follow_on import carts
from worker.ledger.tables.runs import events, runs

UNCLEAR = "cart_unclear"
"""The event of a look at which something said that there is no such cart, not in the store's own words."""
_IN_HAND = (RunState.PENDING, RunState.RUNNING, RunState.WAITING)


class CartState(StrEnum):
    """What became of one try of making a cart."""

    POSSIBLE = "possible"
    """The request was or may have been sent, and no answer came: there may be a cart that nobody can find again."""
    MADE = "made"
    """It is in the store, as far as is known."""
    CHECKED_OUT = "checked_out"
    """The learner has bought what was in it."""
    DELETED = "deleted"
    """It was not checked out in time, and is deleted."""
    GONE = "gone"
    """The store does not know it any more, and it was not us who deleted it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CartItem:
    """One try of making a cart; `checkout_url` opens the checkout for whoever has it."""

    cart_id: str | None
    state: str
    attempt: int
    checkout_url: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowOnItem:
    """A run that followed on a completion, with its newest cart, or the one that somebody was told of."""

    run_id: str
    state: str
    reason: str | None
    catalog_id: str | None
    cart: CartItem | None


@dataclass(frozen=True, slots=True)
class UnusedCart:
    """A cart that is in the store for longer than wanted, and what its run says of it."""

    id: str
    run_id: str
    cart_id: str
    created_at: datetime
    looked_at: datetime | None
    email_key: str | None
    planned: dict[str, Any] | None
    source: str


def note_try(connection: Connection, run_id: str, attempt: int, *, now: datetime) -> None:
    """Note that a cart is about to be asked for."""
    connection.execute(
        insert(carts).values(
            id=new_id(now), run_id=run_id, attempt=attempt, state=CartState.POSSIBLE, created_at=now, updated_at=now
        )
    )


def forget_try(connection: Connection, run_id: str, attempt: int) -> None:
    """Take a try back that is known to have made no cart."""
    connection.execute(
        delete(carts).where(carts.c.run_id == run_id, carts.c.attempt == attempt, carts.c.state == CartState.POSSIBLE)
    )


def note_made(connection: Connection, run_id: str, attempt: int, cart_id: str, *, now: datetime) -> None:
    """Note the cart that a try made. Safe to repeat."""
    connection.execute(
        update(carts)
        .where(carts.c.run_id == run_id, carts.c.attempt == attempt)
        .values(cart_id=cart_id, state=CartState.MADE, updated_at=now)
    )


def note_checkout_url(connection: Connection, run_id: str, cart_id: str, checkout_url: str, *, now: datetime) -> None:
    """Note where a cart can be checked out. Safe to repeat."""
    connection.execute(
        update(carts)
        .where(carts.c.run_id == run_id, carts.c.cart_id == cart_id)
        .values(checkout_url=checkout_url, updated_at=now)
    )


def unused_carts(
    connection: Connection, *, made_before: datetime, looked_before: datetime, limit: int
) -> list[UnusedCart]:
    """The oldest carts that are in the store for longer than wanted, of runs that are not worked on.

    One that was looked at since `looked_before` is left for later.
    """
    rows = connection.execute(
        select(carts, runs.c.email_key, runs.c.grant.label("planned"), runs.c.source)
        .join(runs, runs.c.id == carts.c.run_id)
        .where(
            carts.c.state == CartState.MADE,
            carts.c.created_at <= made_before,
            or_(carts.c.looked_at.is_(None), carts.c.looked_at <= looked_before),
            runs.c.state.not_in(_IN_HAND),
        )
        .order_by(carts.c.created_at, carts.c.id)
        .limit(limit)
    )
    return [record_of(UnusedCart, row) for row in rows]


def note_look(connection: Connection, cart: str, *, now: datetime) -> None:
    """Note that the store was asked for a cart."""
    connection.execute(update(carts).where(carts.c.id == cart).values(looked_at=now))


def was_unclear(connection: Connection, run_id: str, *, looked_at: datetime | None) -> bool:
    """Whether the look of that moment met what the event `UNCLEAR` tells of; False where there was none."""
    if looked_at is None:
        return False
    found = select(events.c.id).where(events.c.run_id == run_id, events.c.kind == UNCLEAR, events.c.at >= looked_at)
    return connection.execute(found.limit(1)).first() is not None


def note_fate(
    connection: Connection,
    cart: str,
    state: CartState,
    *,
    now: datetime,
    before: Collection[CartState] = (CartState.MADE,),
) -> bool:
    """Note what became of a cart; False when that is known already, and nothing is written."""
    changed = connection.execute(
        update(carts).where(carts.c.id == cart, carts.c.state.in_(sorted(before))).values(state=state, updated_at=now)
    )
    return changed.rowcount == 1


def follow_ons(connection: Connection, completion_ids: Collection[str]) -> dict[str, list[FollowOnItem]]:
    """The follow-on runs of completions, oldest first, each with its newest cart: one that was told of, if one was."""
    found: dict[str, list[FollowOnItem]] = {}
    rows = connection.execute(
        select(runs.c.id, runs.c.completion_id, runs.c.state, runs.c.reason, runs.c.grant)
        .where(runs.c.completion_id.in_(sorted(completion_ids)), runs.c.parent_id.is_(None))
        .order_by(runs.c.id)
    ).all()
    made = {
        row.run_id: row
        for row in connection.execute(
            select(carts)
            .where(carts.c.run_id.in_([row.id for row in rows]))
            .order_by(carts.c.checkout_url.is_not(None), carts.c.attempt)
        )
    }
    for row in rows:
        cart, catalog_id = made.get(row.id), (row.grant or {}).get("catalog_id")
        found.setdefault(row.completion_id, []).append(
            FollowOnItem(
                run_id=row.id,
                state=row.state,
                reason=row.reason,
                catalog_id=None if catalog_id is None else str(catalog_id),
                cart=None if cart is None else record_of(CartItem, cart),
            )
        )
    return found


def carts_of(connection: Connection, run_id: str) -> list[CartItem]:
    """Every try of a run's cart, oldest first."""
    rows = connection.execute(select(carts).where(carts.c.run_id == run_id).order_by(carts.c.attempt))
    return [record_of(CartItem, row) for row in rows]
