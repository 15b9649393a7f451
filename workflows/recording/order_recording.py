"""The one way in: an order, however it arrived, is recorded, planned, and its plan applied, in one transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select

from worker.ledger.events import record_event
from worker.ledger.learners.erased import Kept, as_kept
from worker.ledger.orders import order_rows
from worker.ledger.orders.changes import told_changes
from worker.ledger.orders.named_seats import named_in
from worker.ledger.orders.order_rows import LOOK_AGAIN_SECONDS
from worker.ledger.search.texts import write_search_text
from worker.ledger.states import DeliveryState
from worker.ledger.tables.runs import cursors, orders
from worker.reasons import Reason
from worker.sources.order import Order
from workflows.planning import planner, unproven
from workflows.planning.line_keys import line_keys
from workflows.planning.model import KnownRun, Plan, Situation, Standing
from workflows.planning.offers import Offers
from workflows.recording.known_runs import known_runs
from workflows.recording.look import Look, Recorded
from workflows.recording.named_seats import Named, with_named_seats
from workflows.recording.plan_application import PlanApplier
from workflows.recording.planned_lines import planned_lines
from workflows.recording.rereading import Reread, reading_of
from workflows.recording.shared_addresses import lock_addresses, with_owned_addresses
from workflows.recording.situation import situation_of
from workflows.recording.source_start import note_contact, note_seen
from workflows.recording.subscription_status import DEFAULT_RULES, SubscriptionRules, placed

__all__ = ["Look", "Recorded", "finish_deliveries", "preview", "record_order", "situation_of"]


def _with_facts(
    connection: Connection,
    order: Order,
    situation: Situation,
    existing: list[KnownRun],
    *,
    first_seen_at: datetime,
    now: datetime,
) -> tuple[Situation, datetime | None]:
    """The situation with what else the ledger tells of the order, and when an unproven payment is asked about."""
    ask_at = unproven.asked_at(order, first_seen_at=first_seen_at, start_at=situation.start_at)
    planned = planned_lines(connection, order, existing)
    is_overdue = ask_at is not None and ask_at <= now
    return replace(situation, payment_overdue=is_overdue, planned_lines=planned), ask_at


def _named(connection: Connection, order: Order, look: Look, existing: list[KnownRun], situation: Situation) -> Named:
    """The order with whom the operator gave its seats to."""
    known = named_in(connection, order.source, order.id)
    return with_named_seats(order, known, look.named, line_keys(order, existing, situation.planned_lines))


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
    """Record an order as seen, plan it, and apply the plan, inside the caller's transaction.

    Safe to repeat, and safe to do twice at once: the order's row is locked, and run keys are unique. An answer to a
    request sent before that of the recorded content is older news, and changes nothing. `reread` reads records that
    an earlier version kept: without it, what only a changed reading adds to such an order would be news.
    """
    cursor = note_contact(connection, order.source, now=now, start_at=start_at)
    cursor = note_seen(connection, cursor, order.id, seen_at=look.fetched_at)
    row, created = order_rows.lock_order(connection, order, fetched_at=look.fetched_at, now=now)
    kept = as_kept(connection, order, row)
    order, hashed, changed = kept.order, kept.content_hash, not kept.is_unchanged
    if changed and not created and row.version > 0 and look.fetched_at < row.fetched_at:
        finish_deliveries(connection, look, order, duplicate=True, now=now)
        return Recorded(Plan(row.state), changed=False, stale=True)
    anew = order_rows.places_document((), row)
    reading = reading_of(connection, order, row, reread) if changed and row.version > 0 and reread else None
    if reading is not None:
        order, anew = reading.order, order_rows.places_document(reading.anew, row)
    order, standing = placed(
        connection, order, first_seen_at=row.first_seen_at, rules=rules, now=now, replan=look.replan
    )
    existing = known_runs(connection, order.source, order.id)
    situation = situation_of(
        connection, order, row=row, cursor=cursor, look=look, configured_start_at=start_at, standing=standing
    )
    asked = frozenset((line, seat) for line, seat in anew or ()).difference(look.accepted)
    situation = replace(situation, read_anew=asked)
    situation, ask_at = _with_facts(connection, order, situation, existing, first_seen_at=row.first_seen_at, now=now)
    named = _named(connection, order, look, existing, situation)
    lock_addresses(connection, [named.order], now=now)
    planned = with_owned_addresses(connection, named.order, accepted=look.accepted | named.places)
    plan = planner.plan(planned, offers, existing, situation)
    cause = look.delivery_ids[0] if look.delivery_ids else None
    if changed:
        order_rows.write_content(
            connection, order, row, hashed=hashed, fetched_at=look.fetched_at, delivery_id=cause, now=now
        )
    elif order.subscription_id is not None or _is_of_other_company(row, order):
        order_rows.write_annotation(connection, order)
    recorded = Recorded(plan, changed=changed)
    PlanApplier(connection, order, {run.id: run for run in existing}, recorded, look=look, cause=cause, now=now).apply()
    values: dict[str, Any] = {"state": plan.state, "reason": plan.reason, "before_start": plan.before_start}
    values |= {"offers_digest": offers.digest, "content_hash": hashed, "read_anew": anew}
    values |= {"replan_at": _replan_at(recorded, standing, ask_at, now=now)} | _seen(look, row, kept)
    order_rows.update_order(connection, order.source, order.id, **values)
    _record_planned(connection, order, recorded, look, row, now=now)
    finish_deliveries(connection, look, order, duplicate=not changed and not plan.actions, now=now)
    return recorded


def _is_of_other_company(before: Row[Any], order: Order) -> bool:
    return bool(order.company != (before.document or {}).get("company", ""))


def _seen(look: Look, row: Row[Any], kept: Kept) -> dict[str, Any]:
    """What the look says of itself in the order's row."""
    values: dict[str, Any] = {}
    if look.polled:
        values["polled_hash"] = kept.read_hash
    elif not kept.is_unchanged:
        values["polled_hash"] = None  # what a poll saw last is not what is recorded: seen again, it is news
    if look.fetched_at > row.fetched_at:
        values["fetched_at"] = look.fetched_at
    return values


