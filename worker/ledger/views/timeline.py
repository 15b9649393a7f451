"""Rows of the ledger in plain words: one line each for the timeline of `cartbridge why`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from worker.advice import advice
from worker.formatting import minute, plain_error
from worker.ledger.orders.operator_entries import NoteItem
from worker.ledger.orders.subscription_rows import subscription_of
from worker.ledger.states import DeliveryState, OrderState, Outcome, Via
from worker.ledger.views.records import DeliveryItem, OrderItem, RunItem
from worker.sources.order import Payment
from worker.sources.subscription import Access, Subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineLine:
    """One line of a story: of an order (`SOURCE/ORDER`), of a run, or of both."""

    at: datetime
    text: str
    tone: str
    """`good`, `wait`, `bad` or `plain`."""
    order: str | None
    run_id: str | None


_ARRIVALS = {
    Via.WEBHOOK: "A webhook told of order {order}",
    Via.POLL: "A poll found order {order}",
    Via.MANUAL: "{actor} asked for order {order} by name",
    Via.RECONCILE: "A reconciliation looked at order {order}",
}
_ORDER_STATES = {
    OrderState.WAITING: "not paid yet, it waits for news",
    OrderState.PLANNED: "paid, every seat is planned",
    OrderState.IGNORED: "nothing to do",
    OrderState.CANCELLED: "nothing more is given",
    OrderState.REVIEW: "needs a person",
}
_OUTCOMES = {
    Outcome.OK: ("done", "plain"),
    Outcome.ADOPTED: ("found, it had been made before", "good"),
    Outcome.RETRYABLE: ("did not work, it is tried again", "wait"),
    Outcome.UNKNOWN: ("no clear answer, it may have been carried out", "wait"),
    Outcome.FINAL: ("refused", "bad"),
    Outcome.ABSENT: ("not there, so nothing had been made", "plain"),
}
_EVENTS = {
    "run_planned": ("planned", "plain"),
    "run_pending": ("goes on", "plain"),
    "run_running": ("is worked on", "plain"),
    "run_waiting": ("waits", "wait"),
    "run_succeeded": ("access was given", "good"),
    "run_failed": ("failed", "bad"),
    "run_review": ("needs a person", "bad"),
    "run_cancelled": ("cancelled", "plain"),
    "run_recovered": ("was taken over from a worker that vanished", "wait"),
    "run_replayed": ("replayed", "plain"),
    "run_repeated": ("repeated on purpose", "plain"),
    "run_resolved": ("done by hand", "good"),
    "run_reopened": ("reopened, and in review", "bad"),
    "cancel_requested": ("to be cancelled, once it is known that nothing was made", "wait"),
    "cancel_withdrawn": ("is no longer to be cancelled", "plain"),
    "learner_changed": ("follows a change of the learner at the source", "plain"),
    "grant_changed": ("follows a change of the offer", "plain"),
    "late_answer": ("an answer came after another worker had taken over", "wait"),
}
_STEPS = {
    "add_customer": "customer in LearningCart",
    "add_customer_to_group": "membership of the group",
    "add_comped_order": "comped order",
    "create_cart": "cart in 3dcart",
    "add_cart_item": "item in the cart",
    "check_cart": "check of the cart",
    "tell": "news of the cart",
}
_ASKED = {"add_cart_item": "3dcart was asked for the "}


def person(actor: str) -> str:
    """An actor for people: `operator:ann` is `ann`."""
    return {"engine": "Cartbridge", "source": "the source"}.get(actor, actor.removeprefix("operator:"))


def run_label(run: RunItem | Row[Any]) -> str:
    """What a run gives, for people: the product, its price, and the seat unless it is the buyer's."""
    label = run.title or run.line_id
    price = (run.grant or {}).get("price_id")
    price_text = f" (price {price})" if price is not None else ""
    seat = "" if run.seat_id in {"buyer", "-"} else f", {run.seat_id}"
    return f"{label}{price_text}{seat}"


def order_line(order: OrderItem) -> TimelineLine:
    """How an order began."""
    name = f"{order.source}/{order.order_id}"
    buyer = order.buyer_name or order.buyer_email or "somebody"
    return _line(order.created_at or order.first_seen_at, f"Order {name} was placed by {buyer}.", order=name)


def delivery_lines(deliveries: list[DeliveryItem]) -> Iterator[TimelineLine]:
    """An order's deliveries, oldest first; those that told nothing new are one line."""
    repeated = [delivery for delivery in deliveries if delivery.duplicate and delivery.state == DeliveryState.PLANNED]
    for delivery in reversed(deliveries):
        if delivery in repeated:
            continue
        name = f"{delivery.source}/{delivery.order_id}"
        text = _ARRIVALS[Via(delivery.via)].format(order=name, actor=person(delivery.actor))
        text, tone = _arrived(delivery, text)
        yield _line(delivery.received_at, text, tone, order=name)
    if repeated:
        latest = repeated[0]
        name = f"{latest.source}/{latest.order_id}"
        counts = Counter(delivery.via for delivery in repeated)
        ways = ", ".join(f"{count} × {via}" for via, count in sorted(counts.items()))
        yield _line(
            latest.received_at,
            f"Order {name} arrived again with nothing new ({ways}); refused as duplicates.",
            order=name,
        )


