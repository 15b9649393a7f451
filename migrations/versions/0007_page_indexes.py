"""What the operator's page needs to stay fast on a million runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_PARTIAL = (
    ("ix_runs_needs_reason", "runs", ["state", "reason", "created_at", "id"], "state IN ('review', 'failed')"),
    ("ix_runs_needs", "runs", ["state", "created_at", "id"], "state IN ('review', 'failed')"),
    ("ix_runs_reason", "runs", ["reason", "created_at", "id"], "reason IS NOT NULL"),
    ("ix_runs_other_system", "runs", ["system", "created_at", "id"], "system <> 'learningcart'"),
    ("ix_runs_succeeded_at", "runs", ["state", "finished_at"], "state = 'succeeded'"),
    ("ix_orders_needs_reason", "orders", ["state", "reason", "updated_at"], "state = 'review'"),
    ("ix_orders_reason", "orders", ["reason", "updated_at"], "reason IS NOT NULL"),
    ("ix_deliveries_needs_reason", "deliveries", ["state", "reason", "received_at"], "state = 'review'"),
)


def upgrade() -> None:
    """Indexes alone, which the version before keeps up without knowing of them. While each is made, writers wait."""
    for name, table, columns, of in _PARTIAL:
        op.create_index(name, table, columns, unique=False, sqlite_where=sa.text(of), postgresql_where=sa.text(of))
    op.create_index("ix_orders_source_news", "orders", ["source", "updated_at"], unique=False)
    for name, table, column in (
        ("ix_orders_buyer_name", "orders", "buyer_name"),
        ("ix_learners_email_begins", "learners", "email_key"),
    ):
        op.create_index(name, table, [column], unique=False, postgresql_ops={column: "text_pattern_ops"})
