"""What tells a server that works from one that stalls, and one run's trouble from its destination's."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None
tolerates = "0009"
"""An older version writes rows without them, which says that nothing is known of either."""


def upgrade() -> None:
    """Two new columns: how long a lookup's answer took, and the runs that failed though others were answered."""
    op.add_column("attempts", sa.Column("answer_seconds", sa.Float(), nullable=True))
    op.add_column(
        "breakers",
        sa.Column(
            "own_failing_run_ids",
            sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql"),
            nullable=True,
        ),
    )
