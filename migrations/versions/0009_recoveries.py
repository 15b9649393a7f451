"""What a restored ledger may have forgotten, and which older version may work on a newer schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
tolerates = "0009"
"""The version before plans runs without asking what a restored ledger may have forgotten."""


def upgrade() -> None:
    """Two new tables, which the version before leaves alone."""
    op.create_table(
        "recoveries",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("copied_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recovered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "steps",
            sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
            nullable=False,
        ),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_recoveries"),
    )
    op.create_table(
        "schema_tolerance",
        sa.Column("revision", sa.String(), nullable=False),
        sa.Column("tolerates", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name="pk_schema_tolerance"),
    )
