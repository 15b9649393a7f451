"""What an order is to its subscription, and how that stands: the facts of a subscription that planning works with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection

from worker.ledger.clock import is_ahead, is_older
from worker.ledger.learners.tombstones import tombstones_by_key
from worker.ledger.orders import order_rows, subscription_rows
from worker.ledger.orders.subscription_rows import RecordedSubscription
from worker.ledger.states import RunState
from worker.reasons import Reason
from worker.sources.order import Order, Payment, email_key
from worker.sources.subscription import Access, Subscription
from workflows.planning.model import ENROLMENT, Ended, Role, Standing
from workflows.recording.earlier_payments import earlier_payments, is_unserved
from workflows.recording.known_runs import known_runs
from workflows.recording.source_start import note_contact

LISTED_WITHIN = timedelta(minutes=30)
"""A renewal may be seen before its subscription lists it. For so long an order that may be one waits for that."""
SOURCES = frozenset({"studiocart"})
"""The sources that know subscriptions."""

_REASONS: dict[str, Reason] = {
    Access.PAUSED: Reason.SUBSCRIPTION_PAUSED,
    Access.PAST_DUE: Reason.SUBSCRIPTION_PAST_DUE,
    Access.CANCELED: Reason.SUBSCRIPTION_CANCELED,
    Access.EXPIRED: Reason.SUBSCRIPTION_EXPIRED,
    Access.UNKNOWN: Reason.UNKNOWN_STATUS,
}
_OVER = frozenset({Access.COMPLETE, Access.CANCELED, Access.EXPIRED})
"""What renews no more."""


@dataclass(frozen=True)
class SubscriptionRules:
    """The settings that subscriptions are taken by."""

    ends: Literal["review", "note"] = "review"
    """What the end of one means for access that was given: a question to a person, or a line of the order's history."""
    trials: Literal["wait", "grant"] = "wait"
    """Whether a trial gives access, or its first payment does."""


DEFAULT_RULES = SubscriptionRules()


def record_subscription(
    connection: Connection,
    subscription: Subscription,
    rules: SubscriptionRules,
    *,
    fetched_at: datetime,
    now: datetime,
    polled: bool = False,
) -> bool:
    """Keep a subscription as read, inside the caller's transaction; True if its content was new to the ledger.

    Safe to repeat, and safe to do twice at once: its row is locked. Older news changes nothing. Its orders are planned
    by it afterwards, see `workflows.ingest.subscription_polling`. Take it before any order's lock: that is the order
    everywhere.
    """
    row, created = subscription_rows.lock_subscription(connection, subscription, fetched_at=fetched_at, now=now)
    read = subscription_rows.content_hash(subscription)
    subscription = _without_erased_buyer(connection, subscription)
    if subscription.is_partial and not created:
        subscription = stored(row).model_copy(update={"status": subscription.status, "access": subscription.access})
    elif subscription.invoices is None and not created:
        subscription = subscription.model_copy(update={"invoices": stored(row).invoices})
    hashed = subscription_rows.content_hash(subscription)
    changed = bool(row.content_hash != hashed)
    if changed and not created and is_older(fetched_at, row.fetched_at, now=now):
        return False
    values: dict[str, Any] = {
        "fetched_at": fetched_at if is_ahead(row.fetched_at, now) else max(fetched_at, row.fetched_at)
    }
    if polled:
        values["polled_hash"] = read
    elif changed:
        values["polled_hash"] = None  # what a poll saw last is not what is recorded: seen again, it is news
    if changed:
        subscription_rows.write_content(connection, subscription, hashed=hashed, now=now)
        values |= _progress(connection, row, subscription, rules, now)
        if not subscription.buyer_email:
            values["buyer_email_key"] = row.buyer_email_key
    subscription_rows.update_subscription(connection, subscription.source, subscription.id, **values)
    return changed


def _without_erased_buyer(connection: Connection, subscription: Subscription) -> Subscription:
    """A subscription without its buyer, where they were forgotten after it began."""
    key = email_key(subscription.buyer_email)
    found = tombstones_by_key(connection, [key]).get(key, ()) if key else ()
    if any(each.is_older_record(subscription.source, subscription.id) for each in found):
        return subscription.model_copy(update={"buyer_email": ""})
    return subscription


