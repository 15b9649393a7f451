"""An order's seats that nobody is named for, and whether a list of people fills them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from worker.formatting import counted
from worker.ledger import keys
from worker.ledger.states import RunState
from worker.ledger.tables.runs import Run
from worker.reasons import Reason

NAMELESS: Final = (Reason.UNNAMED_SEAT, Reason.MISSING_EMAIL)
"""The reviews of seats that nobody is named for, which a list of people fills."""
_NUMBERS: Final = re.compile(r"(\d+)")


def nameless_seats(rows: Sequence[Run]) -> list[Run]:
    """The nameless ones among an order's runs, by line and seat, `seat-2` before `seat-10`."""
    return sorted((row for row in rows if _is_nameless(row)), key=_place)


def why_not_filled(free: Sequence[Run], emails: Sequence[str]) -> str | None:
    """Why a list of people, by their addresses, is not given these seats, in a sentence; None where it can be."""
    lines = {row.line_id: row.title or row.line_id for row in free}
    if len(emails) > len(free):
        people = "1 person" if len(emails) == 1 else f"{len(emails)} people"
        return f"{people} for {counted(len(free), 'seat')} without a name: nobody was named."
    if len(lines) > 1:
        return f"Its nameless seats are of several products ({', '.join(lines.values())}): name them one by one."
    if len(set(emails)) < len(emails):
        return "An address stands twice in the list: nobody was named."
    return None


def _is_nameless(row: Run) -> bool:
    is_placeholder = row.key.rpartition("/")[2] == keys.UNNAMED
    return is_placeholder and row.state == RunState.REVIEW and row.reason in NAMELESS


def _place(row: Run) -> tuple[Any, ...]:
    return (row.line_id, [int(part) if part.isdecimal() else part for part in _NUMBERS.split(row.seat_id)])
