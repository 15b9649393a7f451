"""What the ledger knows of an order besides its content and its runs: what planning has to take into account."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from worker.ledger.learners.erased import is_pseudonym
from worker.ledger.orders import order_rows
from worker.ledger.orders.recorded_orders import RecordedOrder
from worker.ledger.orders.source_cursors import SourceCursor
from worker.ledger.states import OrderState
from worker.sources.order import Order, Payment, email_key
from workflows.planning import refunds
from workflows.planning.model import Situation, Standing
from workflows.recording.look import Look
from workflows.recording.source_start import start_of


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
