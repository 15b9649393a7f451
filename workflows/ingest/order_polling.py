"""Polling: walks a source for new and changed orders, and records each page with what it covers.

The cursor moves only in a transaction after every page it covers was committed. A poll that dies midway is begun again
from the old cursor; the pages it had recorded are then recognised by their content and cost nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from worker.errors import ApiError
from worker.ledger import leases
from worker.ledger.clock import is_ahead
from worker.ledger.orders.order_rows import content_hash
from worker.ledger.orders.recorded_orders import KnownOrder, known_orders
from worker.ledger.orders.source_cursors import SourceCursor, take_cursor
from worker.ledger.session import Ledger
from worker.ledger.states import Via
from worker.ledger.tables.runs import cursors
from worker.sources.order import Order, Payment
from worker.sources.source import Page, Source, Until, Walk, unreadable
from workflows.ingest.deliveries import SourcePolicy
from workflows.ingest.half_written import is_half_written, put_off
from workflows.ingest.paging import Position, Progress, Steps
from workflows.ingest.set_aside import CONCERNS_ALL, describe_failure, set_aside, settle_absent, settle_read
from workflows.planning.offers import Offers
from workflows.planning.offers_file import OffersFile
from workflows.planning.order_age import misdated
from workflows.recording.order_recording import Look, record_orders
from workflows.recording.rereading import reread_orders
from workflows.recording.source_start import (
    COMPUTED_DATES,
    NO_ORDER,
    is_only_noted,
    note_contact,
    note_first_list,
    start_of,
)
from workflows.recording.subscription_status import keep_subscriptions

log = logging.getLogger(__name__)

DEEP_SWEEP_EVERY = timedelta(days=1)


@dataclass
class Polled:
    """What one poll came to."""

    source: str
    pages: int = 0
    orders: int = 0
    changed: int = 0
    ready: list[str] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)
    """The orders met that could not be read or recorded: they wait in review."""
    error: str | None = None
    busy: bool = False
    """Another poll of the source is under way: nothing was done."""


@dataclass(frozen=True)
class _UnderWay:
    """A poll under way: what it began with, and what it has come to."""

    cursor: SourceCursor
    offers: Offers
    progress: Progress
    polled: Polled


@dataclass(frozen=True)
class Poller:
    """Polls one source. Harmless when two run: the cursor's lease lets one in."""

    ledger: Ledger
    source: Source
    policy: SourcePolicy
    offers: OffersFile
    _: KW_ONLY
    holder: str
    clock: Callable[[], datetime]
    should_stop: Callable[[], bool] = lambda: False
    lease_seconds: float = 300.0

    def poll(self) -> Polled:
        """Look for new and changed orders once; on the first time, and once a day, at all of the last days' orders.

        Never raises: whatever goes wrong is recorded at the cursor, which is let go of, and the next poll begins again.
        A record that cannot be read or recorded is set aside by name, and the others go on.
        """
        polled = Polled(self.source.name)
        cursor = self._take_cursor()
        if cursor is None:
            polled.busy = True
            return polled
        try:
            reread_orders(self.ledger, self.source, now=self.clock())
            progress = Progress(Position.read(cursor.position), self.clock())
            poll = _UnderWay(cursor, self.offers.current(), progress, polled)
            if cursor.baseline_at is None:
                self._sweep_baseline(poll)
            else:
                self._look_for_changes(poll, cursor.baseline_at)
                self._sweep_deep(poll)
        except Exception as error:  # noqa: BLE001  (of any class: the lease must not outlast the poll)
            polled.error = describe_failure(error, self.ledger)
            log.warning("polling %s failed: %s", self.source.name, polled.error)
            self._let_go(last_error=polled.error[:500], failures=cursor.failures + 1)
        return polled

    def _take_cursor(self) -> SourceCursor | None:
        now = self.clock()
        with self.ledger.write() as connection:
            return take_cursor(
                connection, self.source.name, holder=self.holder, now=now, lease_seconds=self.lease_seconds
            )

    def _let_go(self, **values: Any) -> None:
        with self.ledger.write() as connection:
            self._write_cursor(connection, **leases.FREE, **values)

    def _write_cursor(self, connection: Connection, **values: Any) -> bool:
        of_source = cursors.c.source == self.source.name
        return leases.write_held(connection, cursors, of_source, holder=self.holder, **values)

    def _sweep_baseline(self, poll: _UnderWay) -> None:
        """Record what exists: the first sweep, over the last `baseline_days`, and what the next poll meets first."""
        progress = poll.progress
        since = progress.began_at - timedelta(days=self.policy.baseline_days)
        self._walk(poll, Steps(Walk(self.source.walk_since(since), Until.END), baseline=True))
        for walk in self.source.walks(polled_at=progress.began_at, highest_id=progress.seen_id):
            if walk.is_of_changes:
                self._walk(poll, Steps(walk, swept_since=since, baseline=True))
        now = self.clock()
        with self.ledger.write() as connection:  # a contact, even where the shop is empty
            note_contact(connection, self.source.name, now=now, start_at=self.policy.start_at)
            note_first_list(connection, self.source.name, [NO_ORDER])
            settle_absent(connection, self.source.name, progress.nameless, now=now)
        self._let_go(
            baseline_at=now,
            deep_swept_at=now,
            position=progress.position_of_first_sweep().document(),
            last_success_at=now,
            last_error=None,
            failures=0,
        )

    def _look_for_changes(self, poll: _UnderWay, baseline_at: datetime) -> None:
        """Record what is new or changed since the last successful poll, and only then move the cursor."""
        progress = poll.progress
        swept_since = baseline_at - timedelta(days=self.policy.baseline_days)
        polled_at = min(progress.before.polled_at or baseline_at, progress.began_at)
        for walk in self.source.walks(polled_at=polled_at, highest_id=progress.before.highest_id):
            self._walk(poll, Steps(walk, swept_since=swept_since))
        position = progress.position_of_poll()
        with self.ledger.write() as connection:
            self._write_cursor(
                connection,
                position=position.document(),
                last_success_at=self.clock(),
                last_error=None,
                failures=0,
            )

    def _sweep_deep(self, poll: _UnderWay) -> None:
        """Once a day, record what the lists of changes never showed; then release the cursor."""
        now = poll.progress.began_at
        last_at = poll.cursor.deep_swept_at
        # One in the future was written by a clock that was ahead: what was stepped over since is found by a sweep.
        if last_at is not None and not is_ahead(last_at, now) and now - last_at < DEEP_SWEEP_EVERY:
            self._let_go()
            return
        since = now - timedelta(days=self.policy.baseline_days)
        self._walk(poll, Steps(Walk(self.source.walk_since(since), Until.END)))
        with self.ledger.write() as connection:
            settle_absent(connection, self.source.name, poll.progress.nameless, now=self.clock())
        self._let_go(deep_swept_at=now, last_success_at=self.clock())

    def _walk(self, poll: _UnderWay, steps: Steps) -> None:
        """Record a walk page by page, as far as it has to go."""
        progress = poll.progress
        steps.unsettled = progress.unsettled
        is_first = True
        for page in self._pages(steps.walk.pages, poll.polled):
            self._take_in(page, poll, steps)
            progress.see(page)
            if is_first and steps.walk.until is Until.UNCHANGED:
                # What this very page showed was changed before it was asked for: the next poll need not look above it.
                progress.settled = progress.recorded
            is_first = False
            if page.problem is not None:
                raise page.problem
            if steps.is_far_enough(page, highest_id=progress.before.highest_id):
                return

    def _pages(self, walk: Iterator[Page], polled: Polled) -> Iterator[Page]:
        for page in walk:
            if self.should_stop():
                raise ApiError("stopped: the process ends", system=self.source.name, operation="poll", retryable=True)
            polled.pages += 1
            polled.orders += len(page.orders)
            yield page

    def _take_in(self, page: Page, poll: _UnderWay, steps: Steps) -> None:
        """Record a page in one transaction; where one of its orders prevents that, each order in its own.

        What cannot be read or recorded is set aside before the cursor can move past it.
        """
        aside = list(page.unreadable)
        if self._try(page, poll, steps, of=page) is not None:
            has_changes = False
            for order in page.orders:
                error = self._try(replace(page, orders=(order,), unreadable=()), poll, steps, of=page)
                if error is not None:
                    aside.append(unreadable(order, error))
                has_changes = has_changes or steps.has_changes
            steps.has_changes = has_changes
        if aside:
            with self.ledger.write() as connection:
                set_aside(connection, self.source.name, aside, now=self.clock())
            poll.polled.set_aside += [each.order_id or each.fingerprint for each in aside]

    def _try(self, page: Page, poll: _UnderWay, steps: Steps, *, of: Page) -> Exception | None:
        """Record a page, which may be one order `of` another; the error that concerns its orders, None if recorded."""
        progress, ready = poll.progress, poll.polled.ready
        recorded, due = progress.recorded, len(ready)
        try:
            self._record(page, poll, steps, of=of)
        except CONCERNS_ALL:
            raise
        except Exception as error:  # noqa: BLE001  (of any class: a number, a text, a bug)
            progress.recorded = recorded
            del ready[due:]
            return error
        return None

    def _record(self, page: Page, poll: _UnderWay, steps: Steps, *, of: Page) -> None:
        """Record a page in one transaction, with the count of what it recorded."""
        new, old = self._sort(page, poll.offers, steps, of=of)
        late = self._put_off(new)
        new = [order for order in new if order.id not in late]
        taken = [*new, *old]
        was_there = {order.id for order in (taken if steps.baseline else old)}
        planned = [order for order in taken if self._will_be_planned(order, poll.cursor, order.id in was_there)]
        annotated = {order.id: order for order in (self.source.annotate(planned) if planned else [])}
        now = self.clock()
        poll.progress.recorded += len(taken)
        with self.ledger.write() as connection:
            # A long walk keeps its lease alive with every page; one that lost it stops before it writes.
            position = poll.progress.position_of_page().document()
            lease = leases.leased(self.holder, now=now, lease_seconds=self.lease_seconds)
            if not self._write_cursor(connection, **lease, position=position):
                raise ApiError("another poll took over", system=self.source.name, operation="poll", retryable=True)
            note_contact(connection, self.source.name, now=now, start_at=self.policy.start_at)
            if steps.baseline:
                note_first_list(connection, self.source.name, _ids(of))
            rules, start_at = self.policy.subscriptions, self.policy.start_at
            read_with = annotated.values()
            keep_subscriptions(connection, read_with, rules, fetched_at=page.fetched_at, now=now, start_at=start_at)
            misdated = self._misdated(of, poll.cursor)
            look = Look(fetched_at=page.fetched_at, via=Via.POLL, polled=True, is_present=True)
            seen = [
                (
                    annotated.get(order.id, order),
                    replace(look, baseline=order.id in was_there, is_misdated=order.id in misdated),
                )
                for order in taken
            ]
            recorded = record_orders(
                connection, seen, poll.offers, now=now, start_at=start_at, rules=rules, reread=self.source.reread
            )
            settle_read(connection, page, self.source.name, unread=late, now=now)
        poll.polled.ready += [run_id for each in recorded for run_id in each.ready]
        poll.polled.changed += len(taken)

    def _put_off(self, orders: list[Order]) -> set[str]:
        """Have orders that are not written yet read again in a minute; the cursor may then move past them."""
        if not any(is_half_written(order) for order in orders):
            return set()
        with self.ledger.write() as connection:
            return put_off(connection, orders, now=self.clock())

    def _sort(self, page: Page, offers: Offers, steps: Steps, *, of: Page) -> tuple[list[Order], list[Order]]:
        """What is new of a page, and orders that nobody has met though they were there before the last poll."""
        with self.ledger.read() as connection:
            known = known_orders(connection, self.source.name, [order.id for order in page.orders])
        new: list[Order] = []
        old: list[Order] = []
        for order in page.orders:
            if not self._is_new(order, known.get(order.id), offers):
                steps.settled.add(order.id)
            elif order.id in known or not steps.is_beyond(order):
                new.append(order)
            elif steps.walk.is_of_changes and steps.is_old_page(of):
                old.append(order)
                steps.settled.add(order.id)
            elif steps.walk.is_of_changes:
                new.append(order)
        steps.has_changes = bool(new)
        return new, old

    def _will_be_planned(self, order: Order, cursor: SourceCursor, was_there: bool) -> bool:  # noqa: FBT001
        """Whether what else the source can tell of an order matters.

        Not for what the first sweep only takes note of.
        """
        start_at = start_of(cursor, self.policy.start_at, now=self.clock())
        return order.payment is Payment.PAID and not is_only_noted(order, was_there=was_there, start_at=start_at)

    def _misdated(self, page: Page, cursor: SourceCursor) -> frozenset[str]:
        """The orders of a page that are dated before the start although a lower id is not, where ids only rise."""
        if self.source.name not in COMPUTED_DATES:
            return frozenset()
        start_at = start_of(cursor, self.policy.start_at, now=self.clock())
        return misdated(((order.id, order.created_at) for order in page.orders), start_at)

    @staticmethod
    def _is_new(order: Order, known: KnownOrder | None, offers: Offers) -> bool:
        if known is None or known.polled_hash != content_hash(order):
            return True
        # A look at an order with open placeholders plans it anew once the offers have changed.
        return bool(known.has_placeholders) and known.offers_digest != offers.digest


def _ids(page: Page) -> list[str]:
    """The ids of a page's orders, of those that could not be read too."""
    unread = [each.order_id for each in page.unreadable if each.order_id is not None]
    return [*(order.id for order in page.orders), *unread]


def poll_due(connection: Connection, source: str, *, now: datetime, poll_seconds: float) -> bool:
    """Whether a source's last poll is at least `poll_seconds` ago: what makes a doubled beat harmless."""
    last = connection.scalar(select(cursors.c.last_attempt_at).where(cursors.c.source == source))
    return is_due(last, now=now, poll_seconds=poll_seconds)


def is_due(last_attempt_at: datetime | None, *, now: datetime, poll_seconds: float) -> bool:
    """Whether a poll that was last begun then is to be begun again."""
    # One in the future was written by a clock that was ahead, and is not waited for.
    return last_attempt_at is None or abs(now - last_attempt_at) >= timedelta(seconds=poll_seconds)
