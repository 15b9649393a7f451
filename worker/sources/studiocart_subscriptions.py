"""Studiocart's subscriptions as ours: what their status means, until when they are paid, and which pay in instalments.

The vendor's record of a subscription carries no number of payments; the plan of its product does.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta

from worker.clients.reading import as_int, as_text
from worker.clients.studiocart import models as records
from worker.clients.studiocart.client import StudiocartClient
from worker.errors import NotFoundError
from worker.sources.subscription import Access, Invoice, Subscription
from worker.text.email_address import trimmed_email

ACCESS: dict[str, Access] = {
    "active": Access.LIVE,
    "paid": Access.LIVE,
    "trialing": Access.TRIAL,
    "pending-payment": Access.BEGINS,
    "pending": Access.BEGINS,
    "initiated": Access.BEGINS,
    "incomplete": Access.BEGINS,
    "failed": Access.BEGINS,
    "past_due": Access.PAST_DUE,
    "unpaid": Access.PAST_DUE,
    "uncollectible": Access.PAST_DUE,
    "paused": Access.PAUSED,
    "canceled": Access.CANCELED,
    "cancelled": Access.CANCELED,
    "refunded": Access.CANCELED,
    "completed": Access.EXPIRED,
    "expired": Access.EXPIRED,
}
"""What each status means for a subscription; any other is `UNKNOWN`. The vendor lists statuses for orders and
subscriptions together, and `expired` nowhere: it is read all the same."""
NEVER_BEGUN = frozenset(
    {
        *("failed", "canceled", "initiated", "incomplete", "pending-payment", "trialing"),
        *("pending", "unpaid", "past_due", "uncollectible", "paused"),
    }
)
"""Invoices that were never paid do not make the next one a renewal. One with nothing to pay is no exception: an
unfinished checkout is stored with a total of 0 where there is a trial or a full coupon."""
_NOT_PAID = NEVER_BEGUN | {"refunded"}
"""Invoices that pay for no period."""
_NUMBER_OF_PAYMENTS = ("installments", "sub_installments")
_CANCEL_DATES = ("cancel_date", "canceled_date", "cancel_at")
_END_DATES = ("end_date", "sub_end_date")
"""Fields that no document names; read where a site sends them."""
_PLANS_CACHED_FOR = timedelta(hours=1)


class SubscriptionReader:
    """Reads a site's records as subscriptions. Asks for the plan of a product once an hour at most."""

    def __init__(self, client: StudiocartClient, *, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._clock = clock
        self._plans: dict[int, tuple[datetime, tuple[records.Plan, ...]]] = {}

    def read(self, record: records.Subscription) -> Subscription:
        """Our subscription; its orders are asked for where the record leaves the invoices out. Raises `ApiError`."""
        if record.invoices is None:
            record = record.model_copy(update={"invoices": tuple(self._charges(record.id))})
        return to_subscription(record, installments=self._installments(record))

    def _charges(self, subscription_id: int) -> Iterator[records.Invoice]:
        for order in self._client.list_subscription_orders(subscription_id):
            yield records.Invoice(
                id=order.id,
                status=order.status,
                order_amount=order.order_amount,
                date=order.date,
                date_time=order.date_time,
            )

    def _installments(self, record: records.Subscription) -> int | None:
        counts = _numbers_of_payments(record)
        counts = counts or [plan.installments or 0 for plan in self._plans_of(record) if _is_of_plan(record, plan)]
        return counts[0] if counts and counts[0] > 0 else None

    def _plans_of(self, record: records.Subscription) -> tuple[records.Plan, ...]:
        product_id = as_int(record.product_id)
        if product_id is None or product_id < 1 or not record.payment_plan_id:
            return ()
        now = self._clock()
        asked_at, plans = self._plans.get(product_id, (None, ()))
        if asked_at is None or not timedelta() <= now - asked_at < _PLANS_CACHED_FOR:
            try:
                plans = self._client.retrieve_product(product_id).plans or ()
            except NotFoundError:  # sold no more: nobody can tell
                plans = ()
            self._plans[product_id] = (now, plans)
        return plans


def stated_installments(record: records.Subscription) -> int | None:
    """The number of payments that the record itself states, None where they go on or it states none."""
    return next((number for number in _numbers_of_payments(record) if number > 0), None)


def _numbers_of_payments(record: records.Subscription) -> list[int]:
    extra = record.model_extra or {}
    return [number for name in _NUMBER_OF_PAYMENTS if (number := as_int(extra.get(name))) is not None]


def _is_of_plan(record: records.Subscription, plan: records.Plan) -> bool:
    return plan.id is not None and plan.id == record.payment_plan_id


def to_subscription(record: records.Subscription, *, installments: int | None = None) -> Subscription:
    """Our subscription from Studiocart's record; `installments` is the number of payments of its plan, if fixed."""
    status = (record.status or "").strip()
    access = ACCESS.get(status, Access.UNKNOWN)
    paid = [invoice for invoice in record.invoices or () if (invoice.status or "") not in _NOT_PAID]
    if installments is not None:
        is_all_paid = sum(1 for invoice in paid if invoice.order_amount != 0) >= installments
        if status == "completed" or (is_all_paid and access is not Access.UNKNOWN):
            access = Access.COMPLETE
    extra = record.model_extra or {}
    return Subscription(
        source="studiocart",
        id=str(record.id),
        status=status,
        access=access,
        product_id=(record.product_id or "").strip() or None,
        plan_id=record.payment_plan_id or None,
        product_name=" ".join((record.product_name or "").split()),
        buyer_email=trimmed_email(record.customer_email),
        invoices=_invoices(record),
        installments=installments,
        next_bill_on=_first_day([record.next_bill_date, record.next_bill_date_time]),
        canceled_on=_first_day(as_text(extra.get(name)) for name in _CANCEL_DATES),
        period_ends_on=_first_day(as_text(extra.get(name)) for name in _END_DATES) or _paid_until(record, paid),
    )


def _invoices(record: records.Subscription) -> tuple[Invoice, ...] | None:
    if record.invoices is None:
        return None
    begun = [invoice.id for invoice in record.invoices if invoice.id is not None and invoice.status not in NEVER_BEGUN]
    first_id = min(begun, default=None)
    return tuple(
        Invoice(
            order_id=str(invoice.id),
            status=invoice.status or "",
            is_begun=invoice.status not in NEVER_BEGUN,
            is_free_trial=invoice.status == "trialing"
            or (invoice.order_amount == 0 and bool(record.trial_days) and invoice.id == first_id),
        )
        for invoice in record.invoices
        if invoice.id is not None
    )


def _paid_until(record: records.Subscription, paid: list[records.Invoice]) -> date | None:
    """The end of the period that the last payment was for, or of the trial; else the day of the next bill."""
    began_on = _first_day([record.date, record.date_time])
    trial_ends_on = _later(began_on, "day", record.trial_days) if record.trial_days else None
    days = [_first_day([invoice.date, invoice.date_time]) for invoice in paid if invoice.order_amount != 0]
    paid_on = max((day for day in days if day is not None), default=None)
    if paid_on is not None and (trial_ends_on is None or paid_on >= trial_ends_on):
        ends_on = _later(paid_on, record.interval, record.frequency or 1)
    else:
        ends_on = trial_ends_on
    return ends_on or _first_day([record.next_bill_date, record.next_bill_date_time])


def _later(day: date | None, interval: str | None, count: int | None) -> date | None:
    """A day so many intervals later; None where that cannot be told."""
    if day is None or count is None or not 0 < count < 1000:
        return None
    unit = (interval or "").strip().casefold().removesuffix("s")
    try:
        if unit in {"day", "week"}:
            return day + timedelta(days=count * (7 if unit == "week" else 1))
        if unit in {"month", "year"}:
            months = day.year * 12 + day.month - 1 + count * (12 if unit == "year" else 1)
            year, month = months // 12, months % 12 + 1
            return date(year, month, min(day.day, monthrange(year, month)[1]))
    except (ValueError, OverflowError):  # past the year 9999
        pass
    return None


def _first_day(texts: Iterable[str | None]) -> date | None:
    """The first of these that begins with a day of the calendar."""
    for text in texts:
        try:
            return date.fromisoformat((text or "")[:10])
        except ValueError:
            continue
    return None
