"""The carts made for follow-on courses, and runs that belong to a completion instead of an order."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_CHILDREN = ("steps", "attempts")
"""What refers to a run: SQLite takes no table away that is referred to."""


def upgrade() -> None:
    """One new table; a run's order may be none, and a new column names its completion: the version before has both."""
    if op.get_bind().dialect.name == "sqlite":
        for table in _CHILDREN:
            op.execute(f"CREATE TEMPORARY TABLE kept_{table} AS SELECT * FROM {table}")  # noqa: S608  (our own names)
            op.execute(f"DELETE FROM {table}")  # noqa: S608
    with op.batch_alter_table("runs") as runs:
        runs.alter_column("order_id", existing_type=sa.String(), nullable=True)
        runs.add_column(sa.Column("completion_id", sa.String(), nullable=True))
        runs.create_foreign_key("fk_runs_completions", "completions", ["completion_id"], ["id"])
    op.create_index("ix_runs_completion_id", "runs", ["completion_id"], unique=False)
    if op.get_bind().dialect.name == "sqlite":
        for table in _CHILDREN:
            op.execute(f"INSERT INTO {table} SELECT * FROM kept_{table}")  # noqa: S608
            op.execute(f"DROP TABLE kept_{table}")
    op.create_table(
        "carts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("cart_id", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("checkout_url", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_carts_runs"),
        sa.PrimaryKeyConstraint("id", name="pk_carts"),
    )
    op.create_index("uq_carts_run_attempt", "carts", ["run_id", "attempt"], unique=True)
    op.create_index("ix_carts_state", "carts", ["state", "created_at"], unique=False)
