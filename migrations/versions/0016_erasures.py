"""Tombstones of people who were forgotten, and the one change of the audit trail that forgetting needs."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from worker.ledger.keys import new_id

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
tolerates = "0011"
"""The versions before leave the new tables alone; what they forget meanwhile has no tombstone but its places."""

_FORGOTTEN = "@forgotten.invalid"
_MARKS = ("[erased]", "[expired]")
_RAWS = ("forgotten", "expired")
_EVENT = ("id", "at", "kind", "actor", "run_id", "source", "order_id", "delivery_id", "system")
_VERSION = ("source", "order_id", "number", "content_hash", "delivery_id", "seen_at")


def upgrade() -> None:
    """Three tables, a key for the hashes, the places forgotten so far; two triggers allow what forgetting does."""
    _create_tables()
    _fill()
    if op.get_bind().dialect.name == "sqlite":
        _allow_on_sqlite()
    else:
        _allow_on_postgresql()


def _json() -> TypeEngine[Any]:
    return sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def _create_tables() -> None:
    op.create_table(
        "erasure_keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_erasure_keys"),
    )
    op.create_table(
        "erasures",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key_id", sa.String(), nullable=True),
        sa.Column("digest", sa.String(), nullable=True),
        sa.Column("marks", _json(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_erasures"),
    )
    op.create_index("ix_erasures_digest", "erasures", ["digest"], unique=False)
    op.create_table(
        "erased_places",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("line_id", sa.String(), nullable=False),
        sa.Column("seat_id", sa.String(), nullable=False),
        sa.Column("erasure_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("source", "order_id", "line_id", "seat_id", name="pk_erased_places"),
    )


def _fill() -> None:
    """A key, and a tombstone for each who was forgotten before there were any: their orders and seats are known."""
    connection, now = op.get_bind(), datetime.now(UTC)
    # The ledger's own kind of moment: SQLite keeps UTC without a zone.
    at = now.replace(tzinfo=None) if connection.dialect.name == "sqlite" else now
    at_column = sa.DateTime(timezone=True)
    keys = sa.table("erasure_keys", sa.column("id"), sa.column("key"), sa.column("created_at", at_column))
    connection.execute(keys.insert().values(id=new_id(now), key=secrets.token_hex(32), created_at=at))
    erasures = sa.table("erasures", sa.column("id"), sa.column("erased_at", at_column), sa.column("marks", _json()))
    names = ("source", "order_id", "line_id", "seat_id", "erasure_id")
    places = sa.table("erased_places", *(sa.column(name) for name in names))
    ids: dict[str, str] = {}
    for place, pseudonym in sorted(set(_forgotten_places(connection))):
        if pseudonym not in ids:
            ids[pseudonym] = new_id(now)
            connection.execute(erasures.insert().values(id=ids[pseudonym], erased_at=at, marks={}))
        row = dict(zip(names, (*place, ids[pseudonym]), strict=True))
        connection.execute(places.insert().values(**row))


def _forgotten_places(connection: sa.Connection) -> Iterator[tuple[tuple[str, str, str, str], str]]:
    found = connection.execute(
        sa.text("SELECT source, order_id, document FROM orders WHERE CAST(document AS TEXT) LIKE :any"),
        {"any": f"%{_FORGOTTEN}%"},
    )
    for source, order_id, written in found:
        document: dict[str, Any] = json.loads(written) if isinstance(written, str) else written
        buyer = document.get("buyer_email") or ""
        if buyer.endswith(_FORGOTTEN):
            yield (source, order_id, "", ""), buyer
        for line in document.get("lines", ()):
            for seat in line.get("seats", ()):
                email = (seat.get("learner") or {}).get("email") or ""
                if email.endswith(_FORGOTTEN):
                    yield (source, order_id, str(line.get("id", "")), str(seat.get("id", ""))), email


def _allow_on_sqlite() -> None:
    """An event's words may become ones with a mark in them, a version's raw record a mark; all else stays refused."""
    same_event = " AND ".join(f"NEW.{name} IS OLD.{name}" for name in _EVENT)
    words = " AND ".join(
        f"(NEW.{name} IS OLD.{name} OR " + " OR ".join(f"instr(NEW.{name}, '{mark}') > 0" for mark in _MARKS) + ")"
        for name in ("reason", "detail")
    )
    op.execute("DROP TRIGGER events_refuse_update")
    op.execute(
        f"CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events WHEN NOT ({same_event} AND {words}) "
        "BEGIN SELECT RAISE(ABORT, 'events is only added to'); END"
    )
    same_version = " AND ".join(f"NEW.{name} IS OLD.{name}" for name in _VERSION)
    raw = " OR ".join(f"json(NEW.raw) = '{{\"{mark}\"\\:true}}'" for mark in _RAWS)
    op.execute("DROP TRIGGER order_versions_refuse_update")
    op.execute(
        f"CREATE TRIGGER order_versions_refuse_update BEFORE UPDATE ON order_versions "
        f"WHEN NOT (({raw}) AND {same_version}) "
        "BEGIN SELECT RAISE(ABORT, 'order_versions is only added to'); END"
    )


def _allow_on_postgresql() -> None:
    same_event = _same(_EVENT)
    words = " AND ".join(
        f"(NEW.{name} IS NOT DISTINCT FROM OLD.{name} OR "
        + " OR ".join(f"position('{mark}' in NEW.{name}::text) > 0" for mark in _MARKS)
        + ")"
        for name in ("reason", "detail")
    )
    op.execute(
        "CREATE OR REPLACE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'UPDATE' AND {same_event} AND {words} THEN RETURN NEW; END IF; "
        "RAISE EXCEPTION 'events is only added to'; END $$"
    )
    raw = " OR ".join(f"NEW.raw = '{{\"{mark}\": true}}'::jsonb" for mark in _RAWS)
    op.execute(
        "CREATE OR REPLACE FUNCTION order_versions_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'UPDATE' AND ({raw}) AND {_same(_VERSION)} THEN RETURN NEW; END IF; "
        "RAISE EXCEPTION 'order_versions is only added to'; END $$"
    )


def _same(names: tuple[str, ...]) -> str:
    new, old = (", ".join(f"{row}.{name}" for name in names) for row in ("NEW", "OLD"))
    return f"({new}) IS NOT DISTINCT FROM ({old})"
