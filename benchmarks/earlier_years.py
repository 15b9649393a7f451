"""Makes a filled PostgreSQL ledger older: the settled orders of its year, once more for each earlier year.

The server copies the rows itself, forty times as fast as they are told one by one. Each copy has ids, addresses and
numbers of its own, and an earlier date. What is under way or waits for a person is not copied: that is of this year.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql

OPEN = ("waiting", "pending", "running", "review", "failed")
IDS_A_YEAR = 100_000_000
"""What an earlier year's numbers differ by."""
SEARCH_IDS_A_YEAR = 10_000_000
_CHANGES = {
    # Ids begin with the time, in which the first letter is 0 for a long while yet.
    "'{year_letter}' || substr({column}, 2)": ("id", "run_id", "delivery_id"),
    "({column}::bigint + {year} * {ids})::text": ("order_id", "result_id", "record_id"),
    "'l' || lpad((substr({column}, 2)::bigint + {year} * {ids})::text, 19, '0')": ("lane",),
    "{column} || '-{year}'": ("key", "reference"),
    "'y{year}.' || {column}": ("email", "email_key", "buyer_email", "buyer_email_key"),
    "{column} - interval '{days} days'": (
        "created_at", "first_seen_at", "fetched_at", "updated_at", "seen_at", "received_at", "finished_at",
        "started_at", "at",
    ),
}  # fmt: skip
CHANGES = {column: change for change, columns in _CHANGES.items() for column in columns}
OF_OTHER_KINDS = {
    ("learners", "id"): CHANGES["lane"],
    # The newest has the highest number.
    ("search_texts", "id"): "{column} - {year} * {search_ids}",
}
LETTERS = "0abcdefghjkmnpqrstvwxyz"
_BY_ORDER = "NOT EXISTS (SELECT FROM unsettled u WHERE u.source = t.source AND u.order_id = t.{column})"
_BY_RUN = "NOT EXISTS (SELECT FROM unsettled_runs u WHERE u.id = t.run_id)"
KEPT = {
    "orders": _BY_ORDER.format(column="order_id"),
    "order_versions": _BY_ORDER.format(column="order_id"),
    "deliveries": _BY_ORDER.format(column="order_id"),
    "runs": _BY_ORDER.format(column="order_id"),
    "events": _BY_ORDER.format(column="order_id"),
    "search_texts": _BY_ORDER.format(column="record_id"),
    "steps": _BY_RUN,
    "attempts": _BY_RUN,
}
"""What is copied of a table; of others everything."""


def add_earlier_years(
    connection: psycopg.Connection[Any], columns: dict[str, list[str]], years: int, advance: Callable[[], object]
) -> None:
    """Copy the rows of these tables and columns for each of the years; `advance` is called after each table."""
    connection.execute(
        "CREATE TEMP TABLE unsettled AS SELECT DISTINCT source, order_id FROM runs WHERE state = ANY(%s) "
        "UNION SELECT source, order_id FROM orders WHERE state = 'review'",
        [list(OPEN)],
    )
    connection.execute(
        "CREATE TEMP TABLE unsettled_runs AS SELECT r.id FROM runs r JOIN unsettled u USING (source, order_id)"
    )
    connection.execute("CREATE INDEX ON unsettled (source, order_id)")
    connection.execute("CREATE INDEX ON unsettled_runs (id)")
    for table, names in columns.items():
        # What there is before the first copy: the copies of one year must not be copied by the next.
        connection.execute(
            sql.SQL("CREATE TEMP TABLE this_year AS SELECT * FROM {} t WHERE {}").format(
                sql.Identifier(table), sql.SQL(KEPT.get(table, "true"))
            )
        )
        for year in range(1, years + 1):
            connection.execute(_copy(table, names, year))
            advance()
        connection.execute("DROP TABLE this_year")
    connection.commit()


def _copy(table: str, names: list[str], year: int) -> sql.Composed:
    selected = []
    for name in names:
        change = OF_OTHER_KINDS.get((table, name)) or CHANGES.get(name, "{column}")
        selected.append(
            change.format(
                column=f'"{name}"', year=year, year_letter=LETTERS[year], days=365 * year, ids=IDS_A_YEAR,
                search_ids=SEARCH_IDS_A_YEAR,
            )
        )  # fmt: skip
    return sql.SQL("INSERT INTO {} ({}) SELECT {} FROM this_year").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL(", ").join(map(sql.SQL, selected)),
    )
