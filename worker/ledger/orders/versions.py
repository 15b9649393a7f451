"""The versions of an order side by side: what its source changed each time, with the values before and after."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from worker.ledger.keys import is_of_order
from worker.ledger.orders.changes import differences
from worker.ledger.tables.runs import order_versions

MOST_VERSIONS = 20
MOST_DIFFERENCES = 40
_LONGEST_VALUE = 300
_DROPPED = ({"forgotten": True}, {"expired": True})


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of the source's record. Its values are as text, long ones cut; None where there was nothing."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedVersion:
    """A version of an order beside the one before. `left_out` counts the differences beyond those that are listed.

    `is_forgotten`: the record was dropped because its learner asked for it, or as it was kept long enough: there is
    nothing to compare.
    """

    number: int
    seen_at: datetime
    delivery_id: str | None
    is_first: bool
    is_forgotten: bool
    differences: list[Difference]
    left_out: int


def compared_versions(connection: Connection, source: str, order_id: str) -> list[ComparedVersion]:
    """The newest versions of an order, newest first, each compared with the one before."""
    newest = (
        select(order_versions)
        .where(is_of_order(order_versions, source, order_id))
        .order_by(order_versions.c.number.desc())
        .limit(MOST_VERSIONS + 1)
    )
    rows = connection.execute(newest).all()
    shown = []
    for index, row in enumerate(rows[:MOST_VERSIONS]):
        before = rows[index + 1] if index + 1 < len(rows) else None
        is_forgotten = row.raw in _DROPPED or (before is not None and before.raw in _DROPPED)
        found = [] if before is None or is_forgotten else differences(_numbered(before.raw), _numbered(row.raw))
        shown.append(
            ComparedVersion(
                number=row.number,
                seen_at=row.seen_at,
                delivery_id=row.delivery_id,
                is_first=row.number == 1,
                is_forgotten=is_forgotten,
                differences=[
                    Difference(path, value_text(old), value_text(new)) for path, old, new in found[:MOST_DIFFERENCES]
                ],
                left_out=max(0, len(found) - MOST_DIFFERENCES),
            )
        )
    return shown


def _numbered(value: Any) -> Any:
    """The record with an id, its place, for each record of a list that has none: so they are compared one by one."""
    if isinstance(value, dict):
        return {key: _numbered(each) for key, each in value.items()}
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return [{"id": str(place), **_numbered(each)} for place, each in enumerate(value, start=1)]
    return value


def value_text(value: Any) -> str | None:
    """A value of a source's record for people: text as it is, anything else as JSON; cut when it is long."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