def _progress(
    connection: Connection,
    row: RecordedSubscription,
    subscription: Subscription,
    rules: SubscriptionRules,
    now: datetime,
) -> dict[str, Any]:
    """What follows from a subscription's new record, given what was known before."""
    values: dict[str, Any] = {"initial_order_id": _purchase(connection, subscription, row.initial_order_id, rules)}
    access = subscription.access
    if access is Access.BEGINS and row.live_at is not None:
        access = Access.PAST_DUE  # a trial, or a payment, that came to nothing
    if access in {Access.LIVE, Access.TRIAL, Access.COMPLETE}:
        values["live_at"] = row.live_at or now
        if row.ended_reason is not None:
            values |= {"ended_reason": None, "resumed_at": now}
    elif subscription.status and (reason := _REASONS.get(access)) is not None and reason != row.ended_reason:
        values |= {"ended_reason": reason, "ended_at": now}
    return values


def is_unlisted(subscription: Subscription) -> bool:
    """Whether a subscription has a status that nobody has ruled on. One that shows none has no such status."""
    return subscription.access is Access.UNKNOWN and subscription.status != ""


def initial_order(subscription: Subscription, chosen: str | None, rules: SubscriptionRules) -> str | None:
    """The order that is the purchase itself: the first that was begun, or the trial's where a trial gives access.

    None while there is none. What was `chosen` before stays as long as it still counts: another choice would give
    access a second time.
    """
    begun = {
        invoice.order_id
        for invoice in subscription.invoices or ()
        if (invoice.is_begun and not invoice.is_free_trial) or (invoice.is_free_trial and rules.trials == "grant")
    }
    counts = chosen is not None and (invoice := subscription.invoice_of(chosen)) is not None
    if counts and invoice is not None and (invoice.is_begun or invoice.is_free_trial):
        return chosen
    return min(begun, key=int, default=None)


def _purchase(
    connection: Connection, subscription: Subscription, chosen: str | None, rules: SubscriptionRules
) -> str | None:
    """As `initial_order`, past an order whose payment was for other lines than the one that begins the trial.

    The subscription's record does not tell it from a purchase: the order's own does. One whose access was given is the
    purchase, whatever is paid later for an earlier one.
    """
    found = initial_order(subscription, chosen, rules)
    order = None if found is None else order_rows.load_order(connection, subscription.source, found)
    if order is None or not begins_trial(connection, order, rules):
        return found
    others = [invoice for invoice in subscription.invoices or () if invoice.order_id != found]
    begun = {invoice.order_id for invoice in others if invoice.is_begun and not invoice.is_free_trial}
    gave = begun.intersection(subscription_rows.orders_with_access(connection, subscription.source, subscription.id))
    return min(gave or begun, key=int, default=None)


def begins_trial(connection: Connection, order: Order, rules: SubscriptionRules) -> bool:
    """Whether lines of an order wait for the first payment: they begin a trial, and no run of theirs was planned."""
    if rules.trials != "wait" or not order.trial_lines or order.payment is not Payment.PAID:
        return False
    bought = {line.id for line in order.lines}.difference(order.trial_lines)
    return not any(
        run.line_id not in bought  # under whatever id it was planned
        and run.workflow == ENROLMENT
        and not run.is_placeholder
        and run.state is not RunState.CANCELLED
        for run in known_runs(connection, order.source, order.id)
    )


def stored(row: RecordedSubscription) -> Subscription:
    """The subscription as the ledger keeps it: without its buyer's address."""
    return Subscription.model_validate(row.document)


def has_no_subscription(order: Order) -> bool:
    """Whether neither the order's own record nor what was read beside it says that it has one."""
    is_stated = order.recurring or order.trial or bool(order.trial_lines) or order.subscription_payment is not None
    return order.subscription_id is None and order.subscription is None and not is_stated


def standing_of(
    connection: Connection, order: Order, *, first_seen_at: datetime, rules: SubscriptionRules, now: datetime
) -> Standing | None:
    """What an order is to its subscription; None where it has none, as far as the ledger knows."""
    if order.source not in SOURCES:
        return None
    row = subscription_rows.subscription_of(connection, order.source, order.id)
    if row is None and order.subscription_id is not None:
        row = subscription_rows.row_of(connection, order.source, order.subscription_id)
    if row is None and order.subscription is not None:
        found = _read_beside(connection, order, order.subscription, rules)
    elif row is None:
        found = None
    else:
        found = _by_row(connection, order, row, rules)
    return found or _by_itself(connection, order, first_seen_at=first_seen_at, rules=rules, now=now)


