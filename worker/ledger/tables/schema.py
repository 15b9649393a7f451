"""The table about the ledger's schema, which every process reads before it works on it."""

from sqlmodel import Field

from worker.ledger.tables.base import LedgerModel, table_of


class SchemaTolerance(LedgerModel, table=True):
    """Whether an older version may work on a schema it does not know; one row, written by every `migrate`.

    One whose `revision` is not the schema's own says nothing.
    """

    __tablename__ = "schema_tolerance"

    revision: str = Field(primary_key=True)
    """The schema it is about."""
    tolerates: str
    """The oldest revision whose code may run on it."""


schema_tolerance = table_of(SchemaTolerance)
