"""The tables of the web: sessions and lock-outs, which outlive a restart and hold in every process, and refusals."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from worker.ledger.tables.base import moment
from worker.ledger.tables.runs import table_of


class WebSession(SQLModel, table=True):
    """A session of the operator's page that is signed in. Gone once it is signed out, or its time is up."""

    __tablename__ = "web_sessions"

    id: str = Field(primary_key=True)
    """A hash of what is in the cookie: whoever reads the ledger cannot make one of it."""
    expires_at: datetime = moment(nullable=False)


class WebLockout(SQLModel, table=True):
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


class WebhookRefusal(SQLModel, table=True):
    """The last webhook of a source that could not be used as it came; for `cartbridge check`."""

    __tablename__ = "webhook_refusals"

    source: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    """`wrong_method`, `unauthenticated` or `no_order_id`."""
    at: datetime = moment(nullable=False)


web_sessions = table_of(WebSession)
web_lockouts = table_of(WebLockout)
webhook_refusals = table_of(WebhookRefusal)