def _by_row(
    connection: Connection, order: Order, row: RecordedSubscription, rules: SubscriptionRules
) -> Standing | None:
    subscription = stored(row)
    initial_order_id = row.initial_order_id or _purchase(connection, subscription, None, rules)
    if initial_order_id is not None and initial_order_id != order.id:
        initial_order_id = _purchase(connection, subscription, initial_order_id, rules)
    is_trial = begins_trial(connection, order, rules)
    if initial_order_id == order.id and is_trial:
        initial_order_id = None
    if (role := _role(order, subscription, initial_order_id, rules, begins_trial=is_trial)) is None:
        return None
    return Standing(
        role=role,
        subscription_id=subscription.id,
        is_instalment=subscription.is_instalment_plan,
        is_judged=row.ended_reason is not None or row.live_at is not None,
        is_unlisted=is_unlisted(subscription),
        ended=_ended(connection, order, row, subscription)
        if rules.ends == "review" or row.ended_reason == Reason.UNKNOWN_STATUS
        else None,
        is_of_trial_lines=is_trial,
        resumed=_resumed(row),
        earlier=earlier_payments(connection, order, row.subscription_id, initial_order_id),
        is_unserved=is_unserved(connection, order, row.subscription_id, initial_order_id),
    )


def _read_beside(
    connection: Connection, order: Order, subscription: Subscription, rules: SubscriptionRules
) -> Standing | None:
    """By a subscription that was read beside the order and is not kept: what is planned is a preview."""
    chosen = subscription_rows.initial_order_of(connection, order.source, subscription.id)
    is_trial = begins_trial(connection, order, rules)
    initial_order_id = _purchase(connection, subscription, chosen, rules)
    if initial_order_id == order.id and is_trial:
        initial_order_id = None
    role = _role(order, subscription, initial_order_id, rules, begins_trial=is_trial)
    if role is None:
        return None
    return Standing(
        role,
        subscription.id,
        is_instalment=subscription.is_instalment_plan,
        is_unlisted=is_unlisted(subscription),
        is_of_trial_lines=is_trial,
    )


def _role(
    order: Order,
    subscription: Subscription,
    initial_order_id: str | None,
    rules: SubscriptionRules,
    *,
    begins_trial: bool,
) -> Role | None:
    """What the order is by its subscription's record; None where that does not list it and knows no purchase."""
    invoice = subscription.invoice_of(order.id)
    if order.id == initial_order_id:
        return Role.FIRST
    if begins_trial or (invoice is not None and invoice.is_free_trial):
        return Role.TRIAL if initial_order_id is None else Role.TRIAL_OVER
    if initial_order_id is not None:
        return Role.LATER
    if order.trial and rules.trials == "wait":
        return Role.TRIAL  # the record was read before the checkout ended
    return None if invoice is None and order.payment is Payment.PAID else Role.FIRST


def _by_itself(
    connection: Connection, order: Order, *, first_seen_at: datetime, rules: SubscriptionRules, now: datetime
) -> Standing | None:
    """What the order's own record says, where no subscription's does. One that names none and states none has none."""
    if order.payment is not Payment.PAID or not (order.recurring or order.subscription_payment):
        return None
    if begins_trial(connection, order, rules):
        return Standing(Role.TRIAL, order.subscription_id, is_of_trial_lines=True)
    if order.trial and rules.trials == "wait":
        return Standing(Role.TRIAL, order.subscription_id)
    if order.subscription_payment is not None:
        is_first = order.subscription_payment == "first" or _ends_a_trial(connection, order, rules)
        return Standing(Role.FIRST if is_first else Role.LATER, order.subscription_id)
    until = first_seen_at + LISTED_WITHIN
    return Standing(
        role=Role.AWAITED if now < until else Role.UNLISTED,
        is_instalment=_may_be_instalment(connection, order),
        awaited_until=until,
    )


def _ends_a_trial(connection: Connection, order: Order, rules: SubscriptionRules) -> bool:
    """Whether all that was paid before for its subscription are trials, which gave no access."""
    if order.subscription_id is None or rules.trials != "wait":
        return False
    ids = subscription_rows.orders_of(connection, order.source, order.subscription_id)
    found = [order_rows.load_order(connection, order.source, each) for each in ids if int(each) < int(order.id)]
    before = [each for each in found if each is not None and each.payment in {Payment.PAID, Payment.REFUNDED}]
    return bool(before) and all(each.trial or begins_trial(connection, each, rules) for each in before)


