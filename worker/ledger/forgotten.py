"""What stands in the ledger for a learner who was forgotten, and how an order of theirs is read from then on."""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import Row

from worker.ledger.order_rows import content_hash
from worker.sources.order import Order

FORGOTTEN: Final = "forgotten"
_DOMAIN: Final = f"@{FORGOTTEN}.invalid"
HELD: Final = "missing_email"
"""The reason for which a forgotten learner's place is given to nobody."""


def pseudonym(learner_id: str | None) -> str:
    """An address that no mail reaches (RFC 2606), and that holds nothing of the person."""
    return f"{FORGOTTEN}-{learner_id or 'learner'}{_DOMAIN}".lower()


def is_pseudonym(email: str | None) -> bool:
    """Whether an email is one of those."""
    return (email or "").endswith(_DOMAIN)


def hold_places(document: dict[str, Any]) -> dict[str, Any]:
    """An order's document in which the places of forgotten learners are held: no offer gives a pseudonym access."""
    lines = [
        line
        | {
            "seats": [
                seat | {"hold": HELD} if is_pseudonym((seat.get("learner") or {}).get("email")) else seat
                for seat in line.get("seats", ())
            ]
        }
        for line in document.get("lines", ())
    ]
    return document | {"lines": lines}


def as_kept(order: Order, row: Row[Any] | None) -> tuple[Order, str]:
    """An order that was read, and the hash of its content; without whom the ledger has forgotten, where nothing is new.

    The source still names them: seen again as it was, their order brings nobody back, and asks nothing. `row` is the
    order's own; None where there is none.
    """
    read = content_hash(order)
    if row is None or _DOMAIN not in json.dumps(row.document):
        return order, read
    kept = Order.model_validate(row.document)
    if read not in {row.content_hash, content_hash(kept)}:
        return order, read
    annotations = {"renewal": order.renewal, "subscription_id": order.subscription_id}
    return kept.model_copy(update=annotations | {"subscription": order.subscription}), str(row.content_hash)
