"""3dcart's orders as ours, and the walks that find new and changed ones.

What an order holds, its statuses and how orders are listed are from public material: the vendor's document at hand
knows carts alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import partial
from typing import Any, Final

from pydantic import ValidationError

from worker.clients import threedcart_models as records
from worker.clients.reading import as_datetime, fold
from worker.clients.threedcart import ThreedcartClient
from worker.errors import NotFoundError, WebhookRejectedError
from worker.sources.order import Address, Learner, Line, Order, Payment, Product, Seat, is_email
from worker.sources.source import NoOrderError, Page, Until, Walk

OVERLAP: Final = timedelta(hours=26)
"""How much earlier than asked a walk begins. The store's zone is a setting, and may be set wrong: that then costs a
wider look and no order, since zones lie at most 26 hours apart."""
LARGEST_QUANTITY: Final = 1_000
"""More seats than this on one line is taken for a mistake and looked at by a person."""
PAID_STATUSES: Final = frozenset({2, 4, 10})

NOT_COMPLETED: Final = 7
"""A checkout that was begun and left: no order."""
STATUS_NAMES: Final[Mapping[int, str]] = {
    1: "New",
    2: "Processing",
    3: "Partial",
    4: "Shipped",
    5: "Cancel",
    6: "Hold",
    NOT_COMPLETED: "Not Completed",
    11: "Unpaid",
    12: "Review",
}
_PAYMENTS: Final[Mapping[int, Payment]] = {
    1: Payment.WAITING,
    5: Payment.CANCELLED,
    6: Payment.WAITING,
    11: Payment.WAITING,
    12: Payment.WAITING,
}
"""What the statuses that do not count as paid mean. Any other is `unknown_status`: so is Partial, which says that
something was shipped and not what was paid. No status is known to say that money was given back."""
_NOTHING_TO_PAY: Final = frozenset({1, 11})
"""Statuses that mean paid when the total is zero: the checkout is finished and there is nothing to pay."""

_PLAIN_SKU: Final = re.compile(r"[A-Za-z0-9._-]{1,40}")
_ZONED: Final = re.compile(r"Date\(|(?:Z|[+-][0-9]{2}:?[0-9]{2})\s*$", re.IGNORECASE)
_LONGEST_TITLE: Final = 200


class ThreedcartSource:
    """Orders of one 3dcart store, by its REST API. `zone` is the store's: its dates carry none."""

    name = "threedcart"

    def __init__(
        self,
        client: ThreedcartClient,
        *,
        zone: tzinfo,
        clock: Callable[[], datetime],
        paid_statuses: frozenset[int] = PAID_STATUSES,
    ) -> None:
        self._client = client
        self._clock = clock
        self._to_order = partial(to_order, zone=zone, paid_statuses=paid_statuses)

    def fetch(self, order_id: str) -> Order:
        """One order as it is now; `NotFoundError` if the store does not know it, `NoOrderError` if it is none."""
        if not (order_id.isascii() and order_id.isdecimal()):
            raise NotFoundError("its order ids are whole numbers", system=self.name, operation="fetch")
        return self._to_order(_completed(self._client.retrieve_order(int(order_id))))

    def from_body(self, body: dict[str, Any]) -> Order:
        """An order from a webhook's body, which must be a whole order with its items; else `WebhookRejectedError`.

        An item is known by its CatalogID and ItemID. A body that leaves one of them out would name other lines than the
        store does, and the same seat would be two. Raises `NoOrderError` for a checkout that was not completed.
        """
        order_id = next((body[name] for name in ("id", "order_id", "OrderID") if body.get(name)), None)
        told = {key: value for key, value in body.items() if fold(key) not in {"id", "orderid"}}
        try:
            record = records.Order.model_validate(told | {"OrderID": order_id})
        except ValidationError:
            record = None
        if record is None or not _names_its_items(record):
            raise WebhookRejectedError("The body is not a 3dcart order with its items.", status=422)
        return self._to_order(_completed(record))

    def annotate(self, orders: Sequence[Order]) -> list[Order]:
        """The same orders: 3dcart knows no renewals."""
        return list(orders)

    def walks(self, *, polled_at: datetime, highest_id: int) -> Iterator[Walk]:  # noqa: ARG002  (no filter takes it)
        """New orders by their dates, and changed ones by theirs.

        A poll so finds every version that stays in the store for the whole of it: the client's pages overlap, so that
        none is stepped over while others come, move and vanish. The first walk is for a new order whose `LastUpdate` is
        not set yet.
        """
        yield Walk(self.walk_since(polled_at), Until.END)
        yield Walk(self.walk_changed(polled_at), Until.END, is_of_changes=True)

    def walk_changed(self, since: datetime) -> Iterator[Page]:
        """Pages of the orders changed since a moment or up to two days before."""
        return self._walk(self._client.iter_order_pages(last_update_start=since - OVERLAP))

    def walk_since(self, since: datetime) -> Iterator[Page]:
        """Pages of the orders made since a moment or up to two days before, in the store's own order."""
        return self._walk(self._client.iter_order_pages(date_start=since - OVERLAP))

    def _walk(self, pages: Iterator[list[records.Order]]) -> Iterator[Page]:
        while True:
            fetched_at = self._clock()
            page = next(pages, None)
            if page is None:
                return
            # Their completion is a change, which the walk of changes meets.
            orders = (self._to_order(record) for record in page if record.order_status_id != NOT_COMPLETED)
            yield Page(tuple(orders), fetched_at)


