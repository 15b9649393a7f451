"""Compares a source's own list of orders with what the ledger holds of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from worker.errors import ApiError, NotFoundError
from worker.ledger.orders.recorded_orders import READING, KnownOrder, known_orders
from worker.ledger.orders.source_cursors import cursor_of
from worker.ledger.session import Ledger
from worker.ledger.views import reconcile as comparison
from worker.sources.order import Order, Payment
from worker.sources.source import Page, Source, Unreadable
from workflows.ingest.deliveries import SourcePolicy
from workflows.ingest.set_aside import describe_failure
from workflows.planning.model import Create
from workflows.planning.offers import Offers
from workflows.reconcile.findings import Cause, Finding, Kind, unchecked
from workflows.recording.order_recording import Look, preview
from workflows.recording.rereading import is_as_recorded
from workflows.recording.source_start import start_of

_LONGEST_WALK: Final = timedelta(days=1)
"""What was recorded later than this after a page was asked for was recorded by a clock that was ahead."""


@dataclass(frozen=True)
class SourceDiff:
    """One source against the ledger, for the orders made in [since, until). Reads only."""

    ledger: Ledger
    source: Source
    policy: SourcePolicy
    offers: Offers
    _: KW_ONLY
    provisioned: Collection[str] | None
    """The orders (`SOURCE/ORDER`) that have an effect this ledger does not know.

    None: nobody can tell, and nothing is safe to take in.
    """
    should_stop: Callable[[], bool] = lambda: False
    met: set[str] = field(default_factory=set, init=False)

    def compare(self, *, since: datetime, until: datetime) -> Iterator[Finding]:
        """Every difference. A source that fails is one finding, `unchecked`."""
        name = self.source.name
        with self.ledger.read() as connection:
            start_at = start_of(cursor_of(connection, name), self.policy.start_at, now=until)
        try:
            for page in self.source.walk_since(since):
                if self.should_stop():
                    raise ApiError("stopped: the process ends", system=name, operation="reconcile", retryable=True)
                yield from self._compare_page(page, since=max(since, start_at), until=until)
        except Exception as error:  # noqa: BLE001  (of any class: what could not be compared is no finding)
            what = describe_failure(error, self.ledger)
            yield unchecked(f"The orders of {name} could not be checked to the end: {what}", source=name)
            return
        yield from self._compare_absent(since=since, until=until)

    def _compare_page(self, page: Page, *, since: datetime, until: datetime) -> Iterator[Finding]:
        fresh = [order for order in page.orders if order.id not in self.met]
        self.met.update(order.id for order in fresh)
        for each in page.unreadable:
            if (each.order_id or each.fingerprint) not in self.met:
                self.met.add(each.order_id or each.fingerprint)
                yield self._unreadable(each)
        # Older ones are ignored by name, or were never looked at: they were there before Cartbridge.
        orders = [order for order in fresh if order.created_at is not None and since <= order.created_at < until]
        ids = [order.id for order in orders]
        with self.ledger.read() as connection:
            known = known_orders(connection, self.source.name, ids)
            in_hand = comparison.orders_in_hand(connection, self.source.name, ids)
            seats = comparison.seats_with_runs(connection, self.source.name, ids)
        for order in orders:
            row = known.get(order.id)
            if order.id in in_hand:
                continue  # news of it waits to be looked at
            if row is None:
                yield self._not_ingested(order)
            elif not self._is_as_recorded(order, row):
                yield from self._compare_content(order, row, page)
            elif row.reading == READING:  # else the next poll reads it anew
                yield from self._compare_seats(order, row, seats)

    def _unreadable(self, record: Unreadable) -> Finding:
        source, order_id = self.source.name, record.order_id
        name = f"order {source}/{order_id}" if order_id else f"a record of {source} without an id"
        command = f"cartbridge why {source}/{order_id}" if order_id else "cartbridge deliveries list --state review"
        sentence = f"What {name} holds could not be checked: it cannot be read ({record.problem})."
        return unchecked(sentence, command, source=source, order_id=order_id)

    def _not_ingested(self, order: Order) -> Finding:
        name = f"{order.source}/{order.id}"
        sentence = f"Order {name} ({order.status or order.payment}) was never ingested."
        command = f"cartbridge ingest {order.source} {order.id}"
        if self.provisioned is not None and name in self.provisioned:
            sentence += (
                " LearningCart holds a comped order of it that this ledger does not know: ingested as it is, the order "
                "would get a second one. Was the ledger restored from an older copy? Then recover it first."
            )
            command = "cartbridge recover --since TIME_OF_THE_COPY"
        return Finding(
            Kind.MISSING,
            Cause.ORDER_NOT_INGESTED,
            sentence,
            command,
            source=order.source,
            order_id=order.id,
            is_safe_to_fix=self.provisioned is not None and name not in self.provisioned,
        )

    def _is_as_recorded(self, order: Order, row: KnownOrder) -> bool:
        with self.ledger.read() as connection:
            return is_as_recorded(connection, order, row, self.source.reread)

    def _compare_content(self, order: Order, row: KnownOrder, page: Page) -> Iterator[Finding]:
        """A list may show an order otherwise than the order itself does: only what a fetch confirms is reported."""
        if page.fetched_at <= row.fetched_at < page.fetched_at + _LONGEST_WALK:
            return
        name = f"{order.source}/{order.id}"
        ids: dict[str, Any] = {"source": order.source, "order_id": order.id}
        command = f"cartbridge ingest {order.source} {order.id}"
        try:
            fetched = self.source.fetch(order.id)
        except Exception as error:  # noqa: BLE001  (of any class, as above)
            what = describe_failure(error, self.ledger, **ids)
            yield unchecked(f"Whether order {name} has changed could not be checked: {what}", command, **ids)
            return
        if self._is_as_recorded(fetched, row):
            return
        now, then = fetched.status or fetched.payment, row.status or row.payment
        what = f"it is {now} there, {then} here" if now != then else "its content has changed"
        yield Finding(
            Kind.MISSING, Cause.ORDER_OUTDATED, f"The ledger holds order {name} as it was: {what}.", command, **ids
        )

    def _compare_seats(self, order: Order, row: KnownOrder, seats: set[tuple[str, str, str]]) -> Iterator[Finding]:
        """A paid seat that has no run, though planning the order as it is would give it one."""
        if order.payment is not Payment.PAID or row.before_start or row.replan_at is not None:
            return
        lacking = {
            (line.id, seat.id)
            for line in order.lines
            for seat in line.seats
            if (order.id, line.id, seat.id) not in seats
        }
        if not lacking:
            return
        with self.ledger.read() as connection:
            wanted = self._wanted(connection, order, row, self.offers)
        for line_id, seat_id in sorted(lacking & wanted):
            yield Finding(
                Kind.MISSING,
                Cause.SEAT_WITHOUT_RUN,
                f"Seat {seat_id} on line {line_id} of the paid order {order.source}/{order.id} has no run.",
                f"cartbridge ingest {order.source} {order.id}",
                source=order.source,
                order_id=order.id,
            )

    def _wanted(self, connection: Connection, order: Order, row: KnownOrder, offers: Offers) -> set[tuple[str, str]]:
        annotated = order.model_copy(update={"renewal": row.renewal})
        look, policy = Look(fetched_at=row.fetched_at), self.policy
        plan = preview(connection, annotated, offers, look, start_at=policy.start_at, rules=policy.subscriptions)
        return {(action.line_id, action.seat_id) for action in plan.actions if isinstance(action, Create)}

    def _compare_absent(self, *, since: datetime, until: datetime) -> Iterator[Finding]:
        """Orders that gave access and are not in the source's list any more; each is asked for by name."""
        name = self.source.name
        with self.ledger.read() as connection:
            gave = comparison.orders_with_access(connection, name, since=since, until=until)
        for order_id in gave:
            if order_id in self.met:
                continue
            command = f"cartbridge why {name}/{order_id}"
            try:
                self.source.fetch(order_id)
            except NotFoundError:
                sentence = f"Order {name}/{order_id} gave access, and {name} does not know it any more."
                yield Finding(Kind.STALE, Cause.ORDER_GONE, sentence, command, source=name, order_id=order_id)
            except Exception as error:  # noqa: BLE001  (of any class, as above)
                what = describe_failure(error, self.ledger, source=name, order_id=order_id)
                sentence = f"Whether order {name}/{order_id} still exists could not be checked: {what}"
                yield unchecked(sentence, command, source=name, order_id=order_id)
