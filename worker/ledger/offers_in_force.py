"""The offers in force: the last valid text of the offers file, and what is wrong with the file since.

One row. Whichever process reads the file writes it, so that a restart, and every surface, knows both.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select, update
from sqlmodel import Field

from worker.ledger.events import record_event
from worker.ledger.sql import insert_ignoring
from worker.ledger.tables.base import LedgerModel, moment, table_of

_NAME = "offers"
_SOMEBODY = "operator:unknown"


class OffersInForceRecord(LedgerModel, table=True):
    """The one row, named `offers`."""

    __tablename__ = "offers_in_force"

    name: str = Field(primary_key=True)
    text: str = ""
    """The file's text when it was last valid; empty where it never was."""
    digest: str = ""
    """Of the text's rules; empty where the file never was valid."""
    valid_at: datetime | None = moment()
    """When that text was first read."""
    problem: str | None = None
    """Why the file cannot be used now, its first problem; None while it can."""
    problem_at: datetime | None = moment()
    """Since when."""


offers_in_force = table_of(OffersInForceRecord)


class OffersInForce(NamedTuple):
    """The row as it is."""

    text: str
    digest: str
    valid_at: datetime | None
    problem: str | None
    problem_at: datetime | None


def offers_in_force_row(connection: Connection) -> OffersInForce | None:
    """The row; None before any process has read the file."""
    columns = [offers_in_force.c[name] for name in OffersInForce._fields]
    row = connection.execute(select(*columns).where(offers_in_force.c.name == _NAME)).one_or_none()
    return None if row is None else OffersInForce(*row)


def keep_offers(connection: Connection, text: str, *, digest: str, now: datetime) -> None:
    """The file is valid: its text is in force from now on. Commits nothing; repeating it changes nothing.

    Another text than before is an act of somebody, who is not known.
    """
    insert_ignoring(connection, offers_in_force, {"name": _NAME, "text": "", "digest": ""})
    own_row = offers_in_force.c.name == _NAME
    connection.execute(update(offers_in_force).where(own_row).values(problem=None, problem_at=None))
    before = connection.scalar(select(offers_in_force.c.digest).where(own_row, offers_in_force.c.valid_at.is_not(None)))
    changed = connection.execute(
        update(offers_in_force)
        .where(own_row, (offers_in_force.c.text != text) | offers_in_force.c.valid_at.is_(None))
        .values(text=text, digest=digest, valid_at=now)
    )
    if before is not None and changed.rowcount:
        detail = {"digest": digest, "digest_before": before}
        record_event(connection, at=now, kind="offers_changed", actor=_SOMEBODY, detail=detail)


def note_offers_problem(connection: Connection, problem: str, *, now: datetime) -> None:
    """The file cannot be used, for this reason. What was in force stays, and so does the moment it began."""
    insert_ignoring(connection, offers_in_force, {"name": _NAME, "text": "", "digest": ""})
    own_row = offers_in_force.c.name == _NAME
    begun = connection.execute(
        update(offers_in_force).where(own_row, offers_in_force.c.problem_at.is_(None)).values(problem_at=now)
    )
    if begun.rowcount:
        record_event(connection, at=now, kind="offers_unusable", actor=_SOMEBODY)
    connection.execute(update(offers_in_force).where(own_row).values(problem=problem))
