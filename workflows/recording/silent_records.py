"""Records that say nothing of a place: what one before said of it stands.

What the source includes in an answer is asked for, and may be left out: a place on a waiting list is not confirmed by
an answer that shows no status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.sources.order import Order, Seat


def with_holds_of_before(order: Order, document: Mapping[str, Any]) -> Order:
    """The order with the holds that its recorded content, `document`, has and that its own record does not deny."""
    before = {
        (line.get("id"), seat.get("id")): seat
        for line in document.get("lines", ())
        for seat in line.get("seats", ())
        if seat.get("hold")
    }
    if not before or not any(seat.undenied for line in order.lines for seat in line.seats):
        return order
    lines = tuple(
        line.model_copy(update={"seats": tuple(_held(seat, before.get((line.id, seat.id), {})) for seat in line.seats)})
        for line in order.lines
    )
    return order.model_copy(update={"lines": lines})


def _held(seat: Seat, before: Mapping[str, Any]) -> Seat:
    hold, date_id = before.get("hold"), before.get("course_date_id")
    is_same_date = None in {date_id, seat.course_date_id} or date_id == seat.course_date_id
    if seat.hold is not None or hold not in seat.undenied or not is_same_date:
        return seat
    return seat.model_copy(update={"hold": hold, "note": before.get("note", "")})
