"""Which version of Cartbridge read what is recorded of an order, and which places only a changed reading gives it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
tolerates = "0017"
"""The version before would record an order by the reading of before, and the next look would take that for news."""


def upgrade() -> None:
    """New columns. What they do not number was read by a version of before."""
    op.add_column("orders", sa.Column("reading", sa.Integer(), nullable=True))
    places = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
    op.add_column("orders", sa.Column("read_anew", places, nullable=True))
    op.add_column("order_versions", sa.Column("reading", sa.Integer(), nullable=True))
