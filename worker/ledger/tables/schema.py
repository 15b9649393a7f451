"""The one-row table that tells an older version whether it may work on a schema it does not know."""

from sqlmodel import Field, SQLModel

from worker.ledger.tables.base import table_of


class SchemaTolerance(SQLModel, table=True):
    """Written by every `migrate`. One whose `revision` is not the schema's own says nothing."""

    __tablename__ = "schema_tolerance"

    revision: str = Field(primary_key=True)
    """The schema it is about."""
    tolerates: str
    """The oldest revision whose code may run on it."""


schema_tolerance = table_of(SchemaTolerance)