def to_order(record: records.Order, *, zone: tzinfo, paid_statuses: frozenset[int] = PAID_STATUSES) -> Order:
    """Our order from 3dcart's record. Its total is left out: no field is known to name the currency."""
    return Order(
        source="threedcart",
        id=str(record.id),
        status=_status(record.order_status_id),
        payment=_payment(record, paid_statuses),
        created_at=_moment(record.order_date, zone),
        buyer_email=_trimmed(record.billing_email),
        buyer_name=" ".join(filter(None, (_trimmed(record.billing_first_name), _trimmed(record.billing_last_name)))),
        lines=_lines(record),
        lines_known=record.order_item_list is not None,
        raw=record.model_dump(mode="json"),
    )


def _completed(record: records.Order) -> records.Order:
    if record.order_status_id == NOT_COMPLETED:
        message = "threedcart fetch: no order, its checkout was not completed"
        raise NoOrderError(message, system="threedcart", operation="fetch")
    return record


def _names_its_items(record: records.Order) -> bool:
    items = record.order_item_list
    return bool(items) and all({"catalog_id", "item_id"} <= item.model_fields_set for item in items or ())


def _status(status_id: int | None) -> str:
    """The number, and its name where it has one: a store may give its statuses names of its own."""
    return "" if status_id is None else f"{status_id} {STATUS_NAMES.get(status_id, '')}".rstrip()


def _payment(record: records.Order, paid_statuses: frozenset[int]) -> Payment:
    status_id = record.order_status_id
    if status_id is None:
        return Payment.UNKNOWN
    if status_id in paid_statuses or (status_id in _NOTHING_TO_PAY and record.order_amount == 0):
        return Payment.PAID
    return _PAYMENTS.get(status_id, Payment.UNKNOWN)


def _moment(text: str | None, zone: tzinfo) -> datetime | None:
    moment = as_datetime(text)
    if moment is None or text is None or _ZONED.search(text):
        return moment
    try:
        return moment.replace(tzinfo=zone).astimezone(UTC)
    except OverflowError:
        return None


def _lines(record: records.Order) -> tuple[Line, ...]:
    """One line for each product: items of one CatalogID and ItemID add up, whatever their options.

    An order without a seat would pass unseen: one that has no items, or none of any, has a seat for a person to look
    at.
    """
    items: dict[str, records.OrderItem] = {}
    quantities: dict[str, Decimal] = {}
    for item in record.order_item_list or ():
        line_id = _line_id(item)
        items.setdefault(line_id, item)
        quantities[line_id] = quantities.get(line_id, Decimal(0)) + _quantity(item)
    if not items:
        return (Line(id="order", title="no items", seats=_seats(record, Decimal(1))),)
    is_empty = all(quantity == 0 for quantity in quantities.values())
    return tuple(
        Line(
            id=line_id,
            title=_title(item),
            product=Product(
                product_id=None if item.catalog_id is None else str(item.catalog_id), sku=_trimmed(item.item_id) or None
            ),
            seats=_seats(record, Decimal(-1) if is_empty else quantities[line_id]),
        )
        for line_id, item in items.items()
    )


def _quantity(item: records.OrderItem) -> Decimal:
    """The item's quantity, else 1; cut to what can be added up without overflow."""
    most = Decimal(LARGEST_QUANTITY * LARGEST_QUANTITY)
    return Decimal(1) if item.item_quantity is None else max(-most, min(item.item_quantity, most))


def _line_id(item: records.OrderItem) -> str:
    """`1234-FIRST-AID`: an item's own numbers, which do not change with the other items of its order."""
    sku = _trimmed(item.item_id)
    if sku and not _PLAIN_SKU.fullmatch(sku):
        sku = f"item-{hashlib.sha256(sku.encode()).hexdigest()[:8]}"
    if item.catalog_id is None:
        return f"sku-{sku}" if sku else "item"
    return f"{item.catalog_id}-{sku}" if sku else str(item.catalog_id)


def _title(item: records.OrderItem) -> str:
    return " ".join((item.item_description or item.item_id or "").split())[:_LONGEST_TITLE]


def _seats(record: records.Order, quantity: Decimal) -> tuple[Seat, ...]:
    """The buyer's seat, and a nameless one for each further: the store asks for nobody's name but the buyer's."""
    learner, hold = _buyer(record)
    if not 0 <= quantity <= LARGEST_QUANTITY or quantity != quantity.to_integral_value():
        return (Seat(id="buyer", learner=learner, hold="invalid_quantity"),)
    return tuple(
        Seat(id="buyer", learner=learner, hold=hold) if number == 1 else Seat(id=f"seat-{number}", hold="unnamed_seat")
        for number in range(1, int(quantity) + 1)
    )


def _buyer(record: records.Order) -> tuple[Learner | None, str | None]:
    email = _trimmed(record.billing_email)
    if not email:
        return None, "missing_email"
    if not is_email(email):
        return None, "invalid_email"
    address = Address(
        line_1=_trimmed(record.billing_address),
        line_2=_trimmed(record.billing_address_2),
        city=_trimmed(record.billing_city),
        state=_trimmed(record.billing_state),
        zip=_trimmed(record.billing_zip_code),
        country=_trimmed(record.billing_country),
    )
    learner = Learner(
        email=email,
        first_name=_trimmed(record.billing_first_name),
        last_name=_trimmed(record.billing_last_name),
        address=None if address == Address() else address,
    )
    return learner, None


def _trimmed(text: str | None) -> str:
    return (text or "").strip()
