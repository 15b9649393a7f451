"""Studiocart's orders as ours, and the walks that find new and changed ones."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Any, Literal

from pydantic import ValidationError

from worker.clients import studiocart_models as records
from worker.clients.reading import as_datetime, id_of
from worker.clients.studiocart import StudiocartClient
from worker.clients.unreadable import UnreadableRow
from worker.errors import ApiError, NotFoundError, WebhookRejectedError
from worker.sources.order import (
    Learner,
    Line,
    Money,
    Order,
    Payment,
    Product,
    Seat,
    address_note,
    is_email,
    trimmed_email,
)
from worker.sources.source import Page, SubscriptionPage, Unreadable, Until, Walk, page_of, unreadable
from worker.sources.studiocart_subscriptions import NEVER_BEGUN, SubscriptionReader
from worker.sources.subscription import Subscription

log = logging.getLogger(__name__)

PAGE_SIZE = 100
_DAY_MARGIN = timedelta(days=2)
"""The site's `date_after` may leave out the day it names, and reads it in a zone of its own."""
LARGEST_QUANTITY = 1_000
"""More seats than this on one line is taken for a mistake and looked at by a person."""

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
_NOTHING_TO_PAY = frozenset({"pending-payment", "pending", "unpaid"})
"""Statuses that mean paid when the total is zero: the checkout is finished and there is nothing to pay."""

_QUANTITY = re.compile(r"[0-9]{1,9}")
_NOT_READABLE = re.compile(r"[^a-z0-9]+")
_SECRET_FIELD = "studiocart_secret"  # noqa: S105  (the name of a field, not its value)


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
        """One order as it is now; `NotFoundError` if the site does not know it."""
        number = id_of(order_id)
        if number is None:
            raise NotFoundError("its order ids are whole numbers", system=self.name, operation="fetch")
        return to_order(self._client.retrieve_order(number), trials=self._trials)

    def from_body(self, body: dict[str, Any]) -> Order:
        """An order from a webhook's body. Its amounts are decimals of another kind than the API's and are left out."""
        kept = {key: value for key, value in body.items() if key != _SECRET_FIELD}
        order_id = next((kept[name] for name in ("id", "order_id", "OrderID") if kept.get(name)), None)
        try:
            record = records.Order.model_validate(
                {key: value for key, value in kept.items() if not key.endswith("_amount")} | {"id": order_id}
            )
        except ValidationError:
            raise WebhookRejectedError("The body is not a Studiocart order.", status=422) from None
        return to_order(record, trials=self._trials)

    def annotate(self, orders: Sequence[Order]) -> list[Order]:
        """Tell renewals from first payments, by the invoices of the site's subscriptions.

        An order's record carries no subscription id (vendor). A renewal touches its subscription, so the most recently
        changed ones show it; only orders whose items say that they recur are looked for further down.
        """
        found = self._find_invoices({int(order.id): _looks_recurring(order) for order in orders})
        return [order.model_copy(update=found.get(int(order.id))) for order in orders]

    def _find_invoices(self, missing: dict[int, bool]) -> dict[int, dict[str, Any]]:
        """What subscriptions say of these order ids, each with whether it says itself that it recurs."""
        found: dict[int, dict[str, Any]] = {}
        for number, subscription in enumerate(self._list_subscriptions(), start=1):
            statuses = {invoice.id: invoice.status for invoice in subscription.invoices or [] if invoice.id is not None}
            begun = [invoice_id for invoice_id, status in statuses.items() if status not in NEVER_BEGUN]
            listed = missing.keys() & statuses.keys()
            read = self._subscriptions.read(subscription) if listed else None
            for order_id in listed:
                is_renewal = bool(begun) and order_id > min(begun)
                told = {"renewal": is_renewal, "subscription_id": str(subscription.id), "subscription": read}
                found[order_id] = told
                del missing[order_id]
            if not missing or (number >= PAGE_SIZE and not any(missing.values())):
                break
        return found

    def subscription_pages(self) -> Iterator[SubscriptionPage]:
        """Pages of all subscriptions, most recently changed first. A site without the route has none."""
        pages = self._client.iter_subscription_pages(per_page=PAGE_SIZE, orderby="date_modified", order="desc")
        while True:
            fetched_at = self._clock()
            try:
                page = next(pages, None)
            except ApiError as error:
                if error.status != HTTPStatus.NOT_FOUND:
                    raise
                return
            if page is None:
                return
            found = [self._read_subscription(row) for row in page]
            yield SubscriptionPage(
                tuple(each for each in found if not isinstance(each, Unreadable)),
                fetched_at,
                tuple(each for each in found if isinstance(each, Unreadable)),
            )

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
        while True:
            fetched_at = self._clock()
            page = next(pages, None)
            if page is None:
                return
            yield page_of(page, partial(to_order, trials=self._trials), fetched_at=fetched_at)


def _looks_recurring(order: Order) -> bool:
    """Whether an item names its price by the period ("$5.00 / month"), as the vendor's sample subscription does."""
    return any(item.get("sub_summary") for item in order.raw.get("items") or [] if isinstance(item, dict))


