"""The table of what orders and completions are found by. The indexes over it are `worker.ledger.search.index`'s."""

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from worker.ledger.tables.base import table_of


class SearchText(SQLModel, table=True):
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


search_texts = table_of(SearchText)
