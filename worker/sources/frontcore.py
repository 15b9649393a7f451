"""Frontcore's orders as ours, participant by participant, and the walks that find new and changed ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from typing import Any, Final, Literal

from pydantic import ValidationError

from worker.clients.frontcore import models as records
from worker.clients.frontcore.client import FrontcoreClient
from worker.clients.reading import as_datetime
from worker.errors import WebhookRejectedError
from worker.formatting import minor_digits
from worker.sources.frontcore_seats import full_name, is_credited, lines_of, states_all_seats, total_amount, trimmed
from worker.sources.order import Money, Order, Payment, without_emails
from worker.sources.source import Page, Until, Walk, order_number, pages_of
from worker.text.email_address import trimmed_email
from worker.text.entities import decoded

OVERLAP: Final = timedelta(hours=26)
"""How much earlier than asked a walk begins: the vendor does not say in which zone it reads a filter's date, and zones
lie at most 26 hours apart."""
OVERLAP_ORDERS: Final = 100
"""How far below the highest id seen a look for new orders begins: a row may become visible late."""
_LARGEST_AMOUNT: Final = Decimal(10) ** 14
_CURRENCY_CODE: Final = re.compile("[A-Z]{3}")

ProvisionWhen = Literal["paid", "created"]


class FrontcoreSource:
    """Orders of one Frontcore account, by its REST API.

    `provision_when="created"` takes every order for paid: for companies that are invoiced later.
    """

    name = "frontcore"

    def __init__(
        self, client: FrontcoreClient, *, provision_when: ProvisionWhen, clock: Callable[[], datetime]
    ) -> None:
        self._client = client
        self._provision_when: ProvisionWhen = provision_when
        self._clock = clock

    def fetch(self, order_id: str) -> Order:
        """One order as it is now; `NotFoundError` if the account does not know it."""
        record = self._client.retrieve_order(order_number(self.name, order_id))
        return to_order(record, provision_when=self._provision_when)

    def from_body(self, body: dict[str, Any]) -> Order:
        """An order from a webhook's body, which must be a whole order with its lines; else `WebhookRejectedError`.

        Frontcore sends no webhooks: one comes from a tool between, and mostly says no more than an order's id.
        """
        order_id = next((body[name] for name in ("id", "order_id", "OrderID") if body.get(name)), None)
        try:
            record = records.Order.model_validate(body | {"id": order_id})
        except ValidationError:
            record = None
        if record is None or not record.lines:
            raise WebhookRejectedError("The body is not a Frontcore order with its lines.", status=422)
        return to_order(record, provision_when=self._provision_when)

    def reread(self, record: Mapping[str, Any]) -> Order | None:
        """An order from the record that was kept of it."""
        return to_order(records.Order.model_validate(record), provision_when=self._provision_when)

    def annotate(self, orders: Sequence[Order]) -> list[Order]:
        """The same orders: Frontcore knows no renewals."""
        return list(orders)

    def walks(self, *, polled_at: datetime, highest_id: int) -> Iterator[Walk]:
        """New orders by their ids, new ones by their dates, and changed ones by theirs.

        None of them finds all: `updated_at` is null until the first change (vendor), an id or a date may become visible
        late. A poll so finds every version that stays in the account for the whole of it: the client's pages overlap,
        so that none is stepped over while others come, move and vanish.
        """
        yield Walk(self.walk_newest(above_id=highest_id - OVERLAP_ORDERS), Until.KNOWN_ID)
        yield Walk(self.walk_since(polled_at), Until.END)
        yield Walk(self.walk_changed(polled_at), Until.END, is_of_changes=True)

    def walk_newest(self, *, above_id: int = 0) -> Iterator[Page]:
        """Pages of the orders of higher ids, newest first; without one, to the very first order."""
        return self._walk(since_id=above_id) if above_id > 0 else self._walk()

    def walk_changed(self, since: datetime) -> Iterator[Page]:
        """Pages of the orders changed since a moment or up to two days before, newest first.

        Leaves out orders that were never changed: their `updated_at` is null (vendor), and `walk_since` finds them.
        """
        return self._walk(updated_at_min=since - OVERLAP)

    def walk_since(self, since: datetime) -> Iterator[Page]:
        """Pages of the orders made since a moment or up to two days before, newest first."""
        return self._walk(created_at_min=since - OVERLAP)

    def _walk(self, **filters: Any) -> Iterator[Page]:
        pages = self._client.iter_order_pages(**filters)
        return pages_of(pages, partial(to_order, provision_when=self._provision_when), self._clock)


def to_order(record: records.Order, *, provision_when: ProvisionWhen = "paid") -> Order:
    """Our order from Frontcore's record."""
    email, name = _buyer(record)
    return Order(
        source="frontcore",
        id=str(record.id),
        status=_status(record),
        payment=_payment(record, provision_when),
        created_at=as_datetime(record.created_at),
        buyer_email=email,
        buyer_name=name,
        company=_company(record),
        total=_total(record),
        lines=lines_of(record),
        lines_known=states_all_seats(record),
        raw=record.model_dump(mode="json"),
    )