def to_order(record: records.Order, *, trials: Trials = "wait") -> Order:
    """Our order from Studiocart's record."""
    status = (record.status or "").strip()
    return Order(
        source="studiocart",
        id=str(record.id),
        status=status,
        payment=Payment.PAID if (status, trials) == ("trialing", "grant") else _payment(status, record),
        created_at=_created_at(record),
        buyer_email=trimmed_email(record.customer_email),
        buyer_name=_name(record),
        total=_total(record),
        lines=_lines(record),
        lines_known=record.items is not None,
        raw=record.model_dump(mode="json"),
    )


def _payment(status: str, record: records.Order) -> Payment:
    if status in _NOTHING_TO_PAY and record.order_amount == 0:
        return Payment.PAID
    return PAYMENTS.get(status, Payment.UNKNOWN)


def _created_at(record: records.Order) -> datetime | None:
    """`date_time` is naive UTC (vendor's sample: 08:14 there, 13:44 on the +05:30 site); `date` is the site's day."""
    for text in (record.date_time, record.date):
        if text and "/" not in text and (moment := as_datetime(text)) is not None:
            return moment
    return None


def _name(record: records.Order) -> str:
    parts = (record.customer_firstname or "", record.customer_lastname or "")
    return " ".join(part.strip() for part in parts if part.strip()) or (record.customer_name or "").strip()


def _total(record: records.Order) -> Money | None:
    if record.order_amount is None or not record.currency:
        return None
    return Money(minor_units=record.order_amount, currency=record.currency.upper())


def _lines(record: records.Order) -> tuple[Line, ...]:
    """The main line, named by the order's `product_id`, and one line for every other product (order bumps).

    Items of one name are one product: their quantities add up.
    """
    names: dict[str, str] = {}
    quantities: dict[str, int] = {}
    for item in record.items or ():
        name = _plain_name(item.product_name or "")
        line_id = _slug(name)
        names.setdefault(line_id, name)
        quantities[line_id] = quantities.get(line_id, 0) + _quantity(item)
    main_name = " ".join((record.product_name or "").split())
    # An order whose own name is not among its items is about the first.
    main_id = _slug(main_name) if _slug(main_name) in names else next(iter(names), None)
    main = _main_line(record, main_name or names.get(main_id or "", ""), quantities.get(main_id or "", 1))
    bumps = [
        _bump_line(record, line_id, names[line_id], quantities[line_id]) for line_id in names if line_id != main_id
    ]
    return (main, *bumps)


def _main_line(record: records.Order, name: str, quantity: int) -> Line:
    product_id = (record.product_id or "").strip() or None
    return Line(
        id=product_id or _slug(name),
        title=name,
        product=Product(product_id=product_id, plan_id=record.payment_plan_id or None, product_name=name or None),
        # No bump can be bought without it, so none of it is as wrong as fewer than none.
        seats=_seats(record, quantity if quantity != 0 else -1),
    )


def _bump_line(record: records.Order, line_id: str, name: str, quantity: int) -> Line:
    return Line(id=line_id, title=name, product=Product(product_name=name or None), seats=_seats(record, quantity))


def _seats(record: records.Order, quantity: int) -> tuple[Seat, ...]:
    """The buyer's seat, and a nameless one for each further: Studiocart asks for nobody's name but the buyer's."""
    learner, hold = _buyer(record)
    if not 0 <= quantity <= LARGEST_QUANTITY:
        return (Seat(id="buyer", learner=learner, hold="invalid_quantity"),)
    return tuple(
        Seat(id="buyer", learner=learner, hold=hold, note=address_note(hold, record.customer_email))
        if number == 1
        else Seat(id=f"seat-{number}", hold="unnamed_seat")
        for number in range(1, quantity + 1)
    )


def _buyer(record: records.Order) -> tuple[Learner | None, str | None]:
    email = trimmed_email(record.customer_email)
    if not email:
        return None, "missing_email"
    if not is_email(email):
        return None, "invalid_email"
    first, last = (record.customer_firstname or "").strip(), (record.customer_lastname or "").strip()
    if not first and not last:
        first, _, last = (record.customer_name or "").strip().partition(" ")
    return Learner(email=email, first_name=first, last_name=last.strip()), None


def _quantity(item: records.OrderItem) -> int:
    """The item's quantity, else the number its name ends in, else 1."""
    if item.quantity is not None:
        return item.quantity
    return _name_and_quantity(item.product_name or "")[1] or 1


def _plain_name(name: str) -> str:
    """An item's product name without its trailing " x N" (vendor's sample: "SC Product 1 x 1")."""
    return " ".join(_name_and_quantity(name)[0].split())


def _name_and_quantity(name: str) -> tuple[str, int | None]:
    parts = name.rsplit(maxsplit=2)
    if len(parts) == 3 and parts[1] in {"x", "X"} and _QUANTITY.fullmatch(parts[2]):
        return parts[0], int(parts[2])
    return name, None


def _slug(name: str) -> str:
    """A line id for an item without one: readable, and distinct for distinct names."""
    readable = _NOT_READABLE.sub("-", name.casefold()).strip("-")[:40]
    digest = hashlib.sha256(" ".join(name.split()).casefold().encode()).hexdigest()[:8]
    return f"{readable}-{digest}" if readable else f"item-{digest}"
