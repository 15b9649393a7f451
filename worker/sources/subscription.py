"""Our `Subscription`: what a source's record of recurring payments becomes, whatever the source calls its states."""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from worker.text.bounded import Email, Id, Words


class Access(StrEnum):
    """What a subscription's status means for the access its orders gave."""

    BEGINS = "begins"
    """The checkout is not finished, or its first payment has not come."""
    TRIAL = "trial"
    """Nothing is paid yet, and nothing is due."""
    LIVE = "live"
    """Payments come."""
    COMPLETE = "complete"
    """Every payment of a fixed number was made: the purchase is paid for, and access stays."""
    PAUSED = "paused"
    PAST_DUE = "past_due"
    """A payment failed, whether or not the source still tries."""
    CANCELED = "canceled"
    EXPIRED = "expired"
    """It came to its end by itself."""
    UNKNOWN = "unknown"
    """A status nobody has ruled on: a person is asked. Where there is none at all, it decides nothing."""


class Invoice(BaseModel):
    """One charge of a subscription. It is an order of its own."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    order_id: str
    status: str = ""
    is_begun: bool = False
    """It was paid, if perhaps given back since: what comes after it renews."""
    is_free_trial: bool = False
    """It begins a trial, and nothing is paid with it."""


class Subscription(BaseModel):
    """One subscription of one source at one moment. Days are the source's own, without a zone."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    source: str
    id: Id
    status: Words = ""
    """The source's own word."""
    access: Access
    product_id: Id | None = None
    plan_id: Id | None = None
    product_name: Words = ""
    buyer_email: Email = ""
    invoices: tuple[Invoice, ...] | None = None
    """None where the source did not send them: then none is taken as gone."""
    installments: int | None = None
    """How many payments it is made of; None for as long as it lasts, or where the source does not say."""
    next_bill_on: date | None = None
    canceled_on: date | None = None
    period_ends_on: date | None = None
    """The day until which it is paid for."""
    is_partial: bool = False
    """A notification that says no more than its status: what was known of it before stays."""

    @property
    def is_instalment_plan(self) -> bool:
        """Whether its payments are those of one purchase."""
        return self.installments is not None

    def invoice_of(self, order_id: str) -> Invoice | None:
        """The charge that is this order, None where it lists none."""
        return next((invoice for invoice in self.invoices or () if invoice.order_id == order_id), None)
