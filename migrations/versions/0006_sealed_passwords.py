"""Passwords of new customers, encrypted, until their mail is accepted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One new table, which the version before leaves alone."""
    op.create_table(
        "sealed_passwords",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("ciphertext", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_sealed_passwords_runs"),
        sa.PrimaryKeyConstraint("run_id", name="pk_sealed_passwords"),
    )
    op.create_index("ix_sealed_passwords_created_at", "sealed_passwords", ["created_at"], unique=False)
