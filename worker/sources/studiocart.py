"""Studiocart's orders as ours, and the walks that find new and changed ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final, Literal, TypeVar

from worker.clients.reading import as_datetime, as_int, as_text
from worker.clients.studiocart import models as records
from worker.clients.studiocart.client import StudiocartClient
from worker.clients.unreadable import UnreadableRow
from worker.errors import ApiError, NotFoundError
from worker.sources.order import Money, Order, Payment, trimmed_email
from worker.sources.source import (
    Page,
    SubscriptionFoundError,
    SubscriptionPage,
    Unreadable,
    Until,
    Walk,
    order_number,
    page_of,
    unreadable,
)
from worker.sources.studiocart_bodies import (
    is_subscription_record,
    read_body,
    stated_payment,
    states_money,
    states_refund,
)
from worker.sources.studiocart_lines import has_trial, lines_of, plain_text, trial_lines_of
from worker.sources.studiocart_subscriptions import (
    NEVER_BEGUN,
    SubscriptionReader,
    stated_installments,
    to_subscription,
)
from worker.sources.subscription import Subscription

log = logging.getLogger(__name__)

_R = TypeVar("_R")

PAGE_SIZE: Final = 100
_DAY_MARGIN = timedelta(days=2)
"""The site's `date_after` may leave out the day it names, and reads it in a zone of its own."""

PAYMENTS: dict[str, Payment] = {
    "paid": Payment.PAID,
    "completed": Payment.PAID,
    "pending-payment": Payment.WAITING,
    "initiated": Payment.WAITING,
    "pending": Payment.WAITING,
    "incomplete": Payment.WAITING,
    "past_due": Payment.WAITING,
    "unpaid": Payment.WAITING,
    "uncollectible": Payment.WAITING,
    "paused": Payment.WAITING,
    "trialing": Payment.WAITING,
    "active": Payment.WAITING,
    "failed": Payment.CANCELLED,
    "canceled": Payment.CANCELLED,
    "refunded": Payment.REFUNDED,
}
"""What each of Studiocart's statuses means for provisioning; any other is `unknown_status`."""
_TRASH = "trash"
"""WordPress's own status of what was thrown away, where a record shows it. The vendor's own field stays as it was."""
_FEW_SUBSCRIPTIONS = 5
"""So many are asked for by their ids; more are looked for in the list first."""

Trials = Literal["wait", "grant"]


