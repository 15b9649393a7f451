"""The named operators: who signs in by a password of their own. Each function works inside the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from worker.ledger.sql import insert_ignoring
from worker.ledger.tables.web import operators
from worker.ledger.web import sessions
from worker.text.email_address import folded


@dataclass(frozen=True, slots=True)
class OperatorItem:
    """One operator, as they are listed."""

    name: str
    added_by: str
    added_at: datetime
    signed_in_at: datetime | None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an operator signs in by."""

    name: str
    name_key: str
    password_hash: str


OPERATOR_FIELDS = ("name", "added_by", "added_at", "signed_in_at")
"""The columns of the list as CSV."""


def name_key(name: str) -> str:
    """What two spellings of one name share: names that look alike are one operator's."""
    return folded(" ".join(name.split()))


def add(connection: Connection, name: str, *, password_hash: str, added_by: str, now: datetime) -> bool:
    """Add an operator; False where one of that name is there."""
    values = {"name": name, "password_hash": password_hash, "added_by": added_by, "added_at": now}
    return insert_ignoring(connection, operators, {"name_key": name_key(name), **values})


def remove(connection: Connection, key: str) -> None:
    """Remove an operator and end their sessions."""
    connection.execute(delete(operators).where(operators.c.name_key == key))
    sessions.end_all_of(connection, key)


def list_operators(connection: Connection) -> list[OperatorItem]:
    """All operators, by name."""
    columns = [operators.c[name] for name in OPERATOR_FIELDS]
    return [OperatorItem(*row) for row in connection.execute(select(*columns).order_by(operators.c.name_key))]


def credentials_of(connection: Connection, name: str) -> Credentials | None:
    """What the operator of that name signs in by; None where there is none."""
    columns = (operators.c.name, operators.c.name_key, operators.c.password_hash)
    row = connection.execute(select(*columns).where(operators.c.name_key == name_key(name))).one_or_none()
    return None if row is None else Credentials(*row)


def has_operators(connection: Connection) -> bool:
    """Whether anybody signs in by name."""
    return connection.execute(select(operators.c.name_key).limit(1)).first() is not None


def sign_in(connection: Connection, found: Credentials, *, now: datetime) -> bool:
    """Note that an operator signed in; False where they were removed, or got another password, since `found`."""
    unchanged = (operators.c.name_key == found.name_key, operators.c.password_hash == found.password_hash)
    return connection.execute(update(operators).where(*unchanged).values(signed_in_at=now)).rowcount == 1