def _status(record: records.Order) -> str:
    status = "paid" if record.is_paid else "unpaid"
    if isinstance(record.is_paid, str):
        status = f"is_paid {without_emails(record.is_paid)}"
    if is_credited(record):
        return f"{status}, credited"
    return f"{status}, total below zero" if _is_below_zero(record) else status


def _payment(record: records.Order, provision_when: ProvisionWhen) -> Payment:
    """Frontcore tells paid from unpaid; an order with nothing to pay is never marked as paid.

    What says neither is a status nobody has ruled on: taken for unpaid, a paid order would wait for ever. So is a total
    below zero. One that was credited in whole has nothing to pay either, and was not for free.
    """
    if is_credited(record):
        return Payment.REFUNDED if record.is_paid is True else Payment.CANCELLED
    if _is_below_zero(record):
        return Payment.UNKNOWN
    if provision_when == "created" or total_amount(record) == 0:
        return Payment.PAID
    if isinstance(record.is_paid, str):
        return Payment.UNKNOWN
    return Payment.PAID if record.is_paid else Payment.WAITING


def _buyer(record: records.Order) -> tuple[str, str]:
    """The email and name of who ordered: of the first that has an email, else the first name there is."""
    people: list[tuple[str, str]] = []
    if user := record.first_user:
        people.append((trimmed_email(user.email), full_name(user.firstname, user.lastname)))
    if booker := record.booker:
        name = full_name(booker.firstname, booker.lastname) or decoded(booker.name)
        people.append((trimmed_email(booker.email), name))
    if customer := record.customer:
        people.append((trimmed_email(customer.email) or trimmed_email(customer.invoice_email), decoded(customer.title)))
    people.append((trimmed_email(record.invoice_email), ""))
    email, name = next((person for person in people if person[0]), ("", ""))
    return email, name or next((name for _, name in people if name), "")


def _company(record: records.Order) -> str:
    """The customer, which is mostly a company; else where the first user works."""
    customer = decoded(record.customer.title) if record.customer else ""
    return customer or (decoded(record.first_user.company) if record.first_user else "")


def _is_below_zero(record: records.Order) -> bool:
    """Whether money is owed to the buyer, and no line says for what it is: a quantity below zero is a question."""
    total = total_amount(record)
    is_told = any(line.quantity is not None and line.quantity < 0 for line in record.lines or ())
    return total is not None and total < 0 and not is_told


def _total(record: records.Order) -> Money | None:
    """The sum with discounts and VAT; None where it is not told, or its lines do not agree on one currency."""
    amount = total_amount(record)
    currencies = {currency for line in record.lines or () if (currency := _currency(line))}
    if amount is None or len(currencies) != 1 or abs(amount) > _LARGEST_AMOUNT:
        return None
    [currency] = currencies
    minor_units = amount.scaleb(minor_digits(currency)).to_integral_value(ROUND_HALF_UP)
    return Money(minor_units=int(minor_units), currency=currency)


def _currency(line: records.Line) -> str | None:
    of_line = line.currency.title if line.currency else None
    of_product = line.product.currency if line.product else None
    codes = (trimmed(code).upper() for code in (of_line, of_product))
    return next((code for code in codes if _CURRENCY_CODE.fullmatch(code)), None)
