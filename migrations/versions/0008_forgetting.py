"""What a source sent of an order may be dropped, and nothing else of it: a learner who asks to be forgotten."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """An order's versions are still only added to, but that their raw record may become the mark of forgetting."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER order_versions_refuse_update")
        op.execute(
            "CREATE TRIGGER order_versions_refuse_update BEFORE UPDATE ON order_versions "
            "WHEN NOT (json(NEW.raw) = '{\"forgotten\"\\:true}' AND NEW.source = OLD.source "
            "AND NEW.order_id = OLD.order_id AND NEW.number = OLD.number AND NEW.content_hash = OLD.content_hash "
            "AND NEW.delivery_id IS OLD.delivery_id AND NEW.seen_at = OLD.seen_at) "
            "BEGIN SELECT RAISE(ABORT, 'order_versions is only added to'); END"
        )
        return
    op.execute(
        "CREATE OR REPLACE FUNCTION order_versions_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF TG_OP = 'UPDATE' AND NEW.raw = '{\"forgotten\": true}'::jsonb "
        "AND (NEW.source, NEW.order_id, NEW.number, NEW.content_hash, NEW.delivery_id, NEW.seen_at) "
        "IS NOT DISTINCT FROM "
        "(OLD.source, OLD.order_id, OLD.number, OLD.content_hash, OLD.delivery_id, OLD.seen_at) "
        "THEN RETURN NEW; END IF; "
        "RAISE EXCEPTION 'order_versions is only added to'; END $$"
    )
