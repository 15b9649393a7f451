"""What the ledger's tables are made of: their names' convention, aware UTC datetimes, and JSON columns."""

from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import JSON, Column, DateTime, Dialect, MetaData, Table, TypeDecorator
from sqlalchemy.ext.declarative import DeferredReflection
from sqlalchemy.types import TypeEngine
from sqlmodel import Field, SQLModel

_METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class LedgerModel(DeferredReflection, SQLModel):
    """What every table's model is of: a record of its rows, and the source of its Core table.

    The product's statements are Core's. So a model is mapped for an ORM session only by `LedgerModel.prepare(engine)`,
    which nothing here calls, and its validator is never built: each command would pay for both when it starts.
    """

    metadata = _METADATA


LedgerModel.model_config["defer_build"] = True


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes in, aware UTC datetimes out, on databases with and without time zones. Naive ones are refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; SQLite has no zones and compares text, so it is given naive UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("the ledger takes aware datetimes only")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002  (SQLAlchemy calls it so)
        """Give every value back as aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Json(TypeDecorator[Any]):
    """JSON, in PostgreSQL `jsonb`; Python's None is SQL's NULL."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Take PostgreSQL's type from its dialect, which a process on SQLite need not import."""
        if dialect.name != "postgresql":
            return dialect.type_descriptor(self.impl_instance)
        from sqlalchemy.dialects.postgresql import JSONB  # noqa: PLC0415 -- a twentieth of a command's start

        return dialect.type_descriptor(JSONB(none_as_null=True))


def json_column(*, nullable: bool = False) -> Any:
    """A column of JSON, in which Python's None is SQL's NULL."""
    return Column(Json(), nullable=nullable)


def moment(*, nullable: bool = True) -> Any:
    """A field that holds a moment."""
    return Field(default=None, sa_column=Column(UtcDateTime(), nullable=nullable))


def table_of(model: type[SQLModel]) -> Table:
    """The Core table behind a model, for hot statements."""
    return cast(Table, model.__table__)  # type: ignore[attr-defined]
