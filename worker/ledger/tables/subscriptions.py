"""The tables of what is read beside orders: subscriptions, which orders are theirs, and the names of products."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlmodel import Field

from worker.ledger.tables.base import LedgerModel, json_column, moment, table_of


class SubscriptionRecord(LedgerModel, table=True):
    """One subscription of one source, as last read."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index("ix_subscriptions_buyer", "buyer_email_key", "source", "product_id"),
        Index("ix_subscriptions_judging", "source", "judged_at"),
        Index("ix_subscriptions_ended", "source", "ended_reason"),
    )

    source: str = Field(primary_key=True)
    subscription_id: str = Field(primary_key=True)
    status: str = ""
    """The source's own word."""
    access: str
    """What it means: see `worker.sources.subscription.Access`."""
    product_id: str | None = None
    buyer_email_key: str = ""
    initial_order_id: str | None = None
    """The order that is the purchase itself. Once chosen it stays as long as it counts as begun."""
    next_bill_on: str | None = None
    canceled_on: str | None = None
    period_ends_on: str | None = None
    """Days of the source's own, `YYYY-MM-DD`."""
    document: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    """Our `Subscription`, its invoices included."""
    content_hash: str = ""
    polled_hash: str | None = None
    """The content a poll last saw: what tells a poll that a row is unchanged."""
    live_at: datetime | None = moment()
    """When it was first seen on trial or paid."""
    ended_reason: str | None = None
    """Why it gives no right to access now; None while it does, or where its status says nothing of it."""
    ended_at: datetime | None = moment()
    """When its last end, for the reason it has or had, was first seen."""
    resumed_at: datetime | None = moment()
    """When it was first seen to go on after its last end."""
    told_reason: str | None = None
    """The end that the audit trail was last told of."""
    judged_at: datetime | None = moment()
    """Runs that ended before are accounted for in how its orders were planned; None: its news is not applied yet."""
    first_seen_at: datetime = moment(nullable=False)
    fetched_at: datetime = moment(nullable=False)
    """When the newest recorded content was asked for: an answer to an older request is older news."""
    updated_at: datetime = moment(nullable=False)


class SubscriptionOrder(LedgerModel, table=True):
    """An order that a subscription lists among its invoices, or that names it. The ledger need not know either."""

    __tablename__ = "subscription_orders"
    __table_args__ = (Index("ix_subscription_orders_subscription", "source", "subscription_id"),)

    source: str = Field(primary_key=True)
    order_id: str = Field(primary_key=True)
    subscription_id: str


class CatalogRecord(LedgerModel, table=True):
    """The name a source gives one of its products."""

    __tablename__ = "catalog"

    source: str = Field(primary_key=True)
    product_id: str = Field(primary_key=True)
    name: str
    fetched_at: datetime = moment(nullable=False)


subscriptions = table_of(SubscriptionRecord)
subscription_orders = table_of(SubscriptionOrder)
catalog = table_of(CatalogRecord)
