"""The state of the whole in one look: what is done, due, stuck or paused, and how each source is doing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, Table, false, func, select

from worker.actions import ActionItem, items
from worker.advice import advice
from worker.ledger.follow_on.completions import CompletionsPoll, completions_poll
from worker.ledger.outbox import OutboxCounts, outbox_counts
from worker.ledger.pauses import is_held_back
from worker.ledger.periodic.list_polls import ListName
from worker.ledger.periodic.source_watches import Watch, watches
from worker.ledger.runs import breaker
from worker.ledger.runs.breaker import Breaker
from worker.ledger.sql import record_of
from worker.ledger.states import CLAIMABLE, DeliveryState, OrderState, RunState
from worker.ledger.tables.periodic import list_polls
from worker.ledger.tables.runs import cursors, deliveries, orders, pauses, runs
from worker.ledger.views.reconcile import missed_by_webhook

MISSED_WINDOW = timedelta(days=30)
"""So far back orders are counted of which no webhook told."""
_ASSISTING = (ListName.SUBSCRIPTIONS, ListName.CATALOG)
"""Lists that assist a source's orders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonCount:
    """What waits for one reason; `orders` counts the orders that it is of."""

    reason: str | None
    count: int
    orders: int
    oldest_at: datetime
    advice: str | None
    action: str | None
    actions: list[ActionItem]


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What should be at work by now and is not."""

    count: int
    oldest_at: datetime | None
    oldest_age_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseItem:
    """A system that nothing is sent to until it is resumed."""

    system: str
    kind: str
    reason: str
    actor: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerItem:
    """A destination that is down."""

    system: str
    state: str
    since: datetime | None
    probe_at: datetime | None
    last_error: str | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceItem:
    """How a source's polls are doing.

    `lag_seconds` is the time since its last successful poll, and `missed_by_webhook` counts its orders that only a poll
    or a reconciliation found: None for a source without webhooks. `late_since` is set when no poll has succeeded for
    three intervals, and `silent_since`, to its last order, when it is unusually quiet.
    """

    source: str
    first_contact_at: datetime | None
    start_at: datetime | None
    baseline_at: datetime | None
    position: dict[str, Any]
    last_attempt_at: datetime | None
    last_success_at: datetime | None
    lag_seconds: float | None
    last_error: str | None
    failures: int
    missed_by_webhook: int | None
    late_since: datetime | None
    silent_since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListItem:
    """How the polls of a list that assists a source's orders are doing: its subscriptions, its products' names."""

    source: str
    list: str
    last_attempt_at: datetime | None
    last_success_at: datetime | None
    failures: int
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of the whole in one look.

    `offers_problem`: why the offers file cannot be used; its last valid rules stay in force. `completions` is None
    before their first poll.
    """

    at: datetime
    offers_problem: str | None
    runs: dict[str, int]
    orders: dict[str, int]
    deliveries: dict[str, int]
    reviews: list[ReasonCount]
    failures: list[ReasonCount]
    delivery_reviews: list[ReasonCount]
    due: Due
    due_deliveries: Due
    pauses: list[PauseItem]
    breakers: list[BreakerItem]
    sources: list[SourceItem]
    lists: list[ListItem]
    completions: CompletionsPoll | None
    outbox: OutboxCounts


def status(
    connection: Connection,
    now: datetime,
    *,
    webhook_sources: Collection[str] = (),
    offers_problem: str | None = None,
) -> Status:
    """Counts by state, what waits for a person and why, what is due, paused or down, and each source's last poll.

    `due.oldest_age_seconds` is how far dispatching lags behind. `lists` are the polls of subscriptions and products,
    whose failure holds up no order that does not need them. `offers_problem` is what the caller knows to be wrong with
    the offers file.
    Counts every row once, by index.
    """
    missed = missed_by_webhook(connection, webhook_sources, since=now - MISSED_WINDOW) if webhook_sources else {}
    return Status(
        at=now,
        offers_problem=offers_problem,
        runs=_counts(connection, runs, RunState),
        orders=_counts(connection, orders, OrderState),
        deliveries=_counts(connection, deliveries, DeliveryState),
        reviews=reviews(connection),
        failures=failures(connection),
        delivery_reviews=delivery_reviews(connection),
        due=due_runs(connection, now),
        due_deliveries=due_deliveries(connection, now),
        pauses=list_pauses(connection),
        breakers=list_breakers(connection, now),
        sources=list_sources(connection, now, missed=missed),
        lists=list_lists(connection),
        completions=completions_poll(connection),
        outbox=outbox_counts(connection),
    )


def reviews(connection: Connection) -> list[ReasonCount]:
    """The runs that wait for a person, by reason, the most frequent first."""
    return _by_reason(connection, runs.c.created_at, RunState.REVIEW)


