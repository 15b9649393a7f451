"""A look at an order: how it came about, what planning must know of the order besides its content, and its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from worker.ledger.learners.erased import is_pseudonym
from worker.ledger.orders import order_rows
from worker.ledger.orders.operator_entries import NamedSeat
from worker.ledger.orders.recorded_orders import RecordedOrder
from worker.ledger.orders.source_cursors import SourceCursor
from worker.ledger.states import Actor, OrderState, Via
from worker.reasons import Reason
from worker.sources.order import Order, Payment, email_key
from workflows.planning import refunds
from workflows.planning.model import Plan, Situation, Standing
from workflows.planning.places_before import places_of
from workflows.planning.seat_matching import Place
from workflows.recording.source_start import start_of


@dataclass(frozen=True)
class Look:
    """How an order came to be looked at."""

    fetched_at: datetime
    """When the request for it was sent."""
    actor: str = Actor.SOURCE
    baseline: bool = False
    manual: bool = False
    replan: bool = False
    delivery_ids: tuple[str, ...] = ()
    """Leased deliveries this look answers."""
    via: Via | None = None
    """How the order arrived, where no delivery of before says so: the look adds one of its own."""
    polled: bool = False
    is_misdated: bool = False
    """In the list that showed it, its date contradicts those of the orders around it."""
    accepted: frozenset[Place] = frozenset()
    """Seats whose learners' names and addresses the operator says go together."""
    named: tuple[NamedSeat, ...] = ()
    """In a preview: seats that the operator would name."""
    start_at: datetime | None = None
    """The operator's own start for this look: what was made since then counts as new, also where the first sweep took
    it as handled. None: the source's."""
    is_present: bool = False
    """The source was asked: what it says now settles what was asked because news might be old."""
    doubt: Reason | None = None
    """Why what was read may be old news: what it would start or settle is asked instead."""


@dataclass
class Recorded:
    """What a look came to."""

    plan: Plan
    changed: bool
    """The order's content was new to the ledger."""
    stale: bool = False
    """Newer content was recorded before: nothing was done."""
    created: list[str] = field(default_factory=list)
    """The runs that were made, in any state."""
    ready: list[str] = field(default_factory=list)
    """The runs that are due now and should be sent to the workers."""
    refused: list[str] = field(default_factory=list)
    """Actions that the ledger's state, changed meanwhile, did not allow; they are looked at again."""


def situation_of(
    order: Order,
    *,
    row: RecordedOrder | None,
    cursor: SourceCursor | None,
    look: Look,
    configured_start_at: datetime | None,
    is_swept: bool,
    standing: Standing | None = None,
) -> Situation:
    """What planning must know besides the order and its runs. A source never read before starts a day before now.

    A start of the look's own, the operator's, goes before whatever was decided: ids and marks say nothing against it.
    """
    is_asked_for = look.start_at is not None
    configured = start_of(cursor, configured_start_at, now=look.fetched_at)
    known = row if row is not None and row.version > 0 else None
    was_paid = known is not None and known.payment == Payment.PAID
    return Situation(
        seen_before=known is not None,
        paid_before=was_paid,
        before_start=row is not None and bool(row.before_start) and not is_asked_for,
        baseline=look.baseline,
        start_at=look.start_at or configured,
        mark=None if is_asked_for or cursor is None else cursor.start_order_id,
        is_swept=known is None and is_swept,
        is_awaited=known is not None and was_paid and known.state == OrderState.WAITING,
        is_another_buyers=known is not None and _is_another(known.buyer_email, order.buyer_email),
        is_misdated=look.is_misdated and not is_asked_for,
        manual=look.manual,
        replan=look.replan,
        paid_total_before=None if row is None else refunds.paid_total(row.payment, row.status, row.total),
        given_back_before=0 if row is None else int(row.document.get("given_back", 0)),
        standing=standing,
        places_before=None if known is None else places_of(known.document),
        is_present=look.is_present,
        doubt=look.doubt,
        read_anew=frozenset() if row is None else row.places_read_anew,
    )


def swept_orders(
    connection: Connection, cursor: SourceCursor | None, order_ids: Sequence[str], *, has_early: bool = True
) -> frozenset[str]:
    """Those of these orders that the first sweep, which is complete, had not come by; one it could not read, it had.

    `has_early`: whether anything at all arrived about them before it was complete.
    """
    if cursor is None or cursor.baseline_at is None or cursor.start_order_id is None:
        return frozenset()
    if not has_early:
        return frozenset(order_ids)
    announced = order_rows.announced_orders(connection, cursor.source, order_ids, until=cursor.baseline_at)
    return frozenset(order_ids) - announced


def _is_another(before: str, now: str) -> bool:
    """Whether two buyers' addresses are two people's. One that is missing, or was forgotten, is nobody else's."""
    return bool(before and now) and not is_pseudonym(before) and email_key(before) != email_key(now)
