"""What the operator's page asks about today: what needs a person, what is under way, what was done.

Fast on any ledger: every question is answered by an index, and no count goes past `most_counted`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    Connection,
    Row,
    Select,
    String,
    Table,
    TextClause,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
)

from worker.actions import ActionItem, items
from worker.advice import advice
from worker.ledger.runs.breaker import BreakerState
from worker.ledger.states import CLAIMABLE, DeliveryState, OrderState, RunState
from worker.ledger.tables.page_indexes import IN_REVIEW, NEEDS_PERSON, by_index_of
from worker.ledger.tables.runs import breakers, deliveries, orders, pauses, runs
from worker.ledger.views.diagnosis import OVERDUE_SECONDS
from worker.ledger.views.page.distinct_values import distinct_values
from worker.settings.settings import SENT_TO

DONE_HOURS = 24
_Conditions = tuple[ColumnElement[bool] | TextClause, ...]
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
    late = (claimable, runs.c.next_attempt_at <= late_before, ~_is_held_up())
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


def _is_held_up() -> ColumnElement[bool]:
    """Whether runs wait for a destination that is paused or down, and not for a worker."""
    is_paused = exists().where(pauses.c.system.in_(SENT_TO))
    return or_(is_paused, exists().where(breakers.c.state == BreakerState.OPEN))


def done_since(connection: Connection, now: datetime, *, hours: int = DONE_HOURS) -> int:
    """How many runs have succeeded in the last hours."""
    counted = select(func.count()).where(
        runs.c.state == RunState.SUCCEEDED, runs.c.finished_at >= now - timedelta(hours=hours)
    )
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
    in_state = (table.c.state == state, by_index_of(connection, table.name, index_of))
    by_reason = {reason: (*in_state, _is_of(table, reason)) for reason in _reasons(connection, table, in_state)}
    if not by_reason:
        return
    examples = _examples(connection, begun_at, by_reason)
    for row in connection.execute(_counted(begun_at, by_reason, most_counted)):
        found = advice(row.reason)
        yield Need(
            what=table.name,
            state=str(state),
            reason=row.reason,
            count=row.rows,
            orders=row.orders,
            oldest_at=row.oldest_at,
            first=examples.get(row.reason, []),
            advice=found.sentence if found else None,
            action=found.action if found else None,
            actions=items(found.step if found else None),
        )


def _is_of(table: Table, reason: str | None) -> ColumnElement[bool]:
    return table.c.reason.is_(None) if reason is None else table.c.reason == reason


def _reasons(connection: Connection, table: Table, in_state: _Conditions) -> list[str | None]:
    """The reasons that occur, None among them where a row has none."""
    without = select(literal(1)).select_from(table).where(*in_state, table.c.reason.is_(None)).limit(1)
    found = distinct_values(connection, table.c.reason, *in_state)
    return found if connection.execute(without).first() is None else [None, *found]


def _counted(
    begun_at: Column[Any], by_reason: Mapping[str | None, _Conditions], most_counted: int
) -> CompoundSelect[Any]:
    """Of each reason how many rows there are, of how many orders, and the oldest; no further than one beyond."""
    table = begun_at.table
    order = (table.c.source + "/" + table.c.order_id).label("name")
    counts = []
    for reason, conditions in by_reason.items():
        oldest = select(order, begun_at.label("at")).where(*conditions).order_by(begun_at)
        some = oldest.limit(most_counted + 1).subquery()
        of_orders = func.count(some.c.name.distinct()).label("orders")
        named = literal(reason, String()).label("reason")
        counts.append(select(named, func.count().label("rows"), of_orders, func.min(some.c.at).label("oldest_at")))
    return union_all(*counts)


def _examples(
    connection: Connection, begun_at: Column[Any], by_reason: Mapping[str | None, _Conditions]
) -> dict[str | None, list[Example]]:
    """Of each reason those who wait longest."""
    table = begun_at.table
    wanted = ("id", "reason", "source", "order_id", "learner", "email", "title", "seat_id", "buyer_name", "buyer_email")
    columns = [table.c[name] for name in wanted if name in table.c]
    oldest = [select(*columns).where(*each).order_by(begun_at).limit(_NAMED_FIRST) for each in by_reason.values()]
    found: dict[str | None, list[Example]] = {}
    for row in connection.execute(union_all(*(select(each.subquery()) for each in oldest))):
        if table is runs:
            found.setdefault(row.reason, []).append(_example_of_run(connection, row))
        elif row.order_id is not None:
            who = getattr(row, "buyer_name", "") or getattr(row, "buyer_email", "")
            order = f"{row.source}/{row.order_id}"
            shown = Example(who or order, order if who else "", ("orders", row.source, row.order_id))
            found.setdefault(row.reason, []).append(shown)
    return found


def _example_of_run(connection: Connection, run: Row[Any]) -> Example:
    learner = run.learner or {}
    name = " ".join(filter(None, (learner.get("first_name"), learner.get("last_name"))))
    if name or run.email:
        return Example(name or run.email, run.title, ("runs", run.id))
    return Example(f"{run.title}, {run.seat_id}", _bought_by(connection, run), ("runs", run.id))


def _bought_by(connection: Connection, run: Row[Any]) -> str:
    """Who bought a seat that is nobody's yet."""
    of_run = (orders.c.source == run.source, orders.c.order_id == run.order_id)
    buyer = connection.execute(select(orders.c.buyer_name, orders.c.buyer_email).where(*of_run)).one_or_none()
    said = (buyer.buyer_name or buyer.buyer_email) if buyer is not None else ""
    return f"bought by {said}" if said else ""


def _count(connection: Connection, rows: Select[Any], most_counted: int) -> int:
    """How many rows there are, and no further than one beyond `most_counted`."""
    return int(connection.scalar(select(func.count()).select_from(rows.limit(most_counted + 1).subquery())) or 0)
