"""The index over what records are found by: PostgreSQL's `pg_trgm`, or SQLite's FTS5 with its trigram tokenizer.

SQLite has that tokenizer from 3.34 on. Where the database has neither, a search ends with the newest records.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from worker.text.search_text import Needle

log = logging.getLogger(__name__)

INDEX: Final = "search_index"
"""SQLite's virtual table; it keeps others whose names begin so."""
TRIGRAMS: Final = "ix_search_texts_trigrams"
"""PostgreSQL's index."""
RESULT_TRIGRAMS: Final = "ix_runs_result_trigrams"
"""PostgreSQL's index over LearningCart's numbers. SQLite looks through its own index over them, which is as fast."""
DOMAINS: Final = "ix_learners_domain"
"""PostgreSQL's index over the domains of addresses, whose trigrams are in most of its texts."""
_ON_POSTGRESQL: Final = {
    TRIGRAMS: "search_texts USING gin (text gin_trgm_ops)",
    RESULT_TRIGRAMS: "runs USING gin (result_id gin_trgm_ops)",
    DOMAINS: "learners (split_part(email_key, '@', 2) text_pattern_ops)",
}
_MOST_TRIGRAMS: Final = 12
_TRIGGERS: Final = {
    "tr_search_texts_added": (
        "AFTER INSERT", "INSERT INTO search_index(rowid, text) VALUES (new.id, new.text);",
    ),
    "tr_search_texts_deleted": (
        "AFTER DELETE",
        "INSERT INTO search_index(search_index, rowid, text) VALUES ('delete', old.id, old.text);",
    ),
    "tr_search_texts_changed": (
        "AFTER UPDATE",
        (
            "INSERT INTO search_index(search_index, rowid, text) VALUES ('delete', old.id, old.text); "
            "INSERT INTO search_index(rowid, text) VALUES (new.id, new.text);"
        ),
    ),
}  # fmt: skip
_FTS5: Final = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS search_index USING fts5(text, content='search_texts', content_rowid='id', "
    "tokenize='trigram', detail=none, columnsize=0)"
)


def has_index(connection: Connection) -> bool:
    """Whether all records are searched, and not the newest alone."""
    if connection.dialect.name == "sqlite":
        asked = text("SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name = 'tr_search_texts_changed'")
    else:
        asked = text("SELECT to_regclass(:name) IS NOT NULL").bindparams(name=TRIGRAMS)
    return bool(connection.scalar(asked))


def make_index(connection: Connection) -> bool:
    """Make the index where the database can have it, and stop using one that it cannot read; whether there is one.

    Safe to repeat. A failure leaves the transaction as it was.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    try:
        with connection.begin_nested():
            if is_sqlite:
                connection.exec_driver_sql(_FTS5)
                if not has_index(connection):
                    for name, (moment, action) in _TRIGGERS.items():
                        connection.exec_driver_sql(f"CREATE TRIGGER {name} {moment} ON search_texts BEGIN {action} END")
                    connection.exec_driver_sql("INSERT INTO search_index(search_index) VALUES ('rebuild')")
                connection.exec_driver_sql("SELECT rowid FROM search_index LIMIT 0")
            else:
                connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS pg_trgm")
                for name, what in _ON_POSTGRESQL.items():
                    connection.exec_driver_sql(f"CREATE INDEX IF NOT EXISTS {name} ON {what}")
    except DBAPIError as error:
        log.info("a search goes through the newest orders only: %s", type(error.orig).__name__)
        if is_sqlite:
            for name in _TRIGGERS:
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
        return False
    return True


def drop_traces(cursor: Any) -> None:
    """Take out of SQLite's index what it keeps of texts that were changed or deleted, until it is merged."""
    cursor.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name = 'tr_search_texts_changed'")
    if cursor.fetchone()[0]:
        cursor.execute("INSERT INTO search_index(search_index) VALUES ('optimize')")


def match_of(wanted: Sequence[Needle]) -> str | None:
    """FTS5's question for the trigrams of all words that have any; None where none has."""
    asked = []
    for needle in wanted:
        spelled = [_trigrams(spelling) for spelling in needle]
        if all(spelled):
            asked.append("(" + " OR ".join(f"({' AND '.join(each)})" for each in spelled) + ")")
    return " AND ".join(asked) or None


def _trigrams(spelling: str) -> list[str]:
    every = dict.fromkeys(spelling[start : start + 3] for start in range(len(spelling) - 2))
    return ['"' + each.replace('"', '""') + '"' for each in list(every)[:_MOST_TRIGRAMS]]


def is_of_model(name: str | None, kind: str, _parents: Any = None) -> bool:
    """Whether a table or an index is one that the models and migrations describe; for Alembic's comparison."""
    return not ((kind == "table" and (name or "").startswith(INDEX)) or (kind == "index" and name in _ON_POSTGRESQL))
