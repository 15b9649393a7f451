"""Columns for what is known of a failed attempt's effect, and for the attempts a restored ledger only supposes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None
tolerates = "0017"
"""The version before writes neither column: its attempts may have acted, and it recovers no ledger by them."""

_FORGOTTEN_CALL = "the ledger was restored from an older copy: this may have been sent since"


def upgrade() -> None:
    """Two columns. What earlier attempts came to stays unknown; those of a recovery are known by their text, once."""
    op.add_column("attempts", sa.Column("may_have_acted", sa.Boolean(), nullable=True))
    op.add_column("attempts", sa.Column("is_forgotten", sa.Boolean(), server_default=sa.false(), nullable=False))
    attempts = sa.table("attempts", sa.column("error", sa.String()), sa.column("is_forgotten", sa.Boolean()))
    op.execute(sa.update(attempts).where(attempts.c.error == _FORGOTTEN_CALL).values(is_forgotten=True))
