"""The tables of the web: operators, their sessions and lock-outs, which outlive a restart, and refusals."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field

from worker.ledger.tables.base import LedgerModel, moment, table_of


class OperatorRecord(LedgerModel, table=True):
    """Somebody who signs in by a name and a password of their own."""

    __tablename__ = "operators"

    name_key: str = Field(primary_key=True)
    """The name without case and accents: two names that look the same are one."""
    name: str
    """As the audit trail has it, after `operator:`."""
    password_hash: str
    """By argon2."""
    added_by: str
    added_at: datetime = moment(nullable=False)
    signed_in_at: datetime | None = moment()
    """When they last did."""


class WebSession(LedgerModel, table=True):
    """A session of the operator's page that is signed in. Gone once it is signed out, or its time is up."""

    __tablename__ = "web_sessions"

    id: str = Field(primary_key=True)
    """A hash of what is in the cookie: whoever reads the ledger cannot make one of it."""
    expires_at: datetime = moment(nullable=False)
    operator_key: str | None = None
    """Whose it is, by `operators.name_key`; None where the admin password began it."""


class WebLockout(LedgerModel, table=True):
    """An address that failed to authenticate lately."""

    __tablename__ = "web_lockouts"
    __table_args__ = (Index("ix_web_lockouts_seen_at", "seen_at"),)

    kind: str = Field(primary_key=True)
    """What it tried: `login` or `api`."""
    address: str = Field(primary_key=True)
    failures: int = 0
    seen_at: datetime = moment(nullable=False)
    open_at: datetime | None = moment()
    """It may not try again before."""


class WebhookRefusal(LedgerModel, table=True):
    """The last webhook of a source that could not be used as it came; for `cartbridge check`."""

    __tablename__ = "webhook_refusals"

    source: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    """`wrong_method`, `unauthenticated` or `no_order_id`."""
    at: datetime = moment(nullable=False)


operators = table_of(OperatorRecord)
web_sessions = table_of(WebSession)
web_lockouts = table_of(WebLockout)
webhook_refusals = table_of(WebhookRefusal)
