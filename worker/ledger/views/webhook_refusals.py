"""What an operator should know of webhooks that could not be used as they came, for `cartbridge check`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, select

from worker.formatting import minute
from worker.ledger.tables.web import webhook_refusals
from worker.ledger.web.webhook_refusals import NO_ORDER_ID, UNAUTHENTICATED, WRONG_METHOD

_SHOWN_FOR: Final = timedelta(days=7)
_SENTENCES: Final = {
    WRONG_METHOD: (
        "was sent by GET: it is refused, and a secret in its address is in every log on the way. "
        "Set its method to POST."
    ),
    UNAUTHENTICATED: (
        "was refused, since nothing proved its sender: its secret is missing or another, or somebody guesses."
    ),
    NO_ORDER_ID: "named no order, so the source was polled instead.",
}
_STUDIOCART_HEADERS: Final = " Its custom headers replace its body: take them out."
"""Why a webhook of Studiocart names no order. No other source is known to do so."""


def refusal_sentences(connection: Connection, *, now: datetime) -> list[str]:
    """What an operator should know of the last days, a sentence for each kind."""
    found = connection.execute(
        select(webhook_refusals)
        .where(webhook_refusals.c.at > now - _SHOWN_FOR)
        .order_by(webhook_refusals.c.source, webhook_refusals.c.kind)
    )
    return [_sentence(row.source, row.kind, row.at) for row in found if row.kind in _SENTENCES]


def _sentence(source: str, kind: str, at: datetime) -> str:
    why = _STUDIOCART_HEADERS if (source, kind) == ("studiocart", NO_ORDER_ID) else ""
    return f"A webhook of {source} ({minute(at)}) {_SENTENCES[kind]}{why} See docs/webhooks.md."
