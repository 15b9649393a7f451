"""Backfills that a program asked for: each a line of the audit trail, done by whichever worker holds it, and reported.

The request is committed before a worker is told. A worker holds one by a mark that it moves with every page; one whose
mark stood still is taken over, and begun again from its start, which repeats nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Connection, Row, select, text

from worker.errors import CartbridgeError, NotInLedgerError
from worker.ledger.events import record_event
from worker.ledger.keys import new_id
from worker.ledger.periodic import periodic_tasks
from worker.ledger.session import Ledger
from worker.ledger.tables.page_indexes import OPERATORS_ACTED
from worker.ledger.tables.runs import events
from workflows.ingest.backfill import COUNTS, Backfilled, Backfiller, Window

log = logging.getLogger(__name__)

HELD_SECONDS: Final = 600.0
"""A page takes less: so long is waited for a worker that vanished."""
KNOWN_DAYS: Final = 7
"""What was asked for longer ago is neither done nor shown any more."""
_KINDS: Final = ("backfill_requested", "backfill_begun", "backfill_ended", "backfill_previewed", "backfill_failed")
_ENDS: Final = {"backfill_ended": "done", "backfill_previewed": "done", "backfill_failed": "failed"}


class StoppedError(CartbridgeError):
    """The process is to end; another goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillItem:
    """A backfill that was asked for. `orders` to `review` are what it came to, or with `dry_run` would come to."""

    id: str
    source: str
    since: datetime
    until: datetime
    dry_run: bool
    state: Literal["requested", "running", "done", "failed"]
    actor: str
    reason: str | None
    requested_at: datetime
    ended_at: datetime | None
    orders: int
    new: int
    changed: int
    gives_access: int
    review: int
    error: str | None


def request_backfill(
    ledger: Ledger, source: str, window: Window, *, actor: str, reason: str | None, dry_run: bool, now: datetime
) -> BackfillItem:
    """Commit that a backfill is wanted."""
    request_id = new_id(now)
    detail = {"request": request_id, "since": window.since.isoformat(), "until": window.until.isoformat()}
    with ledger.write() as connection:
        record_event(
            connection,
            at=now,
            kind="backfill_requested",
            actor=actor,
            source=source,
            reason=reason,
            detail=detail | {"dry_run": dry_run},
        )
        return find_backfill(connection, request_id, now=now)


def list_backfills(connection: Connection, *, now: datetime) -> list[BackfillItem]:
    """What was asked for in the last days, newest first."""
    asked: list[Any] = [
        text(f"({OPERATORS_ACTED})"),
        events.c.kind.in_(_KINDS),
        events.c.at >= now - timedelta(days=KNOWN_DAYS),
    ]
    by_request: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(select(events).where(*asked).order_by(events.c.at, events.c.id)):
        by_request.setdefault(row.detail.get("request", ""), []).append(row)
    found = [_item(rows) for rows in by_request.values() if rows[0].kind == "backfill_requested"]
    return found[::-1]


def find_backfill(connection: Connection, request_id: str, *, now: datetime) -> BackfillItem:
    """One of them. Raises `NotInLedgerError`."""
    found = next((each for each in list_backfills(connection, now=now) if each.id == request_id), None)
    if found is None:
        raise NotInLedgerError(f"No backfill {request_id} was asked for in the last {KNOWN_DAYS} days.")
    return found


def _item(rows: Sequence[Row[Any]]) -> BackfillItem:
    first, last = rows[0], rows[-1]
    state = _ENDS.get(last.kind)
    return BackfillItem(
        id=first.detail["request"],
        source=first.source,
        since=datetime.fromisoformat(first.detail["since"]),
        until=datetime.fromisoformat(first.detail["until"]),
        dry_run=first.detail["dry_run"],
        state=state or ("requested" if last is first else "running"),  # type: ignore[arg-type]
        actor=first.actor,
        reason=first.reason,
        requested_at=first.at,
        ended_at=None if state is None else last.at,
        error=last.detail.get("error"),
        **{name: last.detail.get(name, 0) for name in COUNTS},
    )


def perform_open(
    ledger: Ledger,
    backfiller_of: Callable[[str], Backfiller],
    *,
    holder: str,
    clock: Callable[[], datetime],
    send_runs: Callable[[Sequence[str]], object],
    should_stop: Callable[[], bool],
) -> None:
    """Do every backfill that was asked for and that nobody does, oldest first. Safe to repeat and to double."""
    with ledger.read() as connection:
        wanted = [each for each in list_backfills(connection, now=clock()) if each.ended_at is None]
    for item in reversed(wanted):
        name = f"backfill:{item.id}"
        if not _hold(ledger, name, holder=holder, now=clock()):
            continue
        try:
            _perform(ledger, backfiller_of, item, clock, _pages(ledger, name, clock, send_runs, should_stop))
        except StoppedError:
            return
        except Exception as error:
            problem = str(error) if isinstance(error, CartbridgeError) else type(error).__name__
            _end(ledger, item, "backfill_failed", {"error": problem}, now=clock())
            if not isinstance(error, CartbridgeError):
                raise
        finally:
            with ledger.write() as connection:
                periodic_tasks.drop(connection, name)


def _hold(ledger: Ledger, name: str, *, holder: str, now: datetime) -> bool:
    with ledger.write() as connection:
        return periodic_tasks.begin(connection, name, now=now, holder=holder) or periodic_tasks.take(
            connection, name, last_done_before=now - timedelta(seconds=HELD_SECONDS), now=now, holder=holder
        )


def _pages(
    ledger: Ledger,
    name: str,
    clock: Callable[[], datetime],
    send_runs: Callable[[Sequence[str]], object],
    should_stop: Callable[[], bool],
) -> Callable[[Backfilled, list[str]], None]:
    def after_page(_done: Backfilled, ready: list[str]) -> None:
        send_runs(ready)
        if should_stop():
            raise StoppedError("the process ends")
        with ledger.write() as connection:
            periodic_tasks.note_done(connection, name, now=clock())

    return after_page


def _perform(
    ledger: Ledger,
    backfiller_of: Callable[[str], Backfiller],
    item: BackfillItem,
    clock: Callable[[], datetime],
    on_page: Callable[[Backfilled, list[str]], None],
) -> None:
    backfiller, window = backfiller_of(item.source), Window(item.since, item.until)
    if not item.dry_run:
        backfiller.run(window, actor=item.actor, reason=item.reason, request_id=item.id, on_page=on_page)
        return
    found = backfiller.preview(window, on_page)
    _end(ledger, item, "backfill_previewed", {name: getattr(found, name) for name in COUNTS}, now=clock())


def _end(ledger: Ledger, item: BackfillItem, kind: str, detail: dict[str, Any], *, now: datetime) -> None:
    about = {"request": item.id, "since": item.since.isoformat(), "until": item.until.isoformat()}
    with ledger.write() as connection:
        record_event(connection, at=now, kind=kind, actor=item.actor, source=item.source, detail=about | detail)
