"""What planning needs to know of one order besides the offers: its content as it may be kept, its runs, its situation.

Reads only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from worker.ledger.clock import is_older as is_older_moment
from worker.ledger.learners.erased import RecordableOrder, as_recorded
from worker.ledger.orders.operator_entries import named_in
from worker.ledger.orders.order_facts import OrderFacts
from worker.ledger.orders.order_rows import content_hash
from worker.ledger.orders.people import AddressUse
from worker.ledger.orders.recorded_orders import RecordedOrder, unknown_order
from worker.ledger.orders.source_cursors import SourceCursor
from worker.sources.order import Order, Payment
from workflows.planning import planner, unproven
from workflows.planning.line_keys import line_keys
from workflows.planning.model import KnownRun, Plan, Situation, Standing
from workflows.planning.offers import Offers
from workflows.recording.known_runs import planned_lines
from workflows.recording.look import Look, situation_of
from workflows.recording.named_seats import Named, with_named_seats
from workflows.recording.rereading import Reread, is_paid_by_reading, reading_of
from workflows.recording.shared_addresses import with_owned_addresses
from workflows.recording.silent_records import with_holds_of_before
from workflows.recording.subscription_status import SubscriptionRules, has_no_subscription, placed


@dataclass(frozen=True)
class Surroundings:
    """What the ledger holds beside the orders that are planned together."""

    cursor: SourceCursor | None
    facts: OrderFacts
    swept: frozenset[str]
    """Those that the first sweep, which is complete, had not come by."""


@dataclass(frozen=True, kw_only=True)
class PlanningInput:
    """One order, with all that planning takes into account."""

    order: Order
    look: Look
    row: RecordedOrder
    is_new: bool
    """The ledger has no row of it."""
    stored: RecordableOrder
    read_anew: list[list[str]] | None
    standing: Standing | None
    existing: list[KnownRun]
    situation: Situation
    now: datetime
    ask_at: datetime | None
    """When an unproven payment is asked about."""
    named: Named

    @property
    def is_changed(self) -> bool:
        """The order's content is new to the ledger."""
        return not self.stored.is_unchanged

    @property
    def is_stale(self) -> bool:
        """Newer content was recorded before."""
        is_older = is_older_moment(self.look.fetched_at, self.row.fetched_at, now=self.now)
        return self.is_changed and self.row.version > 0 and is_older

    @property
    def is_of_other_company(self) -> bool:
        """Another request tells of another company than before: the order is found by it."""
        return bool(self.order.company != self.row.document.get("company", ""))

    def plan(self, offers: Offers, uses: Mapping[str, Sequence[AddressUse]]) -> Plan:
        """Plan it, by these offers and whose its learners' addresses are."""
        order = with_owned_addresses(self.named.order, uses, accepted=self.look.accepted | self.named.places)
        return planner.plan(order, offers, self.existing, self.situation)


@dataclass(frozen=True, kw_only=True)
class InputReader:
    """Reads what planning needs, in the caller's transaction. `reread`: as for `record_orders`."""

    connection: Connection
    now: datetime
    start_at: datetime | None
    """As configured for the source."""
    rules: SubscriptionRules
    reread: Reread | None = None

    def read(
        self, order: Order, look: Look, row: RecordedOrder | None, existing: list[KnownRun], around: Surroundings
    ) -> PlanningInput:
        """What planning needs of an order whose row, None where it has none, and runs are these."""
        is_new = row is None
        row = row or unknown_order(order, fetched_at=look.fetched_at, now=self.now)
        whole = with_holds_of_before(order, row.document)
        stored = as_recorded(self.connection, whole, row, has_erasures=around.facts.has_erasures)
        if whole is not order:
            stored = replace(stored, read_hash=content_hash(order))
        order, places = self._reading(stored, row)
        order, standing = self._placed(order, look, row, around.facts)
        situation = situation_of(
            order,
            row=row,
            cursor=around.cursor,
            look=look,
            configured_start_at=self.start_at,
            is_swept=order.id in around.swept,
            standing=standing,
        )
        ask_at = unproven.asked_at(order, first_seen_at=row.first_seen_at, start_at=situation.start_at)
        situation = replace(
            situation,
            is_tracked=self._is_tracked(order, row, situation),
            read_anew=frozenset((line, seat) for line, seat in places or ()).difference(look.accepted),
            payment_overdue=ask_at is not None and ask_at <= self.now,
            planned_lines=planned_lines(self.connection, order, existing),
        )
        return PlanningInput(
            order=order,
            look=look,
            row=row,
            is_new=is_new,
            stored=stored,
            read_anew=places,
            standing=standing,
            existing=existing,
            situation=situation,
            now=self.now,
            ask_at=ask_at,
            named=self._named(order, look, existing, situation, around.facts),
        )

    def _reading(self, stored: RecordableOrder, row: RecordedOrder) -> tuple[Order, list[list[str]] | None]:
        """The order as its reading is to be taken, and the places that only a reading gives."""
        if not stored.is_unchanged and row.version > 0 and self.reread is not None:
            reading = reading_of(self.connection, stored.order, row, self.reread)
            if reading is not None:
                return reading.order, row.places_with(reading.anew)
        return stored.order, row.places_with(())

    def _is_tracked(self, order: Order, row: RecordedOrder, situation: Situation) -> bool:
        """Whether the order, if it is paid now and was not, was known to be unpaid, and not only by a setting."""
        if row.version == 0 or row.payment == Payment.PAID or order.payment is not Payment.PAID:
            return True
        if row.payment not in {Payment.WAITING, Payment.CANCELLED}:
            return False
        is_new = order.created_at is None or situation.start_at is None or order.created_at >= situation.start_at
        return is_new or self.reread is None or not is_paid_by_reading(self.connection, order, row, self.reread)

    def _placed(self, order: Order, look: Look, row: RecordedOrder, facts: OrderFacts) -> tuple[Order, Standing | None]:
        if has_no_subscription(order) and not facts.has_subscriptions:
            return order, None
        seen_at = row.first_seen_at
        return placed(self.connection, order, first_seen_at=seen_at, rules=self.rules, now=self.now, replan=look.replan)

    def _named(
        self, order: Order, look: Look, existing: list[KnownRun], situation: Situation, facts: OrderFacts
    ) -> Named:
        """The order with whom the operator gave its seats to."""
        known = named_in(self.connection, order.source, order.id) if facts.has_named_seats else []
        if not known and not look.named:
            return Named(order)
        return with_named_seats(order, known, look.named, line_keys(order, existing, situation.planned_lines))
