"""What the filters of a list offer: the values that occur, each with how many rows it would leave.

Fast on any ledger: of each value as many rows are looked at as are counted, and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, case, func, literal, select, true, union_all

from worker.ledger.states import RunState
from worker.ledger.tables.page_indexes import NEEDS_PERSON, OTHER_SYSTEM, by_index_of
from worker.ledger.tables.runs import deliveries, orders, runs
from worker.ledger.views.page.distinct_values import distinct_values
from worker.ledger.views.paging import between

MOST_COUNTED: Final = 1_000
MOST_COMPARED: Final = 300
"""Of rows that other filters are held against, which an index alone does not tell."""
_TIMES: Final = {runs: runs.c.created_at, orders: orders.c.updated_at, deliveries: deliveries.c.received_at}
"""What the rows of a list are newest by."""
_UNINDEXED: Final = frozenset({deliveries.c.reason, deliveries.c.via})
_USUAL_SYSTEM: Final = "learningcart"
_NEEDS_PERSON: Final = frozenset({RunState.REVIEW, RunState.FAILED})


@dataclass(frozen=True, slots=True)
class Choice:
    """A value of a filter. Where `is_more` there may be more rows than were looked at: `count` of them have it."""

    value: str
    count: int
    is_more: bool = False


def choices(
    connection: Connection,
    table: Table,
    chosen: Mapping[str, str | None],
    known: Mapping[str, Iterable[str]],
    *,
    since: datetime | None,
) -> dict[str, list[Choice]]:
    """By filter the values that some rows have which the other filters leave; the chosen one in any case.

    `chosen` holds every filter, a column's name, and its value, None for all; `known` the values that one can have,
    without which they are looked for.
    """
    found = {}
    for name, value in chosen.items():
        column = table.c[name]
        others = {other: wanted for other, wanted in chosen.items() if other != name and wanted is not None}
        left = and_(
            true(),
            *(table.c[other] == wanted for other, wanted in others.items()),
            *between(_TIMES[table], since, None),
        )
        if column in _UNINDEXED:
            counted = _among_newest(connection, column, left, others.get("state"), known.get(name, ()))
        else:
            most = MOST_COMPARED if others or since is not None else MOST_COUNTED
            values = known.get(name) or distinct_values(connection, column)
            counted = _by_value(connection, column, left, values, state=others.get("state"), most=most)
        offered = [each for each in counted if each.count or each.is_more or each.value == value]
        if value is not None and value not in {each.value for each in offered}:
            offered.append(Choice(value, 0))
        found[name] = offered
    return found


def _by_value(
    connection: Connection,
    column: Column[Any],
    left: ColumnElement[bool],
    values: Iterable[str],
    *,
    state: str | None,
    most: int,
) -> list[Choice]:
    counts = []
    for value in values:
        of_value = [column == value]
        if column is runs.c.reason and state in _NEEDS_PERSON:  # these are few, and their index holds all of it
            of_value += [left, by_index_of(connection, "runs", NEEDS_PERSON)]  # type: ignore[list-item]
        if column is runs.c.system and value != _USUAL_SYSTEM:
            of_value.append(by_index_of(connection, "runs", OTHER_SYSTEM))  # type: ignore[arg-type]
        some = select(case((left, 1), else_=0).label("hit")).where(*of_value).limit(most + 1).subquery()
        counts.append(
            select(literal(value).label("value"), func.count().label("looked_at"), func.sum(some.c.hit).label("hits"))
        )
    if not counts:
        return []
    return [
        Choice(row.value, min(row.hits or 0, most), is_more=row.looked_at > most)
        for row in connection.execute(union_all(*counts))
    ]


def _among_newest(
    connection: Connection,
    column: Column[Any],
    left: ColumnElement[bool],
    state: str | None,
    known: Iterable[str],
) -> list[Choice]:
    """Of a column without an index: among the rows of the chosen state, or the newest of all."""
    table = column.table
    some = select(column.label("value"), case((left, 1), else_=0).label("hit")).limit(MOST_COUNTED + 1)
    some = some.order_by(_TIMES[table].desc()) if state is None else some.where(table.c.state == state)
    looked_at = some.subquery()
    query = select(looked_at.c.value, func.count().label("rows"), func.sum(looked_at.c.hit).label("hits"))
    rows: Sequence[Any] = connection.execute(query.group_by(looked_at.c.value)).all()
    is_more = sum(row.rows for row in rows) > MOST_COUNTED
    counts = dict.fromkeys(known, 0) | {row.value: row.hits for row in rows if row.value is not None}
    return [Choice(value, min(count, MOST_COUNTED), is_more=is_more) for value, count in sorted(counts.items())]
