"""Studiocart's subscriptions, which orders are theirs, and the names of products."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Three new tables, all of which the version before leaves alone."""
    op.create_table(
        "subscriptions",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("subscription_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("access", sa.String(), nullable=False),
        sa.Column("product_id", sa.String(), nullable=True),
        sa.Column("buyer_email_key", sa.String(), nullable=False),
        sa.Column("initial_order_id", sa.String(), nullable=True),
        sa.Column("next_bill_on", sa.String(), nullable=True),
        sa.Column("canceled_on", sa.String(), nullable=True),
        sa.Column("period_ends_on", sa.String(), nullable=True),
        sa.Column(
            "document",
            sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
            nullable=False,
        ),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("polled_hash", sa.String(), nullable=True),
        sa.Column("live_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_reason", sa.String(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resumed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told_reason", sa.String(), nullable=True),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "subscription_id", name="pk_subscriptions"),
    )
    op.create_index("ix_subscriptions_buyer", "subscriptions", ["source", "buyer_email_key", "product_id"])
    op.create_index("ix_subscriptions_judging", "subscriptions", ["source", "judged_at"])
    op.create_index("ix_subscriptions_ended", "subscriptions", ["source", "ended_reason"])
    op.create_table(
        "subscription_orders",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("subscription_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("source", "order_id", name="pk_subscription_orders"),
    )
    op.create_index("ix_subscription_orders_subscription", "subscription_orders", ["source", "subscription_id"])
    op.create_table(
        "catalog",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("product_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "product_id", name="pk_catalog"),
    )