def _arrived(delivery: DeliveryItem, text: str) -> tuple[str, str]:
    note = f" ({plain_error(delivery.note)})" if delivery.note else ""
    if delivery.state == DeliveryState.WAITING:
        return f"{text}; not read yet{note}. Next try {minute(delivery.next_attempt_at)}.", "wait"
    if delivery.state == DeliveryState.RECEIVED:
        return f"{text}; not read yet.", "wait"
    if delivery.state == DeliveryState.REVIEW:
        return f"{text}; it could not be read{note}.", "bad"
    return f"{text}.", "plain"


def note_line(note: NoteItem) -> TimelineLine:
    """What an operator wrote about an order."""
    order = f"{note.source}/{note.order_id}"
    return _line(note.at, f"{person(note.actor)} noted on {order}: {' '.join(note.text.split())}", order=order)


def attempt_line(row: Row[Any], run: RunItem) -> TimelineLine:
    """One try of a call or lookup."""
    kind = row.step.rstrip("0123456789").rstrip("_")
    what = _STEPS.get(kind, kind.replace("_", " "))
    verb = _ASKED.get(kind, "LearningCart was asked for the ") if row.kind == "lookup" else ""
    outcome, tone = _OUTCOMES[Outcome(row.outcome)] if row.outcome else ("sent, no answer yet", "wait")
    if row.kind == "death":
        outcome, tone = "the worker vanished before the call", "wait"
    error = f" ({plain_error(row.error)})" if row.error else ""
    return _run_line(row.finished_at or row.started_at, run, f"{verb}{what}: {outcome}{error}.", tone)


def event_line(row: Row[Any], run: RunItem | None) -> TimelineLine:
    """One line of the audit trail."""
    if run is None:
        return _order_event(row)
    words, tone = _EVENTS.get(row.kind, (row.kind.replace("_", " "), "plain"))
    detail = row.detail or {}
    if row.kind == "run_planned" and row.reason is not None:
        words, tone = _EVENTS["run_review"]
    if row.kind == "run_succeeded" and run.workflow != "enrolment":
        words = "done"
    if row.kind == "run_succeeded" and run.order_id is not None and detail.get("result_id"):
        found = "found" if detail.get("outcome") == Outcome.ADOPTED else "made"
        words = f"{words}, LearningCart order {detail['result_id']} was {found}"
    if row.actor.startswith("operator:") and row.kind != "run_planned":
        words = f"{words} by {person(row.actor)}"
    return _run_line(row.at, run, f"{words}{_because(row)}", tone)


def _because(row: Row[Any]) -> str:
    """The reason: a code's sentence, or what the operator wrote."""
    if not row.reason:
        return "."
    found = advice(row.reason)
    return f": {found.sentence}" if found is not None else f": {row.reason}"


def _order_event(row: Row[Any]) -> TimelineLine:
    name = f"{row.source}/{row.order_id}"
    detail = row.detail or {}
    state = str(detail.get("state", ""))
    if row.kind == "order_ingested":
        return _line(row.at, f"{person(row.actor)} asked for order {name}{_because(row)}", order=name)
    if row.kind != "order_planned" or state not in set(OrderState):
        return _line(row.at, f"Order {name}: {row.kind.replace('_', ' ')}{_because(row)}", order=name)
    found = advice(row.reason)
    sentence = f" {found.sentence}" if found is not None and state != OrderState.WAITING else ""
    status = f"status {detail.get('status')!r}: " if detail.get("status") else ""
    came_to = _ORDER_STATES[OrderState(state)]
    if state == OrderState.PLANNED and detail.get("payment") == Payment.WAITING:
        came_to = "not paid any more, what was given stays"
    tone = {OrderState.WAITING: "wait", OrderState.REVIEW: "bad"}.get(OrderState(state), "plain")
    return _line(
        row.at,
        f"Order {name} was planned: {status}{came_to}.{sentence}",
        tone,
        order=name,
    )


def _run_line(at: datetime, run: RunItem, text: str, tone: str) -> TimelineLine:
    order = f"{run.source}/{run.order_id}" if run.order_id is not None else None
    return _line(at, f"{run_label(run)}: {text}", tone, order=order, run_id=run.id)


def _line(
    at: datetime, text: str, tone: str = "plain", *, order: str | None = None, run_id: str | None = None
) -> TimelineLine:
    return TimelineLine(at=at, text=text, tone=tone, order=order, run_id=run_id)


def subscription_line(connection: Connection, source: str, order_id: str) -> str | None:
    """`Payment 2 of 3 of subscription 1108 (active, next bill 2026-04-10).`; None for an order that none lists.

    Holds no personal data.
    """
    row = subscription_of(connection, source, order_id)
    if row is None:
        return None
    subscription = Subscription.model_validate(row.document)
    begun = sorted(int(each.order_id) for each in subscription.invoices or () if each.is_begun)
    number = begun.index(int(order_id)) + 1 if int(order_id) in begun else None
    if number is None:
        payment = "A payment"
    elif subscription.installments is None:
        payments = "payment" if len(begun) == 1 else "payments"
        payment = f"{'First' if number == 1 else f'Number {number}'} of {len(begun)} {payments}"
    else:
        payment = f"Payment {number} of {subscription.installments}"
    stands = [subscription.status or "no status"]
    if subscription.access in {Access.LIVE, Access.TRIAL}:
        stands += [f"next bill {subscription.next_bill_on}"] if subscription.next_bill_on is not None else []
    elif subscription.access is not Access.COMPLETE and subscription.period_ends_on is not None:
        stands.append(f"paid until {subscription.period_ends_on}")
    return f"{payment} of subscription {subscription.id} ({', '.join(stands)})."
