"""The table of recoveries: each says since when effects may exist that the ledger, restored from a copy, forgot."""

from datetime import datetime
from typing import Any

from sqlmodel import Field, SQLModel

from worker.ledger.tables.base import json_column, moment, table_of


class Recovery(SQLModel, table=True):
    """The operator's word that the ledger was brought back from an older copy."""

    __tablename__ = "recoveries"

    id: str = Field(primary_key=True)
    copied_at: datetime = moment(nullable=False)
    """When the copy was made, or before: what was sent since may not be in the ledger."""
    recovered_at: datetime = moment(nullable=False)
    settled_at: datetime = moment(nullable=False)
    """Nothing is sent, and nothing asked about, before: a request of the lost time may be under way until then."""
    steps: list[Any] = Field(default_factory=list, sa_column=json_column())
    """The names of the steps that are asked about before a run planned later sends them."""
    actor: str
    reason: str | None = None


recoveries = table_of(Recovery)
