"""The last valid offers, so that a file with a mistake in it stops nothing, a restart included."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
tolerates = "0009"
"""The version before reads the file alone and leaves the new table be."""


def upgrade() -> None:
    """One new table."""
    op.create_table(
        "offers_in_force",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("valid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("problem_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_offers_in_force"),
    )
