"""The one way in: an order, however it arrived, is recorded, planned, and its plan applied, in one transaction.

Several orders are read together, planned one by one, and written together: a page takes about as many statements as one
order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from worker.ledger.keys import new_id
from worker.ledger.learners.erased import keys_of
from worker.ledger.learners.tombstones import tombstones_by_key
from worker.ledger.orders import order_rows, recorded_orders
from worker.ledger.orders.changes import reported_changes
from worker.ledger.orders.order_facts import ANYTHING, OrderFacts, order_facts
from worker.ledger.orders.order_rows import LOOK_AGAIN_SECONDS
from worker.ledger.orders.recorded_orders import READING, RecordedOrder
from worker.ledger.orders.source_cursors import SourceCursor, cursor_of
from worker.ledger.runs.run_rows import add_learners
from worker.ledger.search.texts import write_search_texts
from worker.ledger.states import DeliveryState, OrderState
from worker.reasons import Reason
from worker.sources.order import Order, Payment, email_key
from workflows.planning.model import Plan
from workflows.planning.offers import Offers
from workflows.recording.known_runs import known_runs, runs_of_orders
from workflows.recording.look import Look, Recorded, swept_orders
from workflows.recording.plan_application import PlanApplier, PlannedRows
from workflows.recording.planning_input import InputReader, PlanningInput, Surroundings
from workflows.recording.rereading import Reread, reread_row
from workflows.recording.shared_addresses import SHARING_SOURCE, learners_of, lock_addresses, uses_by_learners
from workflows.recording.source_start import is_only_noted, note_contact, note_seen, start_of, take_contact
from workflows.recording.subscription_status import DEFAULT_RULES, SubscriptionRules, has_no_subscription

__all__ = ["Look", "Recorded", "finish_deliveries", "preview", "record_order", "record_orders"]


def record_order(
    connection: Connection,
    order: Order,
    offers: Offers,
    look: Look,
    *,
    now: datetime,
    start_at: datetime | None,
    rules: SubscriptionRules = DEFAULT_RULES,
    reread: Reread | None = None,
) -> Recorded:
    """As `record_orders`, for one."""
    seen = [(order, look)]
    return record_orders(connection, seen, offers, now=now, start_at=start_at, rules=rules, reread=reread)[0]


def record_orders(
    connection: Connection,
    seen: Sequence[tuple[Order, Look]],
    offers: Offers,
    *,
    now: datetime,
    start_at: datetime | None,
    rules: SubscriptionRules = DEFAULT_RULES,
    reread: Reread | None = None,
) -> list[Recorded]:
    """Record orders of one source as seen, plan them, and apply the plans, inside the caller's transaction.

    Safe to repeat, and safe to do twice at once: an order's row is locked, one that is new is added by one of the two,
    and run keys are unique. An answer to a request sent before that of the recorded content is older news, and changes
    nothing. `reread` reads records that an earlier version kept: without it, what only a changed reading adds to such
    an order would be news.
    """
    reader = InputReader(connection=connection, now=now, start_at=start_at, rules=rules, reread=reread)
    recorder = _Recorder(connection, reader, offers, now=now)
    # A look that answers no delivery of before is an arrival itself.
    seen = [(order, replace(look, delivery_ids=(new_id(now),)) if look.via else look) for order, look in seen]
    done: dict[int, Recorded] = {}
    rounds = _independent(seen)
    if seen:
        at = min(look.fetched_at for _, look in seen)
        take_contact(connection, seen[0][0].source, now=now, start_at=start_at, seen_at=at)
    if len(rounds) > 1 or any(order.source == SHARING_SOURCE for order, _ in seen):
        recorder.reserve(seen)
    for together in rounds:
        done |= recorder.record({place: seen[place] for place in together})
    return [done[place] for place in range(len(seen))]


def _independent(seen: Sequence[tuple[Order, Look]]) -> list[list[int]]:
    """The places of orders that may be planned together: none bears on another, by a person or a subscription.

    Those that do follow each other in their order.
    """
    rounds: list[list[int]] = []
    last: dict[str, int] = {}
    for place, (order, _) in enumerate(seen):
        names = {f"order {order.id}", *keys_of(order)}
        if not has_no_subscription(order):
            names.add("subscriptions")
        number = 1 + max((last.get(name, -1) for name in names), default=-1)
        last |= dict.fromkeys(names, number)
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(place)
    return rounds


@dataclass(frozen=True)
class _Recorder:
    connection: Connection
    reader: InputReader
    offers: Offers
    _: KW_ONLY
    now: datetime

    def reserve(self, seen: Sequence[tuple[Order, Look]]) -> None:
        """Take all orders, and then all their learners, before the first is planned: so does everybody.

        Taken one by one, a page and a hint of one of its orders can wait for each other on PostgreSQL.
        """
        orders = [(order, look.fetched_at) for order, look in seen]
        source = orders[0][0].source
        recorded_orders.reserve_orders(self.connection, orders, now=self.now)
        recorded_orders.lock_orders(self.connection, source, [order.id for order, _ in orders])
        start = start_of(cursor_of(self.connection, source), self.reader.start_at, now=self.now)
        planned = [
            order
            for order, look in seen
            if order.payment is Payment.PAID
            and not is_only_noted(order, was_there=look.baseline, start_at=look.start_at or start)
        ]
        people = [learner for order in planned for learner in learners_of(order)]
        erased = tombstones_by_key(self.connection, {learner.email for learner in people})
        known = [each for each in people if email_key(each.email) not in erased]
        add_learners(self.connection, known, now=self.now, lock=source == SHARING_SOURCE)

    def record(self, seen: Mapping[int, tuple[Order, Look]]) -> dict[int, Recorded]:
        """Record orders none of which bears on another, by their places."""
        orders = [order for order, _ in seen.values()]
        source, ids = orders[0].source, sorted({order.id for order in orders})
        rows = self._rows(source, ids)
        cursor, facts = self._facts(source, ids, orders)
        if len(seen) > 1 and (facts.has_subscriptions or facts.has_named_seats):  # any of them may bear on another
            return {place: recorded for each in seen for place, recorded in self.record({each: seen[each]}).items()}
        cursor = note_seen(self.connection, cursor, ids, seen_at=min(look.fetched_at for _, look in seen.values()))
        runs = runs_of_orders(self.connection, source, ids) if facts.has_runs else {}
        swept = swept_orders(self.connection, cursor, ids, has_early=facts.has_early_deliveries)
        around = Surroundings(cursor, facts, swept)
        found = {
            place: self.reader.read(order, look, rows.get(order.id), runs.get(order.id, []), around)
            for place, (order, look) in seen.items()
            if order.id in rows or order.id not in runs
        }
        done = self._plan(found, facts)
        overtaken = {place: seen[place] for place in seen if place not in done}  # added by another in this moment
        return done | (self.record(overtaken) if overtaken else {})

    def _rows(self, source: str, ids: Sequence[str]) -> dict[str, RecordedOrder]:
        """The orders' rows, locked, and read anew where that is due."""
        rows = recorded_orders.lock_orders(self.connection, source, ids)
        old = [row for row in rows.values() if row.version > 0 and row.reading != READING]
        if not old or self.reader.reread is None:
            return rows
        for row in old:
            reread_row(self.connection, row, self.reader.reread, now=self.now)
        return recorded_orders.lock_orders(self.connection, source, ids)

    def _facts(self, source: str, ids: Sequence[str], orders: Iterable[Order]) -> tuple[SourceCursor, OrderFacts]:
        keys = sorted({key for order in orders for key in keys_of(order)})
        read, facts = order_facts(self.connection, source, ids, keys) or (None, ANYTHING)
        start_at = self.reader.start_at
        return note_contact(self.connection, source, now=self.now, start_at=start_at, cursor=read), facts

    def _plan(self, found: Mapping[int, PlanningInput], facts: OrderFacts) -> dict[int, Recorded]:
        """Plan the orders and write what that comes to; those that another has added meanwhile are left out."""
        stale = Recorded(Plan(OrderState.WAITING), changed=False, stale=True)
        done = {
            place: replace(stale, plan=Plan(OrderState(each.row.state)))
            for place, each in found.items()
            if each.is_stale
        }
        fresh = {place: each for place, each in found.items() if not each.is_stale}
        named = [each.named.order for each in fresh.values()]
        lock_addresses(self.connection, named, now=self.now)
        is_any_known = facts.has_people_known or facts.has_named_seats
        uses = uses_by_learners(self.connection, named, is_any_known=is_any_known)
        plans = {place: each.plan(self.offers, uses) for place, each in fresh.items()}
        added = self._add([(each, plans[place]) for place, each in fresh.items() if each.is_new])
        planned = PlannedRows()
        for place, each in fresh.items():
            if not each.is_new or each.order.id in added:
                done[place] = self._apply(each, plans[place], planned)
        for place, recorded in done.items():
            self._finish(found[place], recorded, facts, planned)
        planned.write(self.connection, now=self.now)
        self._write_search_texts(found[place] for place, each in done.items() if _is_new(found[place], each))
        return done

    def _write_search_texts(self, found: Iterable[PlanningInput]) -> None:
        orders = [each.order for each in found]
        if orders:
            write_search_texts(self.connection, orders[0].source, [order.id for order in orders])

    def _add(self, new: Iterable[tuple[PlanningInput, Plan]]) -> set[str]:
        """Add the rows of orders that are new; the ids of those that nobody has added meanwhile."""
        rows = [
            {
                "source": each.order.source,
                "order_id": each.order.id,
                "first_seen_at": self.now,
                **self._content(each),
                **self._decided(each, plan, refused=False),
            }
            for each, plan in sorted(new, key=lambda pair: pair[0].order.id)
        ]
        return recorded_orders.insert_orders(self.connection, rows) if rows else set()

    def _content(self, found: PlanningInput) -> dict[str, Any]:
        hashed, fetched_at = found.stored.content_hash, found.look.fetched_at
        return recorded_orders.content_of(found.order, found.row, hashed=hashed, fetched_at=fetched_at, now=self.now)

    def _decided(self, found: PlanningInput, plan: Plan, *, refused: bool) -> dict[str, Any]:
        """The columns that say what planning came to, and what the look says of itself."""
        values = {
            "state": plan.state,
            "reason": plan.reason,
            "before_start": plan.before_start,
            "offers_digest": self.offers.digest,
            "content_hash": found.stored.content_hash,
            "read_anew": found.read_anew,
            "replan_at": _replan_at(found, plan, refused=refused, now=self.now),
        }
        if found.look.polled:
            values["polled_hash"] = found.stored.read_hash
        elif found.is_changed:
            values["polled_hash"] = None  # what a poll saw last is not what is recorded: seen again, it is news
        if found.look.fetched_at > found.row.fetched_at:
            values["fetched_at"] = found.look.fetched_at
        return values

    def _apply(self, found: PlanningInput, plan: Plan, planned: PlannedRows) -> Recorded:
        """Apply a plan to an order whose row is locked, or was added."""
        order, look, hashed = found.order, found.look, found.stored.content_hash
        recorded = Recorded(plan, changed=found.is_changed)
        cause = look.delivery_ids[0] if look.delivery_ids else None
        existing = {run.id: run for run in found.existing}
        PlanApplier(self.connection, order, existing, recorded, planned, look=look, cause=cause, now=self.now).apply()
        changes: dict[str, Any] = {}
        values: dict[str, Any] = {}
        if found.is_changed:
            changes, values = reported_changes(found.row, order), self._content(found)
            planned.versions.append(
                recorded_orders.version_of(order, found.row, hashed=hashed, delivery_id=cause, now=self.now)
            )
        elif order.subscription_id is not None or found.is_of_other_company:
            values = recorded_orders.annotation_of(order)
        if not found.is_new:
            values |= self._decided(found, plan, refused=bool(recorded.refused))
            recorded_orders.update_order(self.connection, order.source, order.id, **values)
        if found.is_changed or plan.actions:
            detail: dict[str, Any] = {"status": order.status, "payment": order.payment, "state": plan.state}
            detail |= {"actions": len(plan.actions)}
            planned.events.append(
                {
                    "at": self.now,
                    "kind": "order_planned",
                    "actor": look.actor,
                    "source": order.source,
                    "order_id": order.id,
                    "delivery_id": cause,
                    "reason": plan.reason,
                    "detail": detail | {"changed": recorded.changed} | changes,
                }
            )
        return recorded

    def _finish(self, found: PlanningInput, recorded: Recorded, facts: OrderFacts, planned: PlannedRows) -> None:
        """Note that a look has answered its deliveries."""
        look, order = found.look, found.order
        duplicate = not recorded.changed and not recorded.plan.actions
        if look.via is None:
            finish_deliveries(
                self.connection, look, order, duplicate=duplicate, has_reviews=facts.has_reviews, now=self.now
            )
            return
        [delivery_id] = look.delivery_ids
        arrival = order_rows.new_delivery(
            delivery_id,
            source=order.source,
            order_id=order.id,
            via=look.via,
            actor=look.actor,
            now=self.now,
            state=DeliveryState.PLANNED,
            duplicate=duplicate,
        )
        planned.deliveries.append(arrival)
        if facts.has_reviews:
            order_rows.settle_reviews(self.connection, order.source, order.id, now=self.now)


