"""Why a learner has access or has none: what the ledger knows of a learner or an order, in order and in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, and_, or_, select

from worker.actions import ActionItem
from worker.ledger.keys import is_of_order
from worker.ledger.orders.operator_entries import notes_of
from worker.ledger.tables.runs import attempts, events, orders, runs
from worker.ledger.views import lookup
from worker.ledger.views.diagnosis import diagnose
from worker.ledger.views.listing import list_deliveries, list_runs
from worker.ledger.views.records import (
    ORDER_COLUMNS,
    RUN_COLUMNS,
    DeliveryItem,
    OrderOfStory,
    RunItem,
)
from worker.ledger.views.timeline import (
    TimelineLine,
    attempt_line,
    delivery_lines,
    event_line,
    note_line,
    order_line,
    subscription_line,
)
from worker.settings.settings import SOURCES
from worker.sources.order import email_key

_FETCH_IT = " An order that has not come in yet: cartbridge ingest SOURCE ORDER"
_MOST_RUNS = 100
_MOST_ORDERS = 20
_MOST_DELIVERIES = 100
_MOST_LINES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """Why somebody has access or has none: `answer` is a sentence or two, `action` what to do, or None, and
    `actions` the same for programs.

    `tone` is `good`, `wait`, `bad` or `plain`. The timeline begins with the oldest line; `omitted` counts still older
    ones.
    """

    subject: str
    answer: str
    action: str | None
    actions: list[ActionItem]
    tone: str
    orders: list[OrderOfStory]
    runs: list[RunItem]
    timeline: list[TimelineLine]
    omitted: int


@dataclass
class _Found:
    """What a story is made of, newest first."""

    orders: list[OrderOfStory] = field(default_factory=list)
    runs: list[RunItem] = field(default_factory=list)
    deliveries: list[list[DeliveryItem]] = field(default_factory=list)
    """By order."""


def why(connection: Connection, subject: str, *, now: datetime) -> Story:
    """The story of an EMAIL, of a SOURCE/ORDER, or of the order of a run that is named by its id or key.

    A run that belongs to a completion has a story of its own, which is part of its learner's.

    A learner's story goes back 100 runs and 20 orders.
    Raises `NotInLedgerError`, with what may have been meant.
    """
    subject = subject.strip()
    source, slash, order_id = subject.partition("/")
    if "@" in subject:
        story = _of_learner(connection, subject)
    elif slash and source in SOURCES and "/" not in order_id:
        story = _of_order(connection, source, order_id)
    else:
        story = _of_run(connection, subject)
    if not (story.orders or story.runs or any(story.deliveries)):
        what = "learner" if "@" in subject else "order" if slash else "learner, order or run"
        raise lookup.not_found(connection, what, subject, otherwise=_FETCH_IT)
    return _story(connection, subject, story, now)


def story_of_order(connection: Connection, source: str, order_id: str, *, now: datetime) -> Story:
    """As `why`, of an order that is there, whatever its id holds: a slash or an @ names nothing else here."""
    story = _of_order(connection, source, order_id)
    return _story(connection, f"{source}/{order_id}", story, now)


def _story(connection: Connection, subject: str, found: _Found, now: datetime) -> Story:
    arrived = [each for some in found.deliveries for each in some]
    diagnosis = diagnose(connection, found.runs, found.orders, arrived, now=now)
    lines = sorted(_lines(connection, found), key=lambda line: line.at)
    return Story(
        subject=subject,
        answer=diagnosis.answer,
        action=diagnosis.action,
        actions=diagnosis.actions,
        tone=diagnosis.tone,
        orders=found.orders,
        runs=found.runs,
        timeline=lines[-_MOST_LINES:],
        omitted=max(0, len(lines) - _MOST_LINES),
    )


def _of_learner(connection: Connection, email: str) -> _Found:
    found = list(list_runs(connection, email=email, limit=_MOST_RUNS))
    bought = connection.execute(
        select(orders.c.source, orders.c.order_id)
        .where(orders.c.buyer_email_key == email_key(email))
        .order_by(orders.c.updated_at.desc())
        .limit(_MOST_ORDERS)
    )
    names = [(row.source, row.order_id) for row in bought]
    names += [(run.source, run.order_id) for run in found if run.order_id is not None]
    story = _with_orders(connection, list(dict.fromkeys(names))[:_MOST_ORDERS], found)
    # A seat without a learner's email (its placeholder) belongs to the buyer's story.
    known = {run.id for run in found}
    for source, order_id in [(order.source, order.order_id) for order in story.orders]:
        nameless = select(*RUN_COLUMNS).where(is_of_order(runs, source, order_id), runs.c.email_key.is_(None))
        rows = [row for row in connection.execute(nameless.limit(_MOST_RUNS)) if row.id not in known]
        story.runs += [RunItem.of(row, 0) for row in rows]
    return story


def _of_order(connection: Connection, source: str, order_id: str) -> _Found:
    found = list(list_runs(connection, source=source, order_id=order_id, limit=_MOST_RUNS))
    return _with_orders(connection, [(source, order_id)], found)


def _of_run(connection: Connection, text: str) -> _Found:
    found = lookup.find_runs(connection, text)
    if len(found) != 1:
        return _Found()
    row = connection.execute(select(*RUN_COLUMNS).where(runs.c.id == found[0])).one()
    if row.order_id is None:
        return _Found(runs=[RunItem.of(row, 0)])
    return _of_order(connection, row.source, row.order_id)


def _with_orders(connection: Connection, names: Iterable[tuple[str, str]], found: list[RunItem]) -> _Found:
    story = _Found(runs=found)
    for source, order_id in names:
        row = connection.execute(select(*ORDER_COLUMNS).where(is_of_order(orders, source, order_id))).one_or_none()
        if row is not None:
            subscription = subscription_line(connection, source, order_id)
            story.orders.append(OrderOfStory.of(row, subscription=subscription))
        arrivals = list_deliveries(connection, source=source, order_id=order_id, limit=_MOST_DELIVERIES)
        story.deliveries.append(list(arrivals))
    return story


def _lines(connection: Connection, found: _Found) -> Iterator[TimelineLine]:
    by_id = {run.id: run for run in found.runs}
    for order in found.orders:
        yield order_line(order)
    for arrivals in found.deliveries:
        yield from delivery_lines(arrivals)
    yield from map(note_line, notes_of(connection, [(order.source, order.order_id) for order in found.orders]))
    tried = select(attempts).where(attempts.c.run_id.in_(by_id)).order_by(attempts.c.started_at, attempts.c.number)
    for row in connection.execute(tried):
        yield attempt_line(row, by_id[row.run_id])
    about_orders = [
        and_(events.c.run_id.is_(None), is_of_order(events, order.source, order.order_id)) for order in found.orders
    ]
    recorded = select(events).where(or_(events.c.run_id.in_(by_id), *about_orders)).order_by(events.c.id)
    for row in connection.execute(recorded):
        if row.kind == "order_noted" or (row.kind == "order_ingested" and row.reason is None):
            continue  # its note, or its delivery, says so
        yield event_line(row, by_id.get(row.run_id))