def _replan_at(
    recorded: Recorded, standing: Standing | None, ask_at: datetime | None, *, now: datetime
) -> datetime | None:
    """When the order is looked at again by itself, None: not before there is news of it."""
    plan = recorded.plan
    if plan.look_again or recorded.refused:
        return now + timedelta(seconds=LOOK_AGAIN_SECONDS)
    if ask_at is not None and plan.reason is Reason.AWAITING_PAYMENT:
        return ask_at
    return standing.awaited_until if standing and plan.reason is Reason.SUBSCRIPTION_UNLISTED else None


def _record_planned(
    connection: Connection, order: Order, recorded: Recorded, look: Look, before: Row[Any], *, now: datetime
) -> None:
    """Write what the order is found by, and one line of the audit trail, where there is news of it."""
    plan = recorded.plan
    is_news = recorded.changed or bool(plan.actions)
    if is_news or _is_of_other_company(before, order):
        write_search_text(connection, order.source, order.id)
    if not is_news:
        return
    changes = told_changes(before, order) if recorded.changed else {}
    record_event(
        connection,
        at=now,
        kind="order_planned",
        actor=look.actor,
        source=order.source,
        order_id=order.id,
        delivery_id=look.delivery_ids[0] if look.delivery_ids else None,
        reason=plan.reason,
        detail={"status": order.status, "state": plan.state, "actions": len(plan.actions), "changed": recorded.changed}
        | changes,
    )


def finish_deliveries(connection: Connection, look: Look, order: Order, *, duplicate: bool, now: datetime) -> None:
    """Note that a look has answered its deliveries, the first by what it came to and the others as duplicates."""
    order_rows.settle_reviews(connection, order.source, order.id, now=now)
    first, rest = look.delivery_ids[:1], look.delivery_ids[1:]
    if first:
        order_rows.release_deliveries(
            connection, list(first), state=DeliveryState.PLANNED, duplicate=duplicate, now=now
        )
    if rest:
        order_rows.release_deliveries(connection, list(rest), state=DeliveryState.PLANNED, duplicate=True, now=now)


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
    mine = (orders.c.source == order.source, orders.c.order_id == order.id)
    row = connection.execute(select(orders).where(*mine)).one_or_none()
    cursor = connection.execute(select(cursors).where(cursors.c.source == order.source)).one_or_none()
    seen_at = look.fetched_at if row is None else row.first_seen_at
    order = as_kept(connection, order, row).order
    order, standing = placed(
        connection, order, first_seen_at=seen_at, rules=rules, now=look.fetched_at, replan=look.replan
    )
    existing = known_runs(connection, order.source, order.id)
    situation = situation_of(
        connection, order, row=row, cursor=cursor, look=look, configured_start_at=start_at, standing=standing
    )
    now = look.fetched_at
    situation, _ = _with_facts(connection, order, situation, existing, first_seen_at=seen_at, now=now)
    named = _named(connection, order, look, existing, situation)
    planned = with_owned_addresses(connection, named.order, accepted=look.accepted | named.places)
    return planner.plan(planned, offers, existing, situation)
