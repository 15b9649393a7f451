"""Backfills that a program asked for: each a line of the audit trail, done by whichever worker holds it, and reported.

The request is committed before a message is sent. One worker at a time does them, so that the others are free for what
is sold now: by one mark, which it moves with every page. If the mark stands still, another takes it. Whoever goes on
reads the window from its start, which repeats nothing, and adds to what was counted before it was interrupted.

A request that nobody has ended after `KNOWN_DAYS` has failed, whether or not a worker came to record it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import Connection, select, text

from worker.errors import CartbridgeError, LeaseLostError, NotInLedgerError
from worker.ledger.events import record_event
from worker.ledger.keys import new_id
from worker.ledger.pauses import paused_sources
from worker.ledger.periodic import periodic_tasks
from worker.ledger.session import LEDGER_AWAY, Ledger
from worker.ledger.sql import record_of
from worker.ledger.tables.page_indexes import OPERATORS_ACTED
from worker.ledger.tables.runs import Event, events
from workflows.ingest.backfill import COUNTS, Backfilled, Backfiller, Window

log = logging.getLogger(__name__)

HELD_SECONDS: Final = 600.0
"""A page takes less: so long is waited for a worker that vanished."""
KNOWN_DAYS: Final = 7
"""What was asked for longer ago is not begun any more: it ends as failed. What ended longer ago is not shown."""
MARK: Final = "backfills"
_SOUGHT_DAYS: Final = 90
"""So far back a worker looks for requests whose end nobody recorded."""
_KINDS: Final = (
    "backfill_requested",
    "backfill_begun",
    "backfill_interrupted",
    "backfill_ended",
    "backfill_previewed",
    "backfill_failed",
)
_ENDS: Final = {"backfill_ended": "done", "backfill_previewed": "done", "backfill_failed": "failed"}
_TOO_LATE: Final = (
    f"It was not done within {KNOWN_DAYS} days: its source was paused, or no worker came to it. Ask for it again."
)
_OWN_FAULT: Final = (
    "A fault of Cartbridge's own ended it; the worker's log has which. What was taken in stays. Ask for it again."
)


class StoppedError(CartbridgeError):
    """The process is to end; another goes on."""


class PausedError(CartbridgeError):
    """An operator paused the source: it goes on when that is resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillItem:
    """A backfill that was asked for. `orders` to `review` are what it came to, or with `dry_run` would come to; while
    it is open, what it came to until it was last interrupted.
    """

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
    """What was asked for or ended in the last days, or is open; newest first."""
    moved_at = periodic_tasks.done_at(connection, MARK)
    is_at_work = moved_at is not None and moved_at >= now - timedelta(seconds=HELD_SECONDS)
    found = _requests(connection, now)
    if not is_at_work:
        found = [_in_time(each, now) for each in found]
    return [each for each in found if each.ended_at is None or not _is_old(each.ended_at, now)]


def _in_time(item: BackfillItem, now: datetime) -> BackfillItem:
    """The backfill, as failed where its time is over."""
    if item.ended_at is not None or not _is_old(item.requested_at, now):
        return item
    return replace(item, state="failed", ended_at=item.requested_at + timedelta(days=KNOWN_DAYS), error=_TOO_LATE)


def _requests(connection: Connection, now: datetime) -> list[BackfillItem]:
    """What was asked for, as the audit trail tells it; newest first."""
    asked: list[Any] = [
        text(f"({OPERATORS_ACTED})"),
        events.c.kind.in_(_KINDS),
        events.c.at >= now - timedelta(days=_SOUGHT_DAYS),
    ]
    by_request: dict[str, list[Event]] = {}
    for row in connection.execute(select(events).where(*asked).order_by(events.c.at, events.c.id)):
        line = record_of(Event, row)
        by_request.setdefault(line.detail.get("request", ""), []).append(line)
    return [_item(lines) for lines in by_request.values() if lines[0].kind == "backfill_requested"][::-1]


def _is_old(moment: datetime, now: datetime) -> bool:
    return moment < now - timedelta(days=KNOWN_DAYS)


def find_backfill(connection: Connection, request_id: str, *, now: datetime) -> BackfillItem:
    """One of them. Raises `NotInLedgerError`."""
    found = next((each for each in list_backfills(connection, now=now) if each.id == request_id), None)
    if found is None:
        raise NotInLedgerError(f"No backfill {request_id} was asked for in the last {KNOWN_DAYS} days.")
    return found


