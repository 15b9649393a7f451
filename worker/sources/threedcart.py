"""3dcart's orders as ours, and the walks that find new and changed ones.

What an order holds, its statuses and how orders are listed are from public material: the vendor's document at hand
knows carts alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from typing import Any, Final

from pydantic import ValidationError

from worker.clients.reading import as_datetime, as_int, fold
from worker.clients.threedcart import models as records
from worker.clients.threedcart.client import ThreedcartClient
from worker.clients.unreadable import Rows
from worker.errors import ApiError, AuthenticationError, NotFoundError, PermissionDeniedError, WebhookRejectedError
from worker.sources.order import Order, Payment, without_emails
from worker.sources.source import NoOrderError, Page, SampleOrderError, Until, Walk, order_number, pages_of
from worker.sources.threedcart_lines import lines_of
from worker.sources.threedcart_statuses import (
    NOT_COMPLETED,
    PAID_STATUSES,
    STATUS_NAMES,
    given_back,
    is_below_zero,
    lacks_evidence,
    payment_of,
    unknown_approval,
    unreadable_refund,
)
from worker.text.email_address import trimmed_email
from worker.text.entities import decoded

OVERLAP: Final = timedelta(hours=26)
"""How much earlier than asked a walk begins. The store's zone is a setting, and may be set wrong: that then costs a
wider look and no order, since zones lie at most 26 hours apart."""
SAMPLE_ORDER_ID: Final = 1
"""What "Test" sends, as a whole order. Stores begin at higher numbers."""

_ZONED: Final = re.compile(r"Date\(|(?:Z|[+-][0-9]{2}:?[0-9]{2})\s*$", re.IGNORECASE)
_LONGEST_STATUS: Final = 60


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
        number = order_number(self.name, order_id)
        try:
            return self._to_order(_completed(self._client.retrieve_order(number)))
        except NotFoundError as error:
            if number != SAMPLE_ORDER_ID or isinstance(error, NoOrderError):
                raise
            raise _sample(error) from error

    def from_body(self, body: dict[str, Any]) -> Order:
        """An order from a webhook's body, which must be a whole order with its items; else `WebhookRejectedError`.

        An item is known by its CatalogID and ItemID. A body that leaves one of them out would name other lines than the
        store does, and the same seat would be two. Raises `NoOrderError` for a checkout that was not completed. The
        order that the vendor's own test of a webhook sends looks like any other, and paid: it is looked for instead.
        """
        order_id = next((body[name] for name in ("id", "order_id", "OrderID") if body.get(name)), None)
        if as_int(order_id) == SAMPLE_ORDER_ID:
            try:
                return self.fetch(str(SAMPLE_ORDER_ID))
            except (AuthenticationError, PermissionDeniedError) as error:
                raise _sample(error) from error
        fields = {key: value for key, value in body.items() if fold(key) not in {"id", "orderid"}}
        try:
            record = records.Order.model_validate(fields | {"OrderID": order_id})
        except ValidationError:
            record = None
        if record is None or not _names_its_items(record):
            raise WebhookRejectedError("The body is not a 3dcart order with its items.", status=422)
        return self._to_order(_completed(record))

    def reread(self, record: Mapping[str, Any]) -> Order | None:
        """An order from the record that was kept of it."""
        return self._to_order(records.Order.model_validate(record))

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

    def _walk(self, pages: Iterator[Rows[records.Order]]) -> Iterator[Page]:
        return pages_of(pages, self._completed_order, self._clock)

    def _completed_order(self, record: records.Order) -> Order | None:
        """None for a checkout that is not completed: its completion is a change, which the walk of changes meets."""
        return self._to_order(record) if record.order_status_id != NOT_COMPLETED else None


def to_order(record: records.Order, *, zone: tzinfo, paid_statuses: frozenset[int] = PAID_STATUSES) -> Order:
    """Our order from 3dcart's record. Its total is left out: no field is known to name the currency."""
    return Order(
        source="threedcart",
        id=str(record.id),
        status=_status_of(record, paid_statuses),
        payment=payment_of(record, paid_statuses),
        payment_unproven=lacks_evidence(record, paid_statuses),
        created_at=_moment(record.order_date, zone),
        buyer_email=trimmed_email(record.billing_email),
        buyer_name=" ".join(filter(None, (decoded(record.billing_first_name), decoded(record.billing_last_name)))),
        company=decoded(record.billing_company),
        given_back=given_back(record),
        lines=lines_of(record),
        lines_known=record.order_item_list is not None,
        raw=record.model_dump(mode="json"),
    )


def _sample(error: ApiError) -> SampleOrderError:
    message = f"threedcart fetch: no order {SAMPLE_ORDER_ID}, which is what 3dcart's own test of a webhook sends"
    return SampleOrderError(message, system="threedcart", operation="fetch", status=error.status)


def _completed(record: records.Order) -> records.Order:
    if record.order_status_id == NOT_COMPLETED:
        message = "threedcart fetch: no order, its checkout was not completed"
        raise NoOrderError(message, system="threedcart", operation="fetch")
    return record


def _names_its_items(record: records.Order) -> bool:
    items = record.order_item_list
    return bool(items) and all({"catalog_id", "item_id"} <= item.model_fields_set for item in items or ())


def _status(status_id: int | str | None) -> str:
    """The number, and the vendor's name where it has one: a store may give its statuses labels of its own."""
    if isinstance(status_id, str):
        return status_id[:_LONGEST_STATUS]
    return "" if status_id is None else f"{status_id} {STATUS_NAMES.get(status_id, '')}".rstrip()


def _status_of(record: records.Order, paid_statuses: frozenset[int]) -> str:
    """The status, and the word of a payment that it waits for, where nobody has ruled on that."""
    status = _status(record.order_status_id)
    waits = lacks_evidence(record, paid_statuses) or payment_of(record, paid_statuses) is Payment.UNKNOWN
    word = unknown_approval(record) if waits else ""
    if word:
        return f"{status}, payment {without_emails(word)}"[:_LONGEST_STATUS]
    if waits and (back := unreadable_refund(record)):
        return f"{status}, given back {without_emails(back)}"[:_LONGEST_STATUS]
    return f"{status}, amount below zero" if waits and is_below_zero(record) else status


def _moment(text: str | None, zone: tzinfo) -> datetime | None:
    moment = as_datetime(text)
    if moment is None or text is None or _ZONED.search(text):
        return moment
    try:
        return moment.replace(tzinfo=zone).astimezone(UTC)
    except OverflowError:
        return None
