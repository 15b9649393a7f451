"""The tables about the ledger itself: what it was restored from, and what it is searched by.

The indexes over the texts that are searched are `worker.ledger.search.index`'s.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlmodel import Field

from worker.ledger.tables.base import LedgerModel, json_column, moment, table_of


class Recovery(LedgerModel, table=True):
    """The operator's word that the ledger was brought back from an older copy, which forgot effects that may exist."""

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


class SearchText(LedgerModel, table=True):
    """Everything that one order, or one completion with runs, may be looked for by. Written anew with each change."""

    __tablename__ = "search_texts"
    __table_args__ = (Index("uq_search_texts_record", "source", "record_id", unique=True),)

    id: int | None = Field(default=None, primary_key=True)
    """Grows with the records' arrival: the newest is the highest."""
    source: str
    """The order's; `learningcart` for a completion."""
    record_id: str
    """The order's id, or the completion's."""
    text: str
    """A `worker.text.search_text`: folded, and in ASCII."""


recoveries = table_of(Recovery)
search_texts = table_of(SearchText)
