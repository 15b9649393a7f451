"""A note on an order: what one operator wants the next one to know."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from sqlalchemy import select

from worker.errors import CartbridgeError, NotInLedgerError
from worker.ledger.events import record_event
from worker.ledger.orders.operator_entries import add_note
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import orders
from worker.text.control_characters import CONTROL_CHARACTERS

LONGEST_NOTE: Final = 2000
_PARAGRAPHS: Final = re.compile(r"\n{3,}")


class NoteError(CartbridgeError):
    """A note that cannot be kept; the message says why."""


def clean_note(text: str) -> str:
    """The note as it is kept: lines without white space at their ends, at most one empty one between two.

    Raises `NoteError`.
    """
    lines = (" ".join(line.split()).translate(CONTROL_CHARACTERS) for line in text.splitlines())
    found = _PARAGRAPHS.sub("\n\n", "\n".join(lines)).strip()
    if not found:
        raise NoteError("The note is empty.")
    if len(found) > LONGEST_NOTE:
        raise NoteError(f"A note has at most {LONGEST_NOTE:,} characters; this one has {len(found):,}.")
    return found


def note_order(
    ledger: Ledger, source: str, order_id: str, text: str, *, actor: str, dry_run: bool, now: datetime
) -> str:
    """Write a note on an order; one transaction. The audit trail has that there is one, not what stands in it.

    Raises `NoteError`, `NotInLedgerError`.
    """
    note = clean_note(text)
    about = {"source": source, "order_id": order_id}
    with ledger.write() as connection:
        of_order = (orders.c.source == source, orders.c.order_id == order_id)
        if connection.execute(select(orders.c.order_id).where(*of_order)).first() is None:
            raise NotInLedgerError(f"There is no order {source}/{order_id}. See: cartbridge orders list")
        if dry_run:
            return f"would write on {source}/{order_id}: {note}"
        note_id = add_note(connection, source, order_id, note, actor=actor, now=now)
        record_event(connection, at=now, kind="order_noted", actor=actor, **about, detail={"note_id": note_id})
    return f"wrote a note on {source}/{order_id}"