def failures(connection: Connection) -> list[ReasonCount]:
    """The runs that failed, by reason, the most frequent first."""
    return _by_reason(connection, runs.c.created_at, RunState.FAILED)


def delivery_reviews(connection: Connection) -> list[ReasonCount]:
    """The deliveries that wait for a person, by reason, the most frequent first."""
    return _by_reason(connection, deliveries.c.received_at, DeliveryState.REVIEW)


def due_runs(connection: Connection, now: datetime) -> Due:
    """The runs that should be at work by now and are not."""
    return _due(connection, runs, sorted(CLAIMABLE), now)


def due_deliveries(connection: Connection, now: datetime) -> Due:
    """The news of orders that should have been looked at by now and was not."""
    return _due(connection, deliveries, [DeliveryState.RECEIVED, DeliveryState.WAITING], now)


def list_pauses(connection: Connection) -> list[PauseItem]:
    """The systems nothing is sent to until they are resumed."""
    return [record_of(PauseItem, row) for row in connection.execute(select(pauses).order_by(pauses.c.system))]


def list_breakers(connection: Connection, now: datetime) -> list[BreakerItem]:
    """The destinations that are down."""
    return [_breaker(found, now) for found in breaker.down(connection)]


def list_sources(connection: Connection, now: datetime, *, missed: Mapping[str, int] | None = None) -> list[SourceItem]:
    """Each source's polls; `missed`: how many of its orders no webhook told of."""
    watched = watches(connection)
    return [
        _cursor(row, now, missed or {}, watched.get(row.source, Watch()))
        for row in connection.execute(select(cursors).order_by(cursors.c.source))
    ]


def list_lists(connection: Connection) -> list[ListItem]:
    """The polls of lists that assist a source's orders: its subscriptions, and the names of its products."""
    found = connection.execute(
        select(list_polls)
        .where(list_polls.c.list_name.in_(_ASSISTING))
        .order_by(list_polls.c.source, list_polls.c.list_name)
    )
    return [record_of(ListItem, row, list=row.list_name) for row in found]


def _counts(connection: Connection, table: Table, states: type[StrEnum]) -> dict[str, int]:
    """Rows by state, with a zero for each state nothing is in."""
    counted = connection.execute(select(table.c.state, func.count().label("rows")).group_by(table.c.state))
    return dict.fromkeys(map(str, states), 0) | {row.state: row.rows for row in counted}


def _by_reason(connection: Connection, begun_at: Column[Any], state: StrEnum) -> list[ReasonCount]:
    """What is in `state`, by reason, the most frequent first; `orders` counts the orders that the rows are of."""
    table = begun_at.table
    order = table.c.source + "/" + table.c.order_id
    counted = connection.execute(
        select(
            table.c.reason,
            func.count().label("rows"),
            func.count(order.distinct()).label("orders"),
            func.min(begun_at).label("oldest_at"),
        )
        .where(table.c.state == state)
        .group_by(table.c.reason)
        .order_by(func.count().desc(), table.c.reason)
    )
    shown = []
    for row in counted:
        found = advice(row.reason)
        shown.append(
            ReasonCount(
                reason=row.reason,
                count=row.rows,
                orders=row.orders,
                oldest_at=row.oldest_at,
                advice=found.sentence if found else None,
                action=found.action if found else None,
                actions=items(found.step if found else None),
            )
        )
    return shown


def _due(connection: Connection, table: Table, states: Sequence[str], now: datetime) -> Due:
    """What should be at work by now and is not."""
    due_at: ColumnElement[Any] = table.c.next_attempt_at
    is_held: ColumnElement[bool] = false()
    if table is deliveries:  # one without a time was due when it came
        due_at, is_held = func.coalesce(due_at, table.c.received_at), is_held_back()
    row = connection.execute(
        select(
            func.count().label("rows"), func.min(due_at, type_=table.c.next_attempt_at.type).label("oldest_at")
        ).where(table.c.state.in_(states), due_at <= now, ~is_held)
    ).one()
    return Due(count=row.rows, oldest_at=row.oldest_at, oldest_age_seconds=_seconds(row.oldest_at, now))


def _breaker(found: Breaker, now: datetime) -> BreakerItem:
    return BreakerItem(
        system=found.system,
        state=found.state,
        since=found.opened_at,
        probe_at=found.probe_at,
        last_error=found.last_error,
        sentence=found.sentence(now),
    )


def _cursor(row: Row[Any], now: datetime, missed: Mapping[str, int], watch: Watch) -> SourceItem:
    return record_of(
        SourceItem,
        row,
        lag_seconds=_seconds(row.last_success_at, now),
        missed_by_webhook=missed.get(row.source),
        late_since=watch.late_since,
        silent_since=watch.silent_since,
    )


def _seconds(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else max(0.0, (now - moment).total_seconds())
