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

_SUCCEEDED = sa.text("state = 'succeeded'")
_REVOCATIONS = sa.text("workflow = 'revocation'")
_REFUNDED = sa.text("reason = 'refunded_by_source'")


def upgrade() -> None:
    """Indexes alone. While each is made, writers wait."""
    columns = ["state", "finished_at", "workflow", "title", "source", "order_id"]
    op.drop_index("ix_runs_succeeded_at", "runs")
    op.create_index("ix_runs_succeeded_at", "runs", columns, sqlite_where=_SUCCEEDED, postgresql_where=_SUCCEEDED)
    for name, of, first in (
        ("ix_runs_revoked_at", _REVOCATIONS, ["workflow", "created_at"]),
        ("ix_runs_refunded_at", _REFUNDED, ["reason", "finished_at"]),
    ):
        op.create_index(name, "runs", first, sqlite_where=of, postgresql_where=of)
    op.create_index("ix_orders_first_seen_at", "orders", ["first_seen_at"])
