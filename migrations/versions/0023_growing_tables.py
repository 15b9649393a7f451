"""Indexes for the last statements that read a growing table whole, and room in PostgreSQL's pages for updates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None
tolerates = "0022"
"""The version before knows neither index nor storage."""

_UPDATED = ("runs", "steps", "attempts", "orders", "deliveries")
"""Their rows are inserted, and updated some times in the seconds after."""


def upgrade() -> None:
    """An answered attempt is found by its effect, a sealed password among the sealed, a subscription by its buyer."""
    has_result = sa.text("result_id IS NOT NULL")
    is_sealed = sa.text("ciphertext IS NOT NULL")
    op.create_index(
        "ix_attempts_result_id", "attempts", ["result_id"], sqlite_where=has_result, postgresql_where=has_result
    )
    op.drop_index("ix_sealed_passwords_created_at", "sealed_passwords")
    op.create_index(
        "ix_sealed_passwords_sealed",
        "sealed_passwords",
        ["created_at"],
        sqlite_where=is_sealed,
        postgresql_where=is_sealed,
    )
    op.drop_index("ix_subscriptions_buyer", "subscriptions")
    op.create_index("ix_subscriptions_buyer", "subscriptions", ["buyer_email_key", "source", "product_id"])
    if op.get_bind().dialect.name == "postgresql":
        for table in _UPDATED:
            # An update finds room in its own page, and writes no index where none of its columns changed; dead rows go
            # after a fiftieth of the table, not a fifth, which of millions would be long in coming.
            op.execute(f"ALTER TABLE {table} SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02)")
