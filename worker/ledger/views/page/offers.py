"""What the offers do: which products were granted lately and how often, and which wait for an offer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, case, func, select

from worker.ledger.states import RunState
from worker.ledger.tables.runs import orders, runs
from worker.ledger.views.records import RUN_COLUMNS, RunItem
from worker.sources.order import Line

MOST_GRANTED = 20_000
"""So many of the newest enrolments are counted: a month of a company's."""
MOST_SOLD = 2_000
"""So many of the newest orders are looked at for what was sold."""
MOST_WAITING = 1000
_MOST_GROUPS = 500
_LINES_HAVE_OWN_IDS = "frontcore"
"""There a line's id is another one in every order; elsewhere it names the product."""


@dataclass(frozen=True)
class Granted:
    """How many enrolments one product of one source led to for one price."""

    source: str
    line: Line
    price_id: int
    count: int


@dataclass(frozen=True)
class Sold:
    """A product that orders have, in how many of them, and for how many seats."""

    source: str
    line: Line
    """As the newest of the orders has it."""
    orders: int
    seats: int


@dataclass(frozen=True)
class Waiting:
    """A run that waits for an offer, and the line it is for."""

    run_id: str
    source: str
    order_id: str
    line: Line
    created_at: datetime


def granted(connection: Connection, since: datetime) -> tuple[list[Granted], datetime | None]:
    """The enrolments planned from `since` on, by product and price; and where the count begins if it was cut short.

    Walks the newest `MOST_GRANTED` runs along an index and reads one order for each product.
    """
    price_id = runs.c.grant["price_id"].as_integer()
    newest = (
        select(runs.c.id, runs.c.source, runs.c.title, runs.c.line_id, price_id.label("price_id"), runs.c.created_at)
        .where(runs.c.created_at >= since, runs.c.workflow == "enrolment", runs.c.order_id.is_not(None))
        .order_by(runs.c.created_at.desc())
        .limit(MOST_GRANTED)
        .subquery()
    )
    line_id = case((newest.c.source == _LINES_HAVE_OWN_IDS, ""), else_=newest.c.line_id).label("line")
    counted = (
        select(
            newest.c.source,
            newest.c.price_id,
            func.count().label("rows"),
            func.max(newest.c.id).label("sample"),
            func.min(newest.c.created_at).label("oldest_at"),
        )
        .where(newest.c.price_id.is_not(None))
        .group_by(newest.c.source, newest.c.title, line_id, newest.c.price_id)
        .order_by(func.count().desc())
        .limit(_MOST_GROUPS)
    )
    groups = connection.execute(counted).all()
    samples = select(runs.c.id, runs.c.source, runs.c.order_id, runs.c.line_id).where(
        runs.c.id.in_([group.sample for group in groups])
    )
    lines = {row.id: line for row, line in _with_lines(connection, samples)}
    found = [
        Granted(group.source, lines[group.sample], group.price_id, group.rows)
        for group in groups
        if group.sample in lines
    ]
    is_cut = sum(group.rows for group in groups) >= MOST_GRANTED
    return found, min(group.oldest_at for group in groups) if is_cut else None


def sold(connection: Connection) -> tuple[list[Sold], datetime | None]:
    """What the newest `MOST_SOLD` orders are of, the most seats first; and since when, if there are more orders."""
    newest = select(orders.c.source, orders.c.document, orders.c.updated_at).order_by(orders.c.updated_at.desc())
    rows = connection.execute(newest.limit(MOST_SOLD)).all()
    found: dict[str, Sold] = {}
    for row in rows:
        for document in row.document.get("lines", ()):
            line = Line.model_validate(document)
            key = f"{row.source} {line.product.model_dump_json(exclude_none=True)}"
            known = found.get(key) or Sold(row.source, line, 0, 0)
            found[key] = Sold(known.source, known.line, known.orders + 1, known.seats + len(line.seats))
    by_seats = sorted(found.values(), key=lambda each: -each.seats)
    return by_seats, rows[-1].updated_at if len(rows) == MOST_SOLD else None


def granted_numbers(connection: Connection) -> set[tuple[str, int]]:
    """The LearningCart numbers that the newest `MOST_GRANTED` enrolments gave: `("price", 501)`, `("group", 12)`."""
    newest = (
        select(runs.c.grant)
        .where(runs.c.state == RunState.SUCCEEDED, runs.c.workflow == "enrolment")
        .order_by(runs.c.finished_at.desc())
        .limit(MOST_GRANTED)
        .subquery()
    )
    found: set[tuple[str, int]] = set()
    for grant in connection.scalars(select(newest.c.grant).where(newest.c.grant.is_not(None))):
        found.add(("price", grant.get("price_id")))
        found.update(("group", group_id) for group_id in grant.get("group_ids", ()))
    return found


def waiting_for_offer(connection: Connection, reason: str) -> list[Waiting]:
    """The runs in review for `reason` with their lines, the oldest first; `MOST_WAITING` at most."""
    query = (
        select(runs.c.id, runs.c.source, runs.c.order_id, runs.c.line_id, runs.c.created_at)
        .where(runs.c.state == RunState.REVIEW, runs.c.reason == reason, runs.c.order_id.is_not(None))
        .order_by(runs.c.created_at, runs.c.id)
        .limit(MOST_WAITING)
    )
    return [
        Waiting(row.id, row.source, row.order_id, line, row.created_at) for row, line in _with_lines(connection, query)
    ]


def runs_of(connection: Connection, run_ids: Sequence[str]) -> list[RunItem]:
    """The runs of these ids, the oldest first; their `attempts` are not counted and 0."""
    query = select(*RUN_COLUMNS).where(runs.c.id.in_(run_ids)).order_by(runs.c.created_at, runs.c.id)
    return [RunItem.of(row, 0) for row in connection.execute(query)]


def _with_lines(connection: Connection, query: Select[Any]) -> Iterator[tuple[Row[Any], Line]]:
    """The rows of a query on runs, each with its line as its order has it now; without those whose line is gone."""
    with_orders = query.add_columns(orders.c.document).join(
        orders, and_(orders.c.source == runs.c.source, orders.c.order_id == runs.c.order_id)
    )
    for row in connection.execute(with_orders):
        lines = row.document.get("lines", ())
        line = next((line for line in lines if line["id"] == row.line_id), None)
        if line is not None:
            yield row, Line.model_validate(line)
