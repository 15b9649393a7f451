"""The tables of what operators entered: whom a seat is for, and notes on orders for each other."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlmodel import Field

from worker.ledger.tables.base import LedgerModel, json_column, moment, table_of


class NamedSeatRecord(LedgerModel, table=True):
    """Whom an operator says a seat is for. Holds as long as the source says of the seat what it said then."""

    __tablename__ = "named_seats"
    __table_args__ = (Index("ix_named_seats_email_key", "email_key"),)

    source: str = Field(primary_key=True)
    order_id: str = Field(primary_key=True)
    line_id: str = Field(primary_key=True)
    """The line as it was planned."""
    seat_id: str = Field(primary_key=True)
    email_key: str
    learner: dict[str, Any] = Field(sa_column=json_column())
    source_hash: str
    """A hash of the person the source named then, see `worker.ledger.orders.operator_entries.hash_of`."""
    actor: str
    named_at: datetime = moment(nullable=False)


class OrderNote(LedgerModel, table=True):
    """One note. It may name people, so it is not in the audit trail, and goes with whoever is forgotten."""

    __tablename__ = "order_notes"
    __table_args__ = (Index("ix_order_notes_order", "source", "order_id"), Index("ix_order_notes_at", "at"))

    id: str = Field(primary_key=True)
    source: str
    order_id: str
    at: datetime = moment(nullable=False)
    actor: str
    text: str


named_seats = table_of(NamedSeatRecord)
order_notes = table_of(OrderNote)
