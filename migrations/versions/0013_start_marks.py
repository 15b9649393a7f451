"""The highest order id at the start of a source that computes its dates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
tolerates = "0009"
"""The version before decides by dates alone, as it always did, and leaves the new column be."""


def upgrade() -> None:
    """One new column. A ledger that knows orders of Studiocart takes the highest of their ids."""
    op.add_column("cursors", sa.Column("start_order_id", sa.BigInteger(), nullable=True))
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    orders = sa.table("orders", sa.column("source", sa.String), sa.column("order_id", sa.String))
    cursors = sa.table("cursors", sa.column("source", sa.String), sa.column("start_order_id", sa.BigInteger))
    numbered = orders.c.order_id.op("NOT GLOB" if is_sqlite else "~")("*[^0-9]*" if is_sqlite else "^[0-9]+$")
    highest = sa.select(sa.func.max(sa.cast(orders.c.order_id, sa.BigInteger)))
    known = highest.where(orders.c.source == "studiocart", numbered).scalar_subquery()
    op.execute(sa.update(cursors).where(cursors.c.source == "studiocart").values(start_order_id=known))
