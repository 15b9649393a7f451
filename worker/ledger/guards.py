"""Whether the database still refuses to change what is only added to: the audit trail and the orders' versions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from sqlalchemy import Connection, text

ON_SQLITE: Mapping[str, str] = {
    "events_refuse_delete": "99cdb40fe94234ef",
    "events_refuse_replace": "826a4b76ce463c30",
    "events_refuse_update": "b32adf2587af6ae7",
    "order_versions_refuse_delete": "e84689c7c897e1a7",
    "order_versions_refuse_replace": "cd41a27e729d9c6f",
    "order_versions_refuse_update": "9fa831c4b23b9f16",
}
"""The triggers on SQLite, each with the digest of its statement."""
ON_POSTGRESQL: Mapping[str, str] = {
    "events_refuse_change": "665a98021776665f",
    "order_versions_refuse_change": "7858dccad0129a94",
}
"""The triggers on PostgreSQL, each with the digest of its function's body."""
_OF_SQLITE = text(
    "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ('events', 'order_versions')"
)
_OF_POSTGRESQL = text(
    "SELECT t.tgname, p.prosrc FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
    "JOIN pg_class c ON c.oid = t.tgrelid "
    "WHERE c.relname IN ('events', 'order_versions') AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')"
)
_OWNED = text(
    "SELECT c.relname FROM pg_class c WHERE c.relname IN ('events', 'order_versions') AND c.relkind IN ('r', 'p') "
    "AND pg_has_role(current_user, c.relowner, 'USAGE') ORDER BY c.relname"
)


def digests(connection: Connection) -> dict[str, str]:
    """The digest of each trigger there is and that is switched on, by its name."""
    is_sqlite = connection.dialect.name == "sqlite"
    rows = connection.execute(_OF_SQLITE if is_sqlite else _OF_POSTGRESQL)
    return {str(name): _digest(str(definition)) for name, definition in rows}


def missing_guards(connection: Connection) -> list[str]:
    """The triggers that are gone, switched off, or not what the migrations made."""
    expected = ON_SQLITE if connection.dialect.name == "sqlite" else ON_POSTGRESQL
    found = digests(connection)
    return sorted(name for name, digest in expected.items() if found.get(name) != digest)


def owned_tables(connection: Connection) -> list[str]:
    """On PostgreSQL, the guarded tables that our own role owns, and so could take the triggers off."""
    return [] if connection.dialect.name == "sqlite" else [str(name) for name in connection.scalars(_OWNED)]


def guard_warning(connection: Connection) -> str | None:
    """What to say where the audit trail can be rewritten; None where it cannot."""
    gone = missing_guards(connection)
    if not gone:
        return None
    return (
        f"The audit trail can be rewritten: {', '.join(gone)} {'is' if len(gone) == 1 else 'are'} gone, switched off "
        f"or changed. Somebody with access to the database did that; restore the triggers from a backup's schema, and "
        f"see docs/security.md."
    )


def _digest(definition: str) -> str:
    return hashlib.sha256(" ".join(definition.split()).encode()).hexdigest()[:16]
