"""Sessions and lock-outs of the web, which outlive a restart and hold in every process; webhooks that were refused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
tolerates = "0013"
"""The version before keeps sessions and lock-outs to itself, as it always did."""


def upgrade() -> None:
    """Three new tables, which the version before leaves alone."""
    op.create_table(
        "web_sessions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_web_sessions"),
    )
    op.create_table(
        "web_lockouts",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("open_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("kind", "address", name="pk_web_lockouts"),
    )
    op.create_index("ix_web_lockouts_seen_at", "web_lockouts", ["seen_at"])
    op.create_table(
        "webhook_refusals",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "kind", name="pk_webhook_refusals"),
    )