def _may_be_instalment(connection: Connection, order: Order) -> bool:
    """Whether its subscription may be paid in instalments: a later one gives no access a second time."""
    product = order.lines[0].product if order.lines else None
    if product is None or product.product_id is None or not order.buyer_email:
        return True
    rows = subscription_rows.subscriptions_of_buyer(connection, order.source, order.buyer_email, product.product_id)
    candidates = [found for found in map(stored, rows) if _may_renew(order, product.plan_id, found)]
    return not candidates or any(found.is_instalment_plan for found in candidates)


def _may_renew(order: Order, plan_id: str | None, subscription: Subscription) -> bool:
    if subscription.access in _OVER or (
        None not in {plan_id, subscription.plan_id} and plan_id != subscription.plan_id
    ):
        return False
    return any(int(invoice.order_id) < int(order.id) for invoice in subscription.invoices or ())


def _resumed(row: RecordedSubscription) -> tuple[datetime, datetime] | None:
    """When it last ended and went on; None where it did not, or has ended since."""
    if row.ended_reason is not None or row.ended_at is None or row.resumed_at is None:
        return None
    return row.ended_at, row.resumed_at


def _ended(connection: Connection, order: Order, row: RecordedSubscription, subscription: Subscription) -> Ended | None:
    """The end, if this order is the one whose access it is about: the latest that gave any."""
    if row.ended_reason is None or row.ended_at is None:
        return None
    gave = subscription_rows.orders_with_access(connection, row.source, row.subscription_id)
    if max(gave, key=int, default=None) != order.id:
        return None
    return Ended(Reason(row.ended_reason), row.ended_at, ending_note(subscription))


def ending_note(subscription: Subscription) -> str:
    """Which subscription ended, and when the access that was paid for does."""
    day = subscription.period_ends_on
    until = f"access is paid for until {day}" if day is not None else "no date is told until which access is paid for"
    return f"subscription {subscription.id} is {subscription.status}; {until}"


def placed(
    connection: Connection,
    order: Order,
    *,
    first_seen_at: datetime,
    rules: SubscriptionRules,
    now: datetime,
    replan: bool = False,
) -> tuple[Order, Standing | None]:
    """The order with what the ledger knows of its subscription, and how that stands.

    With `replan`, an order that no subscription lists is the purchase that the operator takes it for, and one whose
    subscription has a status that nobody has ruled on is planned as it stands: he has looked.
    """
    standing = standing_of(connection, order, first_seen_at=first_seen_at, rules=rules, now=now)
    if standing is not None and standing.role in {Role.AWAITED, Role.UNLISTED}:
        return order, None if replan else standing
    if standing is None:
        return order, None
    annotation: dict[str, Any] = {"renewal": standing.role is Role.LATER}
    if standing.subscription_id is not None:
        annotation["subscription_id"] = standing.subscription_id
    standing = replace(standing, is_unlisted=standing.is_unlisted and not replan, is_looked_at=replan)
    return order.model_copy(update=annotation), standing


def keep_subscriptions(
    connection: Connection,
    orders: Iterable[Order],
    rules: SubscriptionRules,
    *,
    fetched_at: datetime,
    now: datetime,
    start_at: datetime | None,
) -> None:
    """Keep the subscriptions that were read beside orders, and which one an order names itself.

    Before any order is locked, as `record_subscription`.
    """
    orders = list(orders)
    shown = {order.subscription.id: order.subscription for order in orders if order.subscription is not None}
    named = sorted((each.source, each.id, each.subscription_id) for each in orders if each.subscription_id is not None)
    for source in sorted({subscription.source for subscription in shown.values()} | {each[0] for each in named}):
        # A poll holds its source's cursor when it comes here: so does everybody, and nobody waits crosswise.
        note_contact(connection, source, now=now, start_at=start_at)
    for _, subscription in sorted(shown.items()):
        record_subscription(connection, subscription, rules, fetched_at=fetched_at, now=now)
    for source, order_id, subscription_id in named:
        subscription_rows.add_order(connection, source, order_id=order_id, subscription_id=subscription_id)
