"""Two addresses that merely fold alike are two people: the keys of addresses, and the lanes of learners, anew."""

from __future__ import annotations

from alembic import op

from worker.ledger.learners.email_keys import rekey

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
tolerates = "0011"
"""The version before would look for people under the keys of before, and put two into one lane again."""


def upgrade() -> None:
    """No table changes: `straße@…` and `strasse@…`, one key so far, get one each."""
    rekey(op.get_bind())
