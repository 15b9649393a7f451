"""The polls of the lists beside the orders': how far each was read, and who reads it right now."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from worker.ledger import leases
from worker.ledger.sql import insert_ignoring, record_of
from worker.ledger.tables.periodic import ListPoll, list_polls


class ListName(StrEnum):
    """What the list is of."""

    SUBSCRIPTIONS = "subscriptions"
    """Of a source of orders, which they assist."""
    CATALOG = "catalog"
    """The names of a source's products."""
    COMPLETIONS = "completions"
    """Learners' courses at LearningCart."""


def take_poll(
    connection: Connection,
    source: str,
    list_name: ListName,
    *,
    holder: str,
    now: datetime,
    lease_seconds: float,
    **values: Any,
) -> ListPoll | None:
    """Take a list for a poll, its row made first if there is none; None while another poll holds it."""
    insert_ignoring(connection, list_polls, {"source": source, "list_name": list_name, "position": {}, "failures": 0})
    taken = leases.take(
        connection,
        list_polls,
        *_named(source, list_name),
        holder=holder,
        now=now,
        lease_seconds=lease_seconds,
        last_attempt_at=now,
        **values,
    )
    return None if taken is None else record_of(ListPoll, taken)


def write_poll(connection: Connection, source: str, list_name: ListName, *, holder: str, **values: Any) -> bool:
    """Write to a poll as its holder, and keep its row locked; False, and nothing written, for anybody else."""
    return leases.write_held(connection, list_polls, *_named(source, list_name), holder=holder, **values)


def poll_of(connection: Connection, source: str, list_name: ListName) -> Row[Any] | None:
    """The row of a list's polls, None before the first."""
    return connection.execute(select(list_polls).where(*_named(source, list_name))).one_or_none()


def last_attempt_at(connection: Connection, source: str, list_name: ListName) -> datetime | None:
    """When the list was last asked for, None before the first time."""
    moment: datetime | None = connection.scalar(select(list_polls.c.last_attempt_at).where(*_named(source, list_name)))
    return moment


def _named(source: str, list_name: ListName) -> tuple[ColumnElement[bool], ...]:
    return list_polls.c.source == source, list_polls.c.list_name == list_name
