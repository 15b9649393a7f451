"""What a month and a day are counted by, whole in indexes: no row is read for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None
tolerates = "0023"
"""The version before finds what it looks for in these indexes, too."""

_NEEDS = ["state", "reason", "created_at", "id", "source", "order_id"]
_ENDED = ["state", "finished_at", "workflow", "title", "source", "order_id"]


def upgrade() -> None:
    """Indexes alone. While each is made, writers wait."""
    op.drop_index("ix_runs_needs_reason", "runs")
    for name, columns, of in (
        ("ix_runs_ended", _ENDED, "finished_at IS NOT NULL"),
        ("ix_runs_needs_reason", _NEEDS, "state IN ('review', 'failed')"),
        ("ix_runs_revoked_at", ["created_at"], "workflow = 'revocation'"),
    ):
        op.create_index(name, "runs", columns, sqlite_where=sa.text(of), postgresql_where=sa.text(of))
    op.drop_index("ix_runs_succeeded_at", "runs")
    op.create_index("ix_orders_first_seen_at", "orders", ["first_seen_at"])
