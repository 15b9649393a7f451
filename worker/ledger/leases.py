"""Leases: who works on a row, and until when. Nothing else takes one, renews it, or lets go of it.

A row that can be leased has `lease_holder` and `lease_until`. A lease ends by itself, so that a holder that vanished
keeps nothing for ever; whoever may have lost it must ask in the statement that writes, by `is_held_by`. A run has a
fencing number beside it (`worker.ledger.runs.held.FENCED`), since its holder changes things outside the ledger.

Each function works inside the transaction it is given and commits nothing itself.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import BindParameter, ColumnElement, Connection, Row, String, Table, bindparam, or_, update

from worker.ledger.tables.base import UtcDateTime

FREE: Final[dict[str, Any]] = {"lease_holder": None, "lease_until": None}
"""The columns of a row that nobody holds."""

RENEWED: Final[dict[str, Any]] = {"lease_until": bindparam("new_lease_until", type_=UtcDateTime())}
"""The columns of a row that is held longer, in a statement that is made once."""
LEASED: Final[dict[str, Any]] = RENEWED | {"lease_holder": bindparam("new_lease_holder", type_=String())}
"""The columns of a row that somebody holds from now on, in a statement that is made once."""


def leased(holder: str, *, now: datetime, lease_seconds: float) -> dict[str, Any]:
    """The columns of a row that `holder` holds from now on."""
    return {"lease_holder": holder, "lease_until": now + timedelta(seconds=lease_seconds)}


def renewed(lease_until: datetime, *, now: datetime, lease_seconds: float | None) -> datetime:
    """The end of a lease that is held for a whole one from now, and never shorter than it was; None: as it was.

    Shortened by a clock that was set back, it would end for everybody else at once.
    """
    return lease_until if lease_seconds is None else max(lease_until, now + timedelta(seconds=lease_seconds))


def is_free(table: Table, now: datetime) -> ColumnElement[bool]:
    """Nobody holds the row, or whoever did let the lease run out."""
    return or_(table.c.lease_until.is_(None), table.c.lease_until <= now)


def has_run_out(table: Table, now: datetime | ColumnElement[datetime]) -> ColumnElement[bool]:
    """Somebody held the row, and let the lease run out."""
    return table.c.lease_until <= now


def is_held(row: Row[Any] | Row[*tuple[Any, ...]], now: datetime) -> bool:
    """Whether somebody holds a row that was read under its lock."""
    return row.lease_until is not None and row.lease_until > now


def is_held_by(table: Table, holder: str | BindParameter[str]) -> ColumnElement[bool]:
    """The row is this holder's still: nobody has taken it since, though the lease may have run out."""
    return table.c.lease_holder == holder


def take(
    connection: Connection,
    table: Table,
    *which: ColumnElement[bool],
    holder: str,
    now: datetime,
    lease_seconds: float,
    again: bool = False,
    **values: Any,
) -> Row[Any] | None:
    """Hold a row, and write `values` to it: the row as it is then, None while another holds it or there is none.

    `again`: also where `holder` itself has not let go of it.
    """
    free = is_free(table, now)
    statement = update(table).where(*which, or_(free, is_held_by(table, holder)) if again else free)
    lease = leased(holder, now=now, lease_seconds=lease_seconds)
    return connection.execute(statement.values(**lease, **values).returning(table)).one_or_none()


def write_held(connection: Connection, table: Table, *which: ColumnElement[bool], holder: str, **values: Any) -> bool:
    """Write to a row as its holder, and keep it locked until the transaction ends.

    Among the values `leased(…)` holds it longer, and `FREE` lets go of it. False, and nothing is written, where another
    has taken it.
    """
    statement = update(table).where(*which, is_held_by(table, holder)).values(**values)
    return connection.execute(statement).rowcount == 1


def end_all(connection: Connection, table: Table, *, now: datetime) -> int:
    """End every lease of a table now; how many there were.

    Only for a process that knows no other can be alive: their holders are taken for vanished.
    """
    statement = update(table).where(table.c.lease_until > now).values(lease_until=now)
    return connection.execute(statement).rowcount
