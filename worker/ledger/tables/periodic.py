"""The tables of what periodic tasks know from one run to the next, beside the polls of orders (`Cursor`)."""

from datetime import datetime
from typing import Any

from sqlmodel import Field

from worker.ledger.tables.base import LedgerModel, json_column, moment, table_of


class ListPoll(LedgerModel, table=True):
    """How far a list that is not of orders has been read: a source's subscriptions or products, or completions."""

    __tablename__ = "list_polls"

    source: str = Field(primary_key=True)
    list_name: str = Field(primary_key=True)
    """`subscriptions`, `catalog` or `completions`."""
    first_contact_at: datetime | None = moment()
    position: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    """The list's own marks."""
    deep_swept_at: datetime | None = moment()
    last_attempt_at: datetime | None = moment()
    last_success_at: datetime | None = moment()
    last_error: str | None = None
    failures: int = 0
    lease_holder: str | None = None
    lease_until: datetime | None = moment()


class SourceWatch(LedgerModel, table=True):
    """What the watch over a source found. A moment is empty where there is nothing to complain of."""

    __tablename__ = "source_watches"

    source: str = Field(primary_key=True)
    begun_at: datetime | None = moment()
    checked_at: datetime | None = moment()
    late_since: datetime | None = moment()
    silent_since: datetime | None = moment()
    learnt_at: datetime | None = moment()
    silence_limit_seconds: float | None = None


class AlertState(LedgerModel, table=True):
    """What was told to the operator, and who is telling right now. Of one name there is one row."""

    __tablename__ = "alert_states"

    name: str = Field(primary_key=True)
    document: dict[str, Any] = Field(default_factory=dict, sa_column=json_column())
    lease_holder: str | None = None
    lease_until: datetime | None = moment()


class PeriodicTask(LedgerModel, table=True):
    """When a task that is done once in a while was last done: whoever moves the mark does it."""

    __tablename__ = "periodic_tasks"

    name: str = Field(primary_key=True)
    done_at: datetime = moment(nullable=False)
    holder: str | None = None
    """Who did it."""


list_polls = table_of(ListPoll)
source_watches = table_of(SourceWatch)
alert_states = table_of(AlertState)
periodic_tasks = table_of(PeriodicTask)
