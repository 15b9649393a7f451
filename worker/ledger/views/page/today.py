"""What the operator's page asks about today: what needs a person, what is under way, what was done.

Fast on any ledger: every question is answered by an index, and no count goes past `most_counted`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, Table, TextClause, func, select, text

from worker.actions import ActionItem, items
from worker.advice import advice
from worker.ledger.states import CLAIMABLE, DeliveryState, OrderState, RunState
from worker.ledger.tables.page_indexes import IN_REVIEW, NEEDS_PERSON, SUCCEEDED, by_index_of
from worker.ledger.tables.runs import deliveries, orders, runs
from worker.ledger.views.diagnosis import OVERDUE_SECONDS

DONE_HOURS = 24
_NAMED_FIRST = 3


@dataclass(frozen=True, slots=True)
class Example:
    """One of those that wait: who, what they bought, and the kind and ids of where it is shown."""

    who: str
    what: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What waits for a person for one reason; `what` is `runs`, `orders` or `deliveries`, `orders` whose they are."""

    what: str
    state: str
    reason: str | None
    count: int
    orders: int
    oldest_at: datetime
    first: list[Example]
    """Those who wait longest, by name."""
    advice: str | None
    action: str | None
    actions: list[ActionItem]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """What goes on by itself. `late` counts runs that have been due for a minute and more, and nobody took."""

    pending: int
    running: int
    waiting: int
    deliveries: int
    next_due_at: datetime | None
    late: int
    late_since: datetime | None


def needs_person(connection: Connection, *, most_counted: int) -> list[Need]:
    """What waits for a person, by reason, the longest waiting first.

    A count of `most_counted + 1` means: more than `most_counted`.
    """
    groups = (
        (runs.c.created_at, RunState.FAILED, NEEDS_PERSON),
        (runs.c.created_at, RunState.REVIEW, NEEDS_PERSON),
        (orders.c.updated_at, OrderState.REVIEW, IN_REVIEW),
        (deliveries.c.received_at, DeliveryState.REVIEW, IN_REVIEW),
    )
    found = [group for each in groups for group in _by_reason(connection, *each, most_counted=most_counted)]
    return sorted(found, key=lambda group: group.oldest_at)


def under_way(connection: Connection, now: datetime, *, most_counted: int) -> UnderWay:
    """What goes on by itself; counts as `needs_person`'s."""
    # Nothing is late in the minute in which a worker starts.
    late_before = now - timedelta(seconds=OVERDUE_SECONDS)
    claimable = runs.c.state.in_(sorted(CLAIMABLE))
    late = (claimable, runs.c.next_attempt_at <= late_before)
    open_states = [DeliveryState.RECEIVED, DeliveryState.WAITING]

    def counted(state: RunState) -> int:
        return _count(connection, select(runs.c.id).where(runs.c.state == state), most_counted)

    return UnderWay(
        pending=counted(RunState.PENDING),
        running=counted(RunState.RUNNING),
        waiting=counted(RunState.WAITING),
        deliveries=_count(connection, select(deliveries.c.id).where(deliveries.c.state.in_(open_states)), most_counted),
        next_due_at=_first_due(connection, now),
        late=_count(connection, select(runs.c.id).where(*late), most_counted),
        late_since=connection.scalar(select(func.min(runs.c.next_attempt_at)).where(*late)),
    )


def done_since(connection: Connection, now: datetime, *, hours: int = DONE_HOURS) -> int:
    """How many runs have succeeded in the last hours."""
    counted = select(func.count()).where(text(f"runs.{SUCCEEDED}"), runs.c.finished_at >= now - timedelta(hours=hours))
    return int(connection.scalar(counted.select_from(runs)) or 0)


def _first_due(connection: Connection, now: datetime) -> datetime | None:
    """When the next run that waits for its time is due. By state, for the index begins with it."""
    moments = [
        connection.scalar(
            select(func.min(runs.c.next_attempt_at)).where(runs.c.state == state, runs.c.next_attempt_at > now)
        )
        for state in sorted(CLAIMABLE)
    ]
    return min((moment for moment in moments if moment is not None), default=None)


def _by_reason(
    connection: Connection,
    begun_at: Column[Any],
    state: str,
    index_of: str,
    *,
    most_counted: int,
) -> Iterator[Need]:
    """One group a reason. Leaps from reason to reason along the index, and counts each no further than asked."""
    table = begun_at.table
    in_state: tuple[ColumnElement[bool] | TextClause, ...] = (
        table.c.state == state,
        by_index_of(connection, table.name, index_of),
    )
    first = select(table.c.reason, begun_at.label("oldest_at")).order_by(table.c.reason, begun_at).limit(1)
    row = connection.execute(first.where(*in_state, table.c.reason.is_(None))).one_or_none()
    if row is None:
        row = connection.execute(first.where(*in_state, table.c.reason.is_not(None))).one_or_none()
    while row is not None:
        found = advice(row.reason)
        same = table.c.reason.is_(None) if row.reason is None else table.c.reason == row.reason
        yield Need(
            what=table.name,
            state=str(state),
            reason=row.reason,
            count=_count(connection, select(table.c.state).where(*in_state, same), most_counted),
            orders=_count_orders(connection, table, (*in_state, same), most_counted),
            oldest_at=row.oldest_at,
            first=_examples(connection, table, (*in_state, same), begun_at),
            advice=found.sentence if found else None,
            action=found.action if found else None,
            actions=items(found.step if found else None),
        )
        row = connection.execute(first.where(*in_state, table.c.reason > (row.reason or ""))).one_or_none()


def _examples(
    connection: Connection,
    table: Table,
    conditions: tuple[ColumnElement[bool] | TextClause, ...],
    begun_at: Column[Any],
) -> list[Example]:
    first = select(table).where(*conditions).order_by(begun_at).limit(_NAMED_FIRST)
    found = []
    for row in connection.execute(first):
        if table is runs:
            learner = row.learner or {}
            name = " ".join(filter(None, (learner.get("first_name"), learner.get("last_name"))))
            who, what = name or row.email, row.title
            if not who:
                who, what = f"{row.title}, {row.seat_id}", _bought_by(connection, row)
            found.append(Example(who, what, ("runs", row.id)))
        elif row.order_id is not None:
            who = getattr(row, "buyer_name", "") or getattr(row, "buyer_email", "")
            order = f"{row.source}/{row.order_id}"
            found.append(Example(who or order, order if who else "", ("orders", row.source, row.order_id)))
    return found


def _bought_by(connection: Connection, run: Row[Any]) -> str:
    """Who bought a seat that is nobody's yet."""
    of_run = (orders.c.source == run.source, orders.c.order_id == run.order_id)
    buyer = connection.execute(select(orders.c.buyer_name, orders.c.buyer_email).where(*of_run)).one_or_none()
    said = (buyer.buyer_name or buyer.buyer_email) if buyer is not None else ""
    return f"bought by {said}" if said else ""


def _count_orders(
    connection: Connection, table: Table, conditions: tuple[ColumnElement[bool] | TextClause, ...], most_counted: int
) -> int:
    """How many orders the rows that are counted are of."""
    order = (table.c.source + "/" + table.c.order_id).label("name")
    rows = select(order).where(*conditions).limit(most_counted + 1).subquery()
    return int(connection.scalar(select(func.count(rows.c.name.distinct()))) or 0)


def _count(connection: Connection, rows: Select[Any], most_counted: int) -> int:
    """How many rows there are, and no further than one beyond `most_counted`."""
    return int(connection.scalar(select(func.count()).select_from(rows.limit(most_counted + 1).subquery())) or 0)