def _is_new(found: PlanningInput, recorded: Recorded) -> bool:
    """Whether the order may be found by other words than before."""
    return recorded.changed or bool(recorded.plan.actions) or (found.is_of_other_company and not recorded.stale)


def _replan_at(found: PlanningInput, plan: Plan, *, refused: bool, now: datetime) -> datetime | None:
    """When the order is looked at again by itself; None: not before something arrives about it."""
    if plan.look_again or refused:
        return now + timedelta(seconds=LOOK_AGAIN_SECONDS)
    if found.ask_at is not None and plan.reason is Reason.AWAITING_PAYMENT:
        return found.ask_at
    return found.standing.awaited_until if found.standing and plan.reason is Reason.SUBSCRIPTION_UNLISTED else None


def finish_deliveries(
    connection: Connection, look: Look, order: Order, *, duplicate: bool, has_reviews: bool = True, now: datetime
) -> None:
    """Note that a look has answered its deliveries, the first by what it came to and the others as duplicates."""
    if has_reviews:
        order_rows.settle_reviews(connection, order.source, order.id, now=now)
    first, rest = look.delivery_ids[:1], look.delivery_ids[1:]
    order_rows.release_deliveries(connection, first, state=DeliveryState.PLANNED, duplicate=duplicate, now=now)
    order_rows.release_deliveries(connection, rest, state=DeliveryState.PLANNED, duplicate=True, now=now)


def preview(
    connection: Connection,
    order: Order,
    offers: Offers,
    look: Look,
    *,
    start_at: datetime | None,
    rules: SubscriptionRules = DEFAULT_RULES,
) -> Plan:
    """What `record_order` would do, without doing it."""
    row = recorded_orders.recorded_order(connection, order.source, order.id)
    cursor = cursor_of(connection, order.source)
    existing = known_runs(connection, order.source, order.id)
    around = Surroundings(cursor, ANYTHING, swept_orders(connection, cursor, [order.id]))
    reader = InputReader(connection=connection, now=look.fetched_at, start_at=start_at, rules=rules)
    found = reader.read(order, look, row, existing, around)
    return found.plan(offers, uses_by_learners(connection, [found.named.order]))
