"""The people an operator gave seats to, where the source names nobody or the wrong address."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None
tolerates = "0019"
"""The version before does not know whom an operator named, and would take the source's word at its next look."""


def upgrade() -> None:
    """A new table."""
    person = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
    op.create_table(
        "named_seats",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("line_id", sa.String(), nullable=False),
        sa.Column("seat_id", sa.String(), nullable=False),
        sa.Column("email_key", sa.String(), nullable=False),
        sa.Column("learner", person, nullable=False),
        sa.Column("source_hash", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("named_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "order_id", "line_id", "seat_id", name="pk_named_seats"),
    )
    op.create_index("ix_named_seats_email_key", "named_seats", ["email_key"])
