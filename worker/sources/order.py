"""Our `Order`: what every source's record becomes before anything is planned.

A source that cannot tell something leaves it None and planning names the gap; nothing here is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.sources.subscription import Subscription
from worker.text.bounded import Email, Id, Words
from worker.text.email_address import email_key, email_problem, is_email, trimmed_email, without_emails

__all__ = ["email_key", "is_email", "trimmed_email", "without_emails"]


LARGEST_QUANTITY: Final = 1_000
"""More seats than this on one line is taken for a mistake and looked at by a person."""
MOST_SEATS: Final = 5_000
"""The same of a whole order: a few KiB of lines say millions of seats."""
MOST_LINES: Final = 1_000
"""So many lines are shown of an order that has more seats than that."""


class Payment(StrEnum):
    """What an order's status means for provisioning, whatever the source calls it."""

    PAID = "paid"
    """Provision now."""
    WAITING = "waiting"
    """Not paid, not refused: the order waits for news."""
    CANCELLED = "cancelled"
    """Cancelled or failed for good: what has not run is cancelled."""
    REFUNDED = "refunded"
    """Money given back: what has not run is cancelled, what has run needs a person."""
    UNKNOWN = "unknown"
    """A status nobody has ruled on: review."""


class Frozen(BaseModel):
    """A value: equal by content, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Money(Frozen):
    """An amount in the currency's minor units (500 INR minor units are 5.00 INR; JPY has none, so 500 is 500 JPY)."""

    minor_units: int
    currency: str
    """ISO 4217 code in capitals."""


class Address(Frozen):
    """A postal address as the source wrote it; empty strings where it says nothing."""

    line_1: Words = ""
    line_2: Words = ""
    city: Words = ""
    state: Words = ""
    province: Words = ""
    zip: Words = ""
    country: Words = ""


class Learner(Frozen):
    """The person who gets access; known by email, kept as written and compared by `email_key`."""

    email: Email
    first_name: Words = ""
    last_name: Words = ""
    address: Address | None = None
    keeps_profile: bool = False
    """The address is known under another name: what LearningCart has of it already is not written over."""


class Product(Frozen):
    """What a line sells, by every name an offer may use for it. All compared as text."""

    product_id: Id | None = None
    plan_id: Id | None = None
    product_name: Words | None = None
    course_id: Id | None = None
    sku: Id | None = None


class Seat(Frozen):
    """One place on one line.

    `learner` is None when the source names nobody; `hold` then or otherwise says why it cannot be provisioned (a review
    reason such as `unnamed_seat`), None when it can.
    """

    id: Id
    """Stable within the line, and free of personal data: `buyer`, `seat-2`, `participant-124920-user-154420`."""
    learner: Learner | None = None
    hold: str | None = None
    note: str = ""
    """What helps a person who has to settle a held seat. Holds no personal data."""
    undenied: frozenset[str] = Field(default=frozenset(), exclude=True, repr=False)
    """Holds that the record says nothing for or against: what was said before of the same place stands."""
    course_date_id: Id | None = None
    """The date of the course the place is on, where the source says so: another one is a change of the order."""


class Line(Frozen):
    """One order line and its seats."""

    id: Id
    """Stable within the order, and free of personal data."""
    title: Words = ""
    product: Product = Product()
    seats: tuple[Seat, ...] = ()


class Order(Frozen):
    """One order of one source at one moment."""

    source: str
    id: Id
    """The source's own order id, as text."""
    status: Words = ""
    """The source's own word."""
    payment: Payment
    payment_unproven: bool = False
    """It waits though its status says that it is complete: nothing in it shows that money was taken."""
    created_at: datetime | None = None
    """Aware, UTC."""
    buyer_email: Email = ""
    buyer_name: Words = ""
    company: Words = ""
    """Who pays, where that is no person."""
    total: Money | None = None
    given_back: int = 0
    """Hundredths of what was paid that were given back, where its source tells that beside the total."""
    lines: tuple[Line, ...] = ()
    lines_known: bool = True
    """False when the source did not send its lines: then nothing is taken as removed."""
    renewal: bool = False
    """A later payment of a subscription, not its first."""
    subscription_id: Id | None = None
    recurring: bool = False
    """Its own record names a subscription, or a price by the period."""
    trial: bool = False
    """Its own record says that it begins a trial, and that nothing was paid with it."""
    trial_lines: tuple[str, ...] = ()
    """The lines that begin a trial, and with which nothing was paid. The others were bought."""
    subscription_payment: Literal["first", "later"] | None = None
    """Which payment of its subscription the source says it is, where it says so itself."""
    incomplete: bool = False
    """Paid, with nobody and nothing in it: it was read while it was being written."""
    subscription: Subscription | None = Field(default=None, exclude=True, repr=False)
    """The subscription that lists it, where it was read beside the order. Kept on its own, not with the order."""
    raw: dict[str, Any] = Field(default_factory=dict, repr=False)
    """The source's record as received, less anything secret."""


def has_too_many_seats(quantities: Iterable[int | Decimal]) -> bool:
    """Whether lines of these quantities have more seats than an order may. One that is wrong by itself has one."""
    return sum(quantity if 0 <= quantity <= LARGEST_QUANTITY else 1 for quantity in quantities) > MOST_SEATS


def address_note(hold: str | None, email: str | None) -> str:
    """What helps with a seat that is held for its address: what is wrong with it, and at which character."""
    return f"The address {email_problem(email)}." if hold == "invalid_email" else ""
