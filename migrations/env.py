"""Alembic's entry: runs the migrations on the connection given by `Ledger.migrate`, or on the configured ledger."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from worker.ledger import offers_in_force
from worker.ledger.search.index import is_of_model
from worker.ledger.tables import (
    follow_on,
    indexes,
    learners,
    ledger,
    operator_entries,
    periodic,
    schema,
    subscriptions,
    web,
)
from worker.ledger.tables.base import LedgerModel

_TABLES = (
    follow_on,
    indexes,
    learners,
    ledger,
    offers_in_force,
    operator_entries,
    periodic,
    schema,
    subscriptions,
    web,
)
"""Modules whose tables stand beside those of `tables.runs`: importing them makes them known."""


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=LedgerModel.metadata,
        compare_type=True,
        include_name=is_of_model,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    """Use the caller's connection where there is one, else the one the settings name (the `alembic` command)."""
    given = context.config.attributes.get("connection")
    if given is not None:
        _run(given)
        return
    from worker.ledger.session import Ledger  # noqa: PLC0415
    from worker.settings.settings import load_settings  # noqa: PLC0415

    with Ledger(load_settings().database_url.get_secret_value()).write() as connection:
        _run(connection)


main()
