"""Webhooks that could not be used as they came: the last of each kind."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, update

from worker.ledger.sql import insert_ignoring
from worker.ledger.tables.web import webhook_refusals

WRONG_METHOD: Final = "wrong_method"
UNAUTHENTICATED: Final = "unauthenticated"
NO_ORDER_ID: Final = "no_order_id"


def note(connection: Connection, source: str, kind: str, *, now: datetime) -> None:
    """Keep that one came now."""
    if not insert_ignoring(connection, webhook_refusals, {"source": source, "kind": kind, "at": now}):
        of_kind = (webhook_refusals.c.source == source, webhook_refusals.c.kind == kind)
        connection.execute(update(webhook_refusals).where(*of_kind).values(at=now))
