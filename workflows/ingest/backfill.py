"""Backfill: walks a window of a source's history and records what the ledger lacks of it.

Which orders are done is the ledger's word, not a page number's: an order that the ledger holds as it is costs nothing.
So a backfill that died is begun again from its start, and pages that shifted meanwhile skip nothing.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from worker.ledger.events import record_event
from worker.ledger.orders.recorded_orders import KnownOrder, known_orders
from worker.ledger.session import Ledger
from worker.ledger.states import RunState, Via
from worker.reasons import Reason
from worker.sources.order import Order, Payment
from worker.sources.source import Page, Source, Unreadable, unreadable
from workflows.descriptions import describe_plan
from workflows.ingest.deliveries import SourcePolicy
from workflows.ingest.half_written import is_half_written, put_off
from workflows.ingest.set_aside import CONCERNS_ALL, set_aside
from workflows.planning.model import Create, Plan
from workflows.planning.offers import Offers
from workflows.planning.offers_file import OffersFile
from workflows.recording.order_recording import Look, preview, record_orders
from workflows.recording.rereading import is_as_recorded, reread_orders
from workflows.recording.subscription_status import keep_subscriptions

log = logging.getLogger(__name__)

SHOWN_FIRST = 20
"""So many orders are shown in full by a preview."""
COUNTS = ("orders", "new", "changed", "gives_access", "review")
_ADDED_UP = ("new", "changed", "gives_access", "review")
GIVES_ACCESS = "gives_access"
"""What a run that is due is counted under, beside the reason codes."""


@dataclass(frozen=True)
class Window:
    """Orders made in [since, until), both aware."""

    since: datetime
    until: datetime

    def __contains__(self, order: Order) -> bool:
        return order.created_at is not None and self.since <= order.created_at < self.until


@dataclass(frozen=True)
class Shown:
    """One order of a preview, and what would be done about it."""

    order_id: str
    created_at: datetime | None
    status: str
    is_new: bool
    lines: tuple[str, ...]


@dataclass
class Backfilled:
    """What a backfill came to so far."""

    source: str
    since: datetime
    until: datetime
    pages: int = 0
    orders: int = 0
    """Orders of the window that were read, each once."""
    new: int = 0
    changed: int = 0
    """Known, and of other content now; or taken as handled before, or still unmapped, and planned anew."""
    gives_access: int = 0
    """Runs that give access."""
    review: int = 0
    """Runs that wait for a person."""
    reasons: Counter[str] = field(default_factory=Counter)
    """What new and changed orders came to: `gives_access` and review reasons by run, other reasons by order."""
    set_aside: list[str] = field(default_factory=list)
    """Orders that cannot be read or recorded: they wait in review by their ids."""
    undated: list[str] = field(default_factory=list)
    """Orders whose date is not known: they may be of the window or not, and are left out."""
    shown: list[Shown] = field(default_factory=list)
    met: set[str] = field(default_factory=set)
    """The orders that were read: a row that a shifted page brings again is not counted again."""

    @property
    def unchanged(self) -> int:
        """Orders the ledger held as they are."""
        return self.orders - self.new - self.changed

    def add(self, earlier: Mapping[str, int]) -> None:
        """Go on counting where an interrupted one stopped; its orders are all read again."""
        for name in _ADDED_UP:
            setattr(self, name, getattr(self, name) + earlier.get(name, 0))


OnPage = Callable[[Backfilled, list[str]], None]
"""Told after each page: the counts so far, and the runs that are due now."""


def ignore_page(_done: Backfilled, _ready: list[str]) -> None:
    """Nobody looks on."""


@dataclass(frozen=True)
class Backfiller:
    """Backfills one source. Harmless when two run: an order that one has recorded is not recorded again."""

    ledger: Ledger
    source: Source
    policy: SourcePolicy
    offers: OffersFile
    _: KW_ONLY
    clock: Callable[[], datetime]

    def preview(self, window: Window, on_page: OnPage = ignore_page) -> Backfilled:
        """Read everything and tell what a backfill would do; writes nothing. Raises `ApiError`, `OffersError`."""
        offers = self.offers.checked()
        done = Backfilled(self.source.name, window.since, window.until)
        for page in self.source.walk_since(window.since):
            with self.ledger.read() as connection:
                known, new_orders = self._new_orders(connection, page, window, offers)
            # What a shifted page brings again was counted before.
            annotated = self._annotate([order for order in new_orders if order.id not in done.met])
            with self.ledger.read() as connection:
                for order in annotated:
                    if is_half_written(order) and order.id not in known:
                        _count_half_written(done, order)
                        continue
                    look = Look(fetched_at=page.fetched_at, manual=True, is_present=True, start_at=window.since)
                    rules = self.policy.subscriptions
                    plan = preview(connection, order, offers, look, start_at=self.policy.start_at, rules=rules)
                    _count(done, order, plan, is_new=order.id not in known)
            _count_page(done, page, window)
            _note_aside(done, page.unreadable)
            on_page(done, [])
        return done

    def run(
        self,
        window: Window,
        *,
        actor: str,
        reason: str | None = None,
        request_id: str | None = None,
        earlier: Mapping[str, int] | None = None,
        on_page: OnPage = ignore_page,
    ) -> Backfilled:
        """Record and plan what the ledger lacks of the window, page by page, each page one transaction.

        The audit trail says when it began and ended, and on which request, if it was asked for from elsewhere.
        `earlier` is what it had come to (`COUNTS`) when it was interrupted: what was new then is not new again.
        Safe to repeat: the second time nothing is recorded. Raises `ApiError` (what was recorded stays; begin it again)
        and `OffersError`.
        """
        offers = self.offers.checked()
        reread_orders(self.ledger, self.source, now=self.clock())
        done = Backfilled(self.source.name, window.since, window.until)
        done.add(earlier or {})
        self._event("backfill_begun", actor, reason, done, request_id)
        for page in self.source.walk_since(window.since):
            on_page(done, self._take_in(page, window, done, offers=offers, actor=actor))
        self._event("backfill_ended", actor, reason, done, request_id)
        return done

    def _take_in(self, page: Page, window: Window, done: Backfilled, *, offers: Offers, actor: str) -> list[str]:
        """Record a page; where one of its orders prevents that, each order by itself."""
        aside, ready = list(page.unreadable), list[str]()

        def failure_of(part: Page) -> Exception | None:
            before = deepcopy(done)
            try:
                ready.extend(self._record(part, window, done, offers=offers, actor=actor))
            except CONCERNS_ALL:
                raise
            except Exception as error:  # noqa: BLE001  (of any class: it concerns an order of this part)
                vars(done).update(vars(before))  # nothing of it was committed
                return error
            return None

        if failure_of(page) is not None:
            failures = ((order, failure_of(replace(page, orders=(order,)))) for order in page.orders)
            aside += [unreadable(order, error) for order, error in failures if error is not None]
        if aside:
            with self.ledger.write() as connection:
                set_aside(connection, self.source.name, aside, now=self.clock())
            _note_aside(done, aside)
        return ready

    def _record(self, page: Page, window: Window, done: Backfilled, *, offers: Offers, actor: str) -> list[str]:
        """Record what is new of a page in one transaction; returns the runs that are due."""
        with self.ledger.read() as connection:
            known, new_orders = self._new_orders(connection, page, window, offers)
        if not new_orders:
            _count_page(done, page, window)
            return []
        now = self.clock()
        with self.ledger.write() as connection:
            late = put_off(connection, new_orders, now=now, via=Via.MANUAL, actor=actor)
        annotated = self._annotate([order for order in new_orders if order.id not in late])
        with self.ledger.write() as connection:
            rules, start_at = self.policy.subscriptions, self.policy.start_at
            keep_subscriptions(connection, annotated, rules, fetched_at=page.fetched_at, now=now, start_at=start_at)
            look = Look(
                fetched_at=page.fetched_at,
                actor=actor,
                manual=True,
                via=Via.MANUAL,
                is_present=True,
                start_at=window.since,
            )
            seen = [(order, look) for order in annotated]
            recorded = record_orders(
                connection, seen, offers, now=now, start_at=start_at, rules=rules, reread=self.source.reread
            )
        for order, each in zip(annotated, recorded, strict=True):
            if not each.stale:
                _count(done, order, each.plan, is_new=order.id not in known)
        ready = [run_id for each in recorded for run_id in each.ready]
        for order in new_orders:
            if order.id in late:
                _count_half_written(done, order)
        _count_page(done, page, window)
        return ready

    def _new_orders(
        self, connection: Connection, page: Page, window: Window, offers: Offers
    ) -> tuple[Mapping[str, KnownOrder], list[Order]]:
        """What the ledger holds of a page, and the page's orders of the window that it lacks or holds otherwise."""
        orders = list({order.id: order for order in page.orders if order in window}.values())
        known = known_orders(connection, self.source.name, [order.id for order in orders])
        return known, [order for order in orders if self._is_new(connection, order, known.get(order.id), offers)]

    def _is_new(self, connection: Connection, order: Order, known: KnownOrder | None, offers: Offers) -> bool:
        if known is None or not is_as_recorded(connection, order, known, self.source.reread):
            return True
        if known.before_start:
            return order.payment is Payment.PAID
        return bool(known.has_placeholders) and known.offers_digest != offers.digest

    def _annotate(self, orders: list[Order]) -> list[Order]:
        paid = [order for order in orders if order.payment is Payment.PAID]
        annotated = {order.id: order for order in (self.source.annotate(paid) if paid else [])}
        return [annotated.get(order.id, order) for order in orders]

    def _event(self, kind: str, actor: str, reason: str | None, done: Backfilled, request_id: str | None) -> None:
        request = {} if request_id is None else {"request": request_id}
        with self.ledger.write() as connection:
            record_event(
                connection,
                at=self.clock(),
                kind=kind,
                actor=actor,
                source=self.source.name,
                reason=reason,
                detail=request
                | {"since": done.since.isoformat(), "until": done.until.isoformat()}
                | {name: getattr(done, name) for name in COUNTS},
            )


