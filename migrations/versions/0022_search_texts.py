"""What orders and completions are found by: one folded text each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from worker.ledger.search.texts import fill

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None
tolerates = "0022"
"""The versions before would take in orders that no search finds, and leave a forgotten person in the texts."""


def upgrade() -> None:
    """A new table, filled from the orders and runs there are. `Ledger.migrate` makes the index over it."""
    op.create_table(
        "search_texts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("record_id", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_texts"),
    )
    fill(op.get_bind())
    op.create_index("uq_search_texts_record", "search_texts", ["source", "record_id"], unique=True)