class StudiocartSource:
    """Orders of one Studiocart site, by its REST API. With `trials="grant"` the order that begins a trial is paid."""

    name = "studiocart"

    def __init__(self, client: StudiocartClient, *, clock: Callable[[], datetime], trials: Trials = "wait") -> None:
        self._client = client
        self._clock = clock
        self._trials: Trials = trials
        self._subscriptions = SubscriptionReader(client, clock=clock)

    def fetch(self, order_id: str) -> Order:
        """One order as it is now; `NotFoundError` if the site does not know it, as an order or as a subscription."""
        record = self._client.retrieve_order(order_number(self.name, order_id))
        whole = record.model_dump(mode="json", exclude_unset=True)
        if is_subscription_record(whole):
            raise self._found(self._subscriptions.read(records.Subscription.model_validate(whole)))
        return to_order(record, trials=self._trials)

    def from_body(self, body: dict[str, Any]) -> Order:
        """An order from a webhook's body; a trigger says which payment of its subscription it is."""
        record = read_body(body)
        if isinstance(record, records.Subscription):
            found = to_subscription(record, installments=stated_installments(record))
            raise self._found(found.model_copy(update={"is_partial": record.invoices is None}))
        order = to_order(record, trials=self._trials)
        if order.payment is Payment.PAID and self._trials == "wait" and not states_money(record):
            # It may begin a trial. Only the site can tell: until it does, nothing shows that anything was paid.
            order = order.model_copy(update={"payment": Payment.WAITING, "payment_unproven": True})
        payment = stated_payment(body)
        if payment != "later" and not order.recurring:
            payment = None
        return order.model_copy(update={"subscription_payment": payment})

    def _found(self, subscription: Subscription) -> SubscriptionFoundError:
        message = f"{subscription.id} is a subscription, not an order"
        return SubscriptionFoundError(message, subscription=subscription, system=self.name, operation="fetch")

    def reread(self, record: Mapping[str, Any]) -> Order | None:
        """An order from the record that was kept of it; None for a subscription that was taken for one."""
        return self._order_of(records.Order.model_validate(record))

    def annotate(self, orders: Sequence[Order]) -> list[Order]:
        """Tell renewals from first payments, by the invoices of the site's subscriptions.

        An order says itself whether it belongs to one; in older versions, which show no subscription's id, only the
        lists of the most recently changed ones tell. What cannot be told now is left out: no order waits here.
        """
        missing = {order.id: order for order in orders if order.recurring or "subscription_id" not in order.raw}
        named = list(dict.fromkeys(each.subscription_id for each in missing.values() if each.subscription_id))
        found: dict[str, dict[str, Any]] = {}
        if len(named) <= _FEW_SUBSCRIPTIONS:
            self._take(self._retrieve_subscriptions(named), missing, found)
            named = []
        self._take(self._listed_subscriptions(missing), missing, found)
        left = [each for each in named if any(order.subscription_id == each for order in missing.values())]
        self._take(self._retrieve_subscriptions(left), missing, found)
        return [order.model_copy(update=found.get(order.id)) for order in orders]

    def _take(
        self, records_: Iterator[records.Subscription], missing: dict[str, Order], found: dict[str, dict[str, Any]]
    ) -> None:
        """Move what these subscriptions tell of the orders `missing` to `found`. No error of the site's is raised."""
        try:
            for subscription in records_ if missing else ():
                ids = {str(invoice.id): invoice.status for invoice in subscription.invoices or ()}
                subscription_id = str(subscription.id)
                about_it = [
                    each for each in missing.values() if each.id in ids or each.subscription_id == subscription_id
                ]
                read = self._subscriptions.read(subscription) if about_it else None
                begun = [int(each) for each, status in ids.items() if each.isdecimal() and status not in NEVER_BEGUN]
                for order in about_it:
                    is_renewal = bool(begun) and int(order.id) > min(begun)
                    annotation = {"renewal": is_renewal, "subscription_id": subscription_id, "subscription": read}
                    found[order.id] = annotation
                    del missing[order.id]
        except ApiError as error:
            log.warning("the subscriptions of Studiocart cannot be read, and orders that need them wait: %s", error)

    def _retrieve_subscriptions(self, ids: Sequence[str]) -> Iterator[records.Subscription]:
        for subscription_id in ids:
            try:
                yield self._client.retrieve_subscription(int(subscription_id))
            except NotFoundError:
                continue

    def _listed_subscriptions(self, missing: Mapping[str, Order]) -> Iterator[records.Subscription]:
        """The list's first page; all of it while an order that recurs is missing and names no subscription."""
        for number, subscription in enumerate(self._list_subscriptions() if missing else (), start=1):
            yield subscription
            is_deep = any(order.recurring and not order.subscription_id for order in missing.values())
            if not missing or (number >= PAGE_SIZE and not is_deep):
                return

    def subscription_pages(self) -> Iterator[SubscriptionPage]:
        """Pages of all subscriptions, most recently changed first. A site without the route has none."""
        pages = self._client.iter_subscription_pages(per_page=PAGE_SIZE, orderby="date_modified", order="desc")
        try:
            for page, fetched_at, problem in looked_behind(pages, self._clock):
                found = [self._read_subscription(row) for row in page]
                yield SubscriptionPage(
                    tuple(each for each in found if not isinstance(each, Unreadable)),
                    fetched_at,
                    tuple(each for each in found if isinstance(each, Unreadable)),
                    problem,
                )
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    def _read_subscription(self, row: records.Subscription | UnreadableRow) -> Subscription | Unreadable:
        if isinstance(row, UnreadableRow):
            return Unreadable.row(row)
        try:
            return self._subscriptions.read(row)
        except ApiError:
            raise
        except Exception as error:  # noqa: BLE001  (whatever the record does concerns it alone)
            return unreadable(row, error)

    def product_names(self) -> dict[str, str]:
        """The names of the site's products, by their ids."""
        named = ((str(product.id), " ".join((product.name or "").split())) for product in self._client.list_products())
        return {product_id: name for product_id, name in named if name}

    def _list_subscriptions(self) -> Iterator[records.Subscription]:
        """All subscriptions, most recently changed first. A site without the route has none."""
        try:
            yield from self._client.list_subscriptions(per_page=PAGE_SIZE, orderby="date_modified", order="desc")
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            log.warning("this Studiocart lists no subscriptions: renewals cannot be told from first payments")

    def walks(self, *, polled_at: datetime, highest_id: int) -> Iterator[Walk]:  # noqa: ARG002  (no filter takes them)
        """New orders by their ids; then new and changed ones from the top of the list by change.

        A poll so finds every version that stays in the list for the whole of it, as long as fewer orders than a page
        holds move to the top between two requests. What it may miss is left to the daily sweep: a row that slipped
        to an earlier page because others were deleted meanwhile, and one with a whole page above it of orders that
        were touched without a change.
        """
        yield Walk(self.walk_newest(), Until.KNOWN_ID)
        yield Walk(self.walk_changed(), Until.UNCHANGED, is_of_changes=True)

    def walk_newest(self) -> Iterator[Page]:
        """Pages of orders by id, highest first."""
        return self._walk(orderby="id", order="desc")

    def walk_changed(self) -> Iterator[Page]:
        """Pages of orders, most recently changed first. The record shows no modification time, only this order does."""
        return self._walk(orderby="date_modified", order="desc")

    def walk_since(self, since: datetime) -> Iterator[Page]:
        """Pages of the orders made since `since` or somewhat before: the site's filter knows days only."""
        return self._walk(orderby="id", order="desc", date_after=(since - _DAY_MARGIN).date().isoformat())

    def _walk(self, **filters: Any) -> Iterator[Page]:
        pages = self._client.iter_order_pages(per_page=PAGE_SIZE, **filters)
        for page, fetched_at, problem in looked_behind(pages, self._clock):
            yield replace(page_of(page, self._order_of, fetched_at=fetched_at), problem=problem)

    def _order_of(self, record: records.Order) -> Order | None:
        return to_order(record, trials=self._trials) if _is_order(record) else None


