"""The table of the seats that an operator gave a person to."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from worker.ledger.tables.base import json_column, moment, table_of


class NamedSeatRecord(SQLModel, table=True):
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
    """A hash of the person the source named then, see `worker.ledger.orders.named_seats.hash_of`."""
    actor: str
    named_at: datetime = moment(nullable=False)


named_seats = table_of(NamedSeatRecord)
