"""Tables of their own for what was kept under made-up sources in `cursors`: list polls, watches, alerts, tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None
tolerates = "0020"
"""The versions before would look for their marks among the cursors, and put new ones there."""

_MOMENTS = ("begun_at", "checked_at", "late_since", "silent_since", "learnt_at")
_LISTS = ("subscriptions", "catalog", "completions")
_TASKS = {
    "reconcile:nightly": ("nightly_reconciliation", "last_attempt_at"),
    "ledger:retention": ("retention", "last_attempt_at"),
    "events:runs": ("run_events", "last_success_at"),
}
_LEASE = ("lease_holder", "lease_until")
_POLL = ("first_contact_at", "position", "deep_swept_at", "last_attempt_at", "last_success_at", "last_error")

Row = dict[str, Any]


def upgrade() -> None:
    """Four tables, filled from the cursors whose name holds a colon; those are removed.

    What a backfill of an earlier version left there is dropped: a backfill that is begun again starts at its begin.
    """
    tables = _create_tables()
    cursors = sa.table(
        "cursors",
        *(sa.column(name, _at()) for name in ("first_contact_at", "deep_swept_at", "last_attempt_at")),
        *(sa.column(name, _at()) for name in ("last_success_at", "lease_until")),
        *(sa.column(name, sa.String()) for name in ("source", "last_error", "lease_holder")),
        sa.column("failures", sa.Integer()),
        sa.column("position", _json()),
    )
    connection = op.get_bind()
    named = [dict(row) for row in connection.execute(sa.select(cursors)).mappings() if ":" in row["source"]]
    moves: dict[str, Callable[[Row], Row | None]] = {
        "list_polls": _list_poll,
        "source_watches": lambda row: _watch(row, is_sqlite=connection.dialect.name == "sqlite"),
        "alert_states": _alert_state,
        "periodic_tasks": _task,
    }
    for name, move in moves.items():
        moved = [new for row in named if (new := move(row)) is not None]
        if moved:
            connection.execute(sa.insert(tables[name]), moved)
    connection.execute(sa.delete(cursors).where(cursors.c.source.like("%:%")))


def _list_poll(row: Row) -> Row | None:
    source, _, name = row["source"].partition(":")
    if name not in _LISTS:
        return None
    kept = {each: row[each] for each in (*_POLL, *_LEASE, "failures")}
    return {"source": source, "list_name": name, **kept}


def _watch(row: Row, *, is_sqlite: bool) -> Row | None:
    mark, _, source = row["source"].partition(":")
    if mark != "watch":
        return None
    position = row["position"] or {}
    moments = {name: _moment(position.get(name), is_sqlite=is_sqlite) for name in _MOMENTS}
    return {"source": source, **moments, "silence_limit_seconds": position.get("silence_limit_seconds")}


def _moment(text: str | None, *, is_sqlite: bool) -> datetime | None:
    """The ledger's own kind of moment: SQLite keeps UTC without a zone."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return moment.replace(tzinfo=None) if is_sqlite else moment


def _alert_state(row: Row) -> Row | None:
    if row["source"] != "alerts:book":
        return None
    return {"name": "operator", "document": row["position"] or {}, **{each: row[each] for each in _LEASE}}


def _task(row: Row) -> Row | None:
    name, column = _TASKS.get(row["source"], (None, ""))
    if name is None or row[column] is None:
        return None
    return {"name": name, "done_at": row[column], "holder": row["lease_holder"]}


def _create_tables() -> dict[str, sa.Table]:
    lease = [("lease_holder", sa.String()), ("lease_until", _at())]
    return {
        "list_polls": _create(
            "list_polls",
            ["source", "list_name"],
            ("first_contact_at", _at()),
            ("position", _json(), False),
            ("deep_swept_at", _at()),
            ("last_attempt_at", _at()),
            ("last_success_at", _at()),
            ("last_error", sa.String()),
            ("failures", sa.Integer(), False),
            *lease,
        ),
        "source_watches": _create(
            "source_watches",
            ["source"],
            *((name, _at()) for name in _MOMENTS),
            ("silence_limit_seconds", sa.Float()),
        ),
        "alert_states": _create("alert_states", ["name"], ("document", _json(), False), *lease),
        "periodic_tasks": _create("periodic_tasks", ["name"], ("done_at", _at(), False), ("holder", sa.String())),
    }


def _create(name: str, key: list[str], *columns: tuple[Any, ...]) -> sa.Table:
    def made() -> Iterator[Any]:
        yield from (sa.Column(each, sa.String(), nullable=False) for each in key)
        for column, kind, *nullable in columns:
            yield sa.Column(column, kind, nullable=not nullable)
        yield sa.PrimaryKeyConstraint(*key, name=f"pk_{name}")

    return op.create_table(name, *made())


def _at() -> TypeEngine[datetime]:
    return sa.DateTime(timezone=True)


def _json() -> TypeEngine[Any]:
    return sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
