"""Operators who sign in by name, notes on orders, and an index of what operators did."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None
tolerates = "0020"
"""The version before signs in by the admin password alone, and shows no notes."""

_ACTIVITY = "actor NOT IN ('engine', 'source') OR kind = 'system_paused'"


def upgrade() -> None:
    """Two tables, a column that older versions leave empty, and a partial index."""
    op.create_table(
        "operators",
        sa.Column("name_key", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("added_by", sa.String(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signed_in_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name_key", name="pk_operators"),
    )
    op.add_column("web_sessions", sa.Column("operator_key", sa.String(), nullable=True))
    op.create_table(
        "order_notes",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_order_notes"),
    )
    op.create_index("ix_order_notes_order", "order_notes", ["source", "order_id"])
    op.create_index("ix_order_notes_at", "order_notes", ["at"])
    of = sa.text(_ACTIVITY)
    op.create_index("ix_events_activity", "events", ["at", "id"], sqlite_where=of, postgresql_where=of)
