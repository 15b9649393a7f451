"""The names that sources give their products, as last read: for people who are shown a product's number."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from worker.ledger.sql import insert_ignoring, rows_among
from worker.ledger.tables.subscriptions import catalog


def product_names(connection: Connection, source: str, ids: Collection[str]) -> dict[str, str]:
    """The names of these products of a source, by id. One that nobody has named yet is left out."""
    statement = select(catalog.c.product_id, catalog.c.name).where(catalog.c.source == source)
    return {row.product_id: row.name for row in rows_among(connection, statement, catalog.c.product_id, ids)}


def write_names(connection: Connection, source: str, names: Mapping[str, str], *, now: datetime) -> None:
    """Keep a source's names in place of those from before. A product that is gone keeps its last name for a year."""
    for product_id, name in sorted(names.items()):
        of_product = (catalog.c.source == source, catalog.c.product_id == product_id)
        values = {"source": source, "product_id": product_id, "name": name, "fetched_at": now}
        if not insert_ignoring(connection, catalog, values):
            connection.execute(update(catalog).where(*of_product).values(name=name, fetched_at=now))
    forgotten = now.replace(year=now.year - 1, day=min(now.day, 28))
    connection.execute(delete(catalog).where(catalog.c.source == source, catalog.c.fetched_at < forgotten))