def _item(lines: Sequence[Event]) -> BackfillItem:
    first, last = lines[0], next((line for line in lines if line.kind in _ENDS), lines[-1])
    state = _ENDS.get(last.kind)
    return BackfillItem(
        id=first.detail["request"],
        source=str(first.source),
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


class _Hold:
    """What one worker does backfills by, as nobody else at that moment."""

    def __init__(self, ledger: Ledger, holder: str, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._holder = f"{holder}:{secrets.token_hex(4)}"
        self._clock = clock

    def take(self) -> bool:
        """Whether nobody else has it."""
        now = self._clock()
        stood_still = now - timedelta(seconds=HELD_SECONDS)
        with self._ledger.write() as connection:
            return periodic_tasks.begin(connection, MARK, now=now, holder=self._holder) or periodic_tasks.take(
                connection, MARK, last_done_before=stood_still, now=now, holder=self._holder
            )

    def move(self, connection: Connection) -> None:
        """Say that its holder is alive. Raises `LeaseLostError` where another took it over."""
        if not periodic_tasks.note_done(connection, MARK, now=self._clock(), holder=self._holder):
            raise LeaseLostError("another worker took the backfills over")

    def report(self, item: BackfillItem, kind: str, detail: dict[str, Any]) -> None:
        """Record what it came to, at its end or where it was interrupted. Raises `LeaseLostError`."""
        with self._ledger.write() as connection:
            self.move(connection)
            _record(connection, item, kind, detail, now=self._clock())

    def drop(self) -> None:
        """Leave it to others, unless one took it over."""
        with self._ledger.write() as connection:
            periodic_tasks.drop(connection, MARK, holder=self._holder)


def perform_open(
    ledger: Ledger,
    backfiller_of: Callable[[str], Backfiller],
    *,
    holder: str,
    clock: Callable[[], datetime],
    send_runs: Callable[[Sequence[str]], object],
    should_stop: Callable[[], bool],
) -> None:
    """Do the backfills that were asked for, oldest first, unless another worker does. Safe to repeat and to double.

    One whose source is paused waits. One during which the ledger cannot be used stays open, and that error is raised.
    """
    with ledger.read() as connection:
        if all(each.ended_at is not None for each in _requests(connection, clock())):
            return
    hold = _Hold(ledger, holder, clock)
    if not hold.take():
        return

    def after_page(source: str, ready: list[str]) -> None:
        send_runs(ready)
        if should_stop():
            raise StoppedError("the process ends")
        with ledger.write() as connection:
            hold.move(connection)
            if source in paused_sources(connection):
                raise PausedError(f"{source} is paused")

    try:
        while (item := _next(ledger, hold, clock())) is not None:
            _perform(item, backfiller_of, hold, after_page)
    except (StoppedError, LeaseLostError):
        return
    finally:
        hold.drop()


def _next(ledger: Ledger, hold: _Hold, now: datetime) -> BackfillItem | None:
    """The oldest that is open now, and whose source is not paused. What was asked for too long ago ends here."""
    with ledger.write() as connection:
        hold.move(connection)
        paused = paused_sources(connection)
        for item in reversed(_requests(connection, now)):
            if item.ended_at is not None:
                continue
            if _is_old(item.requested_at, now):
                _record(connection, item, "backfill_failed", {"error": _TOO_LATE}, now=now)
            elif item.source not in paused:
                return item
    return None


def _perform(
    item: BackfillItem,
    backfiller_of: Callable[[str], Backfiller],
    hold: _Hold,
    after_page: Callable[[str, list[str]], None],
) -> None:
    """Do one, and report its end, or how far it came where it is to go on later."""
    counts = dict[str, int]()

    def on_page(done: Backfilled, ready: list[str]) -> None:
        counts.update(_counts(done))
        after_page(item.source, ready)

    try:
        backfiller, window = backfiller_of(item.source), Window(item.since, item.until)
        if item.dry_run:
            found = backfiller.preview(window, on_page)
            hold.report(item, "backfill_previewed", _counts(found))
        else:
            backfiller.run(
                window, actor=item.actor, reason=item.reason, request_id=item.id, earlier=_counts(item), on_page=on_page
            )
    except (PausedError, StoppedError) as interruption:
        if not item.dry_run:  # which counts from nothing each time
            hold.report(item, "backfill_interrupted", counts | {"why": str(interruption)})
        if isinstance(interruption, StoppedError):
            raise
    except (LeaseLostError, *LEDGER_AWAY):
        raise
    except CartbridgeError as error:
        hold.report(item, "backfill_failed", {"error": str(error)})
    except Exception:
        hold.report(item, "backfill_failed", {"error": _OWN_FAULT})
        raise


def _counts(found: Backfilled | BackfillItem) -> dict[str, int]:
    return {name: getattr(found, name) for name in COUNTS}


def _record(connection: Connection, item: BackfillItem, kind: str, detail: dict[str, Any], *, now: datetime) -> None:
    about = {"request": item.id, "since": item.since.isoformat(), "until": item.until.isoformat()}
    record_event(connection, at=now, kind=kind, actor=item.actor, source=item.source, detail=about | detail)