def _is_order(record: records.Order) -> bool:
    return not is_subscription_record(record.model_dump(mode="json", exclude_unset=True))


def to_order(record: records.Order, *, trials: Trials = "wait") -> Order:
    """Our order from Studiocart's record."""
    status = _status(record)
    payment = _payment(status, record, trials)
    subscription_id = _subscription_id(record)
    items = record.items or ()
    email = trimmed_email(record.customer_email)
    return Order(
        source="studiocart",
        id=str(record.id),
        status=status,
        payment=payment,
        payment_unproven=not status and payment is Payment.WAITING,
        created_at=_created_at(record),
        buyer_email=email,
        buyer_name=_name(record),
        total=_total(record),
        lines=lines_of(record),
        lines_known=record.items is not None,
        subscription_id=subscription_id,
        recurring=subscription_id is not None or any((item.sub_summary or "").strip() for item in items),
        trial=not record.order_amount and any(has_trial(item) for item in items),  # null shows no payment either
        trial_lines=trial_lines_of(record),
        incomplete=payment is Payment.PAID and not email and not items,
        raw=record.model_dump(mode="json", exclude_unset=True),
    )


def _status(record: records.Order) -> str:
    """The order's status; the record shows it under two names."""
    other = as_text((record.model_extra or {}).get("order_status"))
    return (record.status or "").strip() or (other or "").strip()


def _payment(status: str, record: records.Order, trials: Trials) -> Payment:
    """By the status alone: an unfinished checkout has a total of 0, too, where a trial or a full coupon is in it.

    None at all is none that nobody has ruled on: the order waits, and a person is asked a day later.
    """
    extra = record.model_extra or {}
    if _TRASH in {status, *(as_text(extra.get(name)) for name in ("order_status", "post_status"))}:
        return Payment.CANCELLED
    if not status:
        return Payment.WAITING
    payment = Payment.PAID if (status, trials) == ("trialing", "grant") else PAYMENTS.get(status, Payment.UNKNOWN)
    return Payment.REFUNDED if payment is Payment.PAID and states_refund(extra) else payment


def _subscription_id(record: records.Order) -> str | None:
    """The subscription an order names; it has 0 for none."""
    named = (record.subscription_id, *(item.subscription_id for item in record.items or ()))
    found = (as_int(each) for each in named)
    return next((str(each) for each in found if each is not None and each > 0), None)


def _created_at(record: records.Order) -> datetime | None:
    """`date_time` is naive UTC (vendor's sample: 08:14 there, 13:44 on the +05:30 site); `date` is the site's day."""
    for text in (record.date_time, record.date):
        if text and "/" not in text and (moment := as_datetime(text)) is not None:
            return moment
    return None


def _name(record: records.Order) -> str:
    parts = (plain_text(record.customer_firstname), plain_text(record.customer_lastname))
    return " ".join(part for part in parts if part) or plain_text(record.customer_name)


def _total(record: records.Order) -> Money | None:
    if record.order_amount is None or not record.currency:
        return None
    return Money(minor_units=record.order_amount, currency=record.currency.upper())


def looked_behind(
    pages: Iterator[Sequence[_R]], clock: Callable[[], datetime]
) -> Iterator[tuple[Sequence[_R], datetime, ApiError | None]]:
    """Yield each page, when it was asked for, and why nothing behind it can be read; that error is then raised.

    A site whose parameters are dropped on the way shows its newest ten orders and nothing else. Who has seen all ten
    before would stop there and never learn that the list does not go on. So behind a short first page the next is asked
    for at once.
    """

    def ask() -> tuple[Sequence[_R], datetime] | None:
        asked_at = clock()
        page = next(pages, None)
        return None if page is None else (page, asked_at)

    asked = ask()
    following = None
    if asked is not None and len(asked[0]) < PAGE_SIZE:
        problem: ApiError | None = None
        try:
            following = ask()
        except ApiError as error:
            problem = error
        yield *asked, problem
        if problem is not None:
            raise problem
        asked = following
    while asked is not None:
        yield *asked, None
        asked = ask()