def _count_page(done: Backfilled, page: Page, window: Window) -> None:
    done.pages += 1
    fresh = {order.id: order for order in page.orders if order.id not in done.met}
    done.orders += sum(order in window for order in fresh.values())
    done.undated += [order.id for order in fresh.values() if order.created_at is None]
    done.met |= fresh.keys()


def _note_aside(done: Backfilled, aside: Iterable[Unreadable]) -> None:
    names = {each.order_id or "(no id)" for each in aside}
    done.set_aside += sorted(names - set(done.set_aside))


def _count(done: Backfilled, order: Order, plan: Plan, *, is_new: bool) -> None:
    done.new += is_new
    done.changed += not is_new
    outcomes = list(_outcomes(plan))
    done.gives_access += outcomes.count(GIVES_ACCESS)
    done.review += sum(1 for action in plan.actions if isinstance(action, Create) and action.state is RunState.REVIEW)
    done.reasons.update(outcomes or [str(plan.reason or plan.state)])
    if len(done.shown) < SHOWN_FIRST:
        lines = describe_plan(plan) or (f"{plan.state}: {plan.reason}" if plan.reason else str(plan.state),)
        done.shown.append(Shown(order.id, order.created_at, order.status, is_new, lines))


def _count_half_written(done: Backfilled, order: Order) -> None:
    """Count an order that was read while it was being written: it is read again in a minute."""
    if order.id not in done.met:
        done.reasons[str(Reason.ORDER_INCOMPLETE)] += 1


def _outcomes(plan: Plan) -> Iterator[str]:
    for action in plan.actions:
        if isinstance(action, Create):
            yield GIVES_ACCESS if action.state is RunState.PENDING else str(action.reason)
