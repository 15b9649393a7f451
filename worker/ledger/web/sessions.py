"""The signed-in sessions of the operator's page. Each function works inside the transaction it is given."""

from __future__ import annotations

import hashlib
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from worker.ledger.tables.web import web_sessions


def begin(
    connection: Connection, nonce: str, *, expires_at: datetime, now: datetime, operator_key: str | None = None
) -> None:
    """Keep a session, an operator's or the admin password's, and forget those whose time is up."""
    connection.execute(delete(web_sessions).where(web_sessions.c.expires_at <= now))
    connection.execute(insert(web_sessions).values(id=_id(nonce), expires_at=expires_at, operator_key=operator_key))


def is_open(connection: Connection, nonce: str, *, now: datetime) -> bool:
    """Whether the session was begun, is not signed out, and has time left."""
    open_session = (web_sessions.c.id == _id(nonce), web_sessions.c.expires_at > now)
    return connection.execute(select(web_sessions.c.id).where(*open_session)).first() is not None


def end(connection: Connection, nonce: str) -> None:
    """Sign a session out, everywhere and for good."""
    connection.execute(delete(web_sessions).where(web_sessions.c.id == _id(nonce)))


def end_all_of(connection: Connection, operator_key: str) -> int:
    """Sign an operator out of every browser; how many sessions ended."""
    return connection.execute(delete(web_sessions).where(web_sessions.c.operator_key == operator_key)).rowcount


def _id(nonce: str) -> str:
    return hashlib.sha256(nonce.encode()).hexdigest()
