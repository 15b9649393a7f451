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
    "events_refuse_change": "5f6d0de0b9e1f5c6",
    "events_refuse_truncate": "9a03847817e682d6",
    "order_versions_refuse_change": "f1023fd6048415ba",
    "order_versions_refuse_truncate": "5229d7a1cd661a55",
}
"""The triggers on PostgreSQL, each with the digest of its definition and its function's body."""
_OF_SQLITE = text(
    "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ('events', 'order_versions')"
)
# The tables that are meant by their names; a trigger that says of itself when it fires; none that our role skips.
_OF_POSTGRESQL = text(
    "SELECT t.tgname, replace(pg_get_triggerdef(t.oid, true), 'PROCEDURE', 'FUNCTION') || ' ' || p.prosrc "
    "FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
    "WHERE t.tgrelid IN (to_regclass('events'), to_regclass('order_versions')) AND NOT t.tgisinternal "
    "AND (t.tgenabled = 'A' OR t.tgenabled = 'O' AND current_setting('session_replication_role') <> 'replica')"
)
_RULES = text(
    "SELECT r.rulename FROM pg_rewrite r WHERE r.ev_class IN (to_regclass('events'), to_regclass('order_versions'))"
)
_OWNED = text(
    "SELECT c.relname FROM pg_class c WHERE c.oid IN (to_regclass('events'), to_regclass('order_versions')) "
    "AND pg_has_role(current_user, c.relowner, 'USAGE') ORDER BY c.relname"
)


def digests(connection: Connection) -> dict[str, str]:
    """The digest of each trigger there is and that is switched on, by its name."""
    is_sqlite = connection.dialect.name == "sqlite"
    rows = connection.execute(_OF_SQLITE if is_sqlite else _OF_POSTGRESQL)
    return {str(name): _digest(str(definition)) for name, definition in rows}


def missing_guards(connection: Connection) -> list[str]:
    """The triggers that are gone, switched off, or not what the migrations made."""
    expected, found = _expected(connection), digests(connection)
    return sorted(name for name, digest in expected.items() if found.get(name) != digest)


def foreign_guards(connection: Connection) -> list[str]:
    """Triggers and rules on these tables that no migration made: one may keep from the trail what belongs there."""
    found = set(digests(connection)) - _expected(connection).keys()
    if connection.dialect.name != "sqlite":
        found |= {str(name) for name in connection.scalars(_RULES)}
    return sorted(found)


def _expected(connection: Connection) -> Mapping[str, str]:
    return ON_SQLITE if connection.dialect.name == "sqlite" else ON_POSTGRESQL


def owned_tables(connection: Connection) -> list[str]:
    """On PostgreSQL, the guarded tables that our own role owns, and so could take the triggers off."""
    return [] if connection.dialect.name == "sqlite" else [str(name) for name in connection.scalars(_OWNED)]


def guard_warning(connection: Connection) -> str | None:
    """What to say where the audit trail can be rewritten; None where it cannot."""
    gone, foreign = missing_guards(connection), foreign_guards(connection)
    if gone:
        return (
            f"The audit trail can be rewritten: {', '.join(gone)} {_are(gone)} gone, switched off or changed. Somebody "
            f"with access to the database did that; restore the triggers from a backup's schema, and see "
            f"docs/security.md."
        )
    if foreign:
        return (
            f"The audit trail may lose lines: {', '.join(foreign)} {_are(foreign)} no trigger or rule of Cartbridge's. "
            f"Somebody with access to the database put that there; see docs/security.md."
        )
    return None


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _digest(definition: str) -> str:
    return hashlib.sha256(" ".join(definition.split()).encode()).hexdigest()[:16]
