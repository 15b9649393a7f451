"""Pauses: systems nothing is sent to, and sources nothing is read from, until an operator resumes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, exists, select, update

from worker.ledger.events import record_event
from worker.ledger.sql import insert_ignoring
from worker.ledger.states import DeliveryState, Via
from worker.ledger.tables.runs import deliveries, pauses

BY_OPERATOR = "operator"
"""The kind of pause that holds back what a source sends, too; one that a refused call set is about calls alone."""


def pause(
    connection: Connection,
    system: str,
    *,
    kind: str,
    reason: str | None,
    actor: str,
    now: datetime,
    takes_over: bool = False,
) -> bool:
    """Pause a system, with an event; False where it is paused already, by however many at the same moment.

    `takes_over`: in the place of a pause of another kind, as this one holds back more; without a reason it keeps that
    one's.
    """
    values = {"system": system, "kind": kind, "reason": reason or "", "actor": actor, "since": now}
    if not insert_ignoring(connection, pauses, values):
        is_other = (pauses.c.system == system, pauses.c.kind != kind)
        taken = {"kind": kind, "actor": actor} | ({"reason": reason} if reason else {})
        if not takes_over or not connection.execute(update(pauses).where(*is_other).values(taken)).rowcount:
            return False
    record_event(connection, at=now, kind="system_paused", actor=actor, system=system, reason=reason)
    return True


def lift(connection: Connection, system: str) -> bool:
    """Remove a system's pause; False where it had none."""
    return bool(connection.execute(delete(pauses).where(pauses.c.system == system)).rowcount)


def pause_of(connection: Connection, system: str) -> Row[Any] | None:
    """The system's pause, None when it is not paused."""
    return connection.execute(select(pauses).where(pauses.c.system == system)).one_or_none()


def is_held_back() -> ColumnElement[bool]:
    """A condition on deliveries: an operator paused the source, and did not ask for this order by name."""
    is_paused = exists().where(pauses.c.system == deliveries.c.source, pauses.c.kind == BY_OPERATOR)
    return and_(deliveries.c.via != Via.MANUAL, is_paused)


def paused_sources(connection: Connection) -> frozenset[str]:
    """The systems that nothing is read from, because an operator paused them."""
    return frozenset(connection.scalars(select(pauses.c.system).where(pauses.c.kind == BY_OPERATOR)))


def wake_deliveries(connection: Connection, source: str) -> None:
    """Take what was sent of a source's open deliveries for lost: whoever was told of one found it paused."""
    is_open = deliveries.c.state.in_([DeliveryState.RECEIVED, DeliveryState.WAITING])
    connection.execute(update(deliveries).where(deliveries.c.source == source, is_open).values(dispatched_at=None))
