"""What is only added to refuses a row that would take another's place: INSERT OR REPLACE calls no delete trigger."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
tolerates = "0009"
"""The version before never replaces such a row."""

_KEYS = {"events": ("id",), "order_versions": ("source", "order_id", "number")}


def upgrade() -> None:
    """SQLite alone: PostgreSQL's ON CONFLICT DO UPDATE is an update, which its trigger refuses."""
    if op.get_bind().dialect.name != "sqlite":
        return
    for table, keys in _KEYS.items():
        is_same = " AND ".join(f"{key} = NEW.{key}" for key in keys)
        taken = f"EXISTS (SELECT 1 FROM {table} WHERE {is_same})"  # noqa: S608  (names of our own)
        op.execute(
            f"CREATE TRIGGER {table}_refuse_replace BEFORE INSERT ON {table} WHEN {taken} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is only added to'); END"
        )
