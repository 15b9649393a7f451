"""The table of what operators wrote about orders, for each other."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from worker.ledger.tables.base import moment, table_of


class OrderNote(SQLModel, table=True):
    """One note. It may name people, so it is not in the audit trail, and goes with whoever is forgotten."""

    __tablename__ = "order_notes"
    __table_args__ = (Index("ix_order_notes_order", "source", "order_id"), Index("ix_order_notes_at", "at"))

    id: str = Field(primary_key=True)
    source: str
    order_id: str
    at: datetime = moment(nullable=False)
    actor: str
    text: str


order_notes = table_of(OrderNote)
