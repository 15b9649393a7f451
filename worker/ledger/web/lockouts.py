"""How often an address may guess a secret: a few times at once, then ever more slowly.

Kept in the ledger, so that it holds in every process and outlives a restart. Each function works inside the transaction
it is given.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, func, select, update

from worker.ledger.sql import insert_ignoring
from worker.ledger.tables.web import web_lockouts

LONGEST_WAIT_SECONDS: Final = 900
_FORGOTTEN_AFTER: Final = timedelta(hours=1)
_MOST_ADDRESSES: Final = 10_000
_MOST_DOUBLINGS: Final = 20


def wait_seconds(connection: Connection, kind: str, address: str, *, now: datetime) -> int | None:
    """The seconds an address has to wait before it may try; None where it need not. Counts nothing."""
    of_address = (web_lockouts.c.kind == kind, web_lockouts.c.address == address)
    return _left(connection.scalar(select(web_lockouts.c.open_at).where(*of_address)), now)


def admit(connection: Connection, kind: str, address: str, *, free_failures: int, now: datetime) -> int | None:
    """Count one more try as a failure, until `forget` says otherwise. None: go on; else the seconds to wait.

    Counted before the secret is looked at, so that a hundred tries at once are not a hundred first ones. The last of
    `free_failures` in a row costs a second, each further one twice as long, a quarter of an hour at most; an hour
    without a try forgets them.
    """
    of_address = (web_lockouts.c.kind == kind, web_lockouts.c.address == address)
    insert_ignoring(connection, web_lockouts, {"kind": kind, "address": address, "failures": 0, "seen_at": now})
    row = connection.execute(select(web_lockouts).where(*of_address).with_for_update()).one()
    left_seconds = _left(row.open_at, now)
    if left_seconds is not None:
        return left_seconds
    failures = 1 if now - row.seen_at > _FORGOTTEN_AFTER else row.failures + 1
    open_at = None
    if failures >= free_failures:
        doublings = min(failures - free_failures, _MOST_DOUBLINGS)
        open_at = now + timedelta(seconds=min(2**doublings, LONGEST_WAIT_SECONDS))
    connection.execute(update(web_lockouts).where(*of_address).values(failures=failures, seen_at=now, open_at=open_at))
    _forget_old(connection, now)
    return None


def forget(connection: Connection, kind: str, address: str) -> None:
    """The address has proven itself: it begins anew."""
    connection.execute(delete(web_lockouts).where(web_lockouts.c.kind == kind, web_lockouts.c.address == address))


def _left(open_at: datetime | None, now: datetime) -> int | None:
    # One further ahead was written by a clock that was wrong, and locks nobody out.
    if open_at is None or not now < open_at <= now + timedelta(seconds=LONGEST_WAIT_SECONDS):
        return None
    return math.ceil((open_at - now).total_seconds())


def _forget_old(connection: Connection, now: datetime) -> None:
    """Drop what an hour has forgotten, and of very many addresses the oldest ones."""
    connection.execute(delete(web_lockouts).where(web_lockouts.c.seen_at < now - _FORGOTTEN_AFTER))
    if (connection.scalar(select(func.count()).select_from(web_lockouts)) or 0) > _MOST_ADDRESSES:
        oldest = select(web_lockouts.c.seen_at).order_by(web_lockouts.c.seen_at.desc()).offset(_MOST_ADDRESSES // 2)
        connection.execute(delete(web_lockouts).where(web_lockouts.c.seen_at <= oldest.limit(1).scalar_subquery()))
