"""The order as it is to be planned where an operator said whom a seat is for. Pure.

What the operator typed holds as long as the source says of the seat what it said then; what it says otherwise from then
on is news, and is followed as any change of a learner. Refunds and removals are the source's in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from worker.ledger.orders.operator_entries import NamedSeat, hash_of
from worker.reasons import Reason
from worker.sources.order import Line, Order, Seat, email_key
from workflows.planning.line_keys import LineKeys
from workflows.planning.seat_matching import Place, is_moved, is_nameless

SETTLED_HOLDS: Final = frozenset({Reason.UNNAMED_SEAT, Reason.MISSING_EMAIL, Reason.INVALID_EMAIL, Reason.SHARED_EMAIL})
"""What a person's name and address settle. A waiting list, an unknown status or an erasure they do not."""


@dataclass(frozen=True)
class Named:
    """An order with the operator's people in it."""

    order: Order
    places: frozenset[Place] = frozenset()
    """The seats whose person is the operator's: name and address go together there."""
    seats: tuple[NamedSeat, ...] = ()
    """Those that were named in this look, with what the source says of them now. One that the order has not is left
    out."""


def with_named_seats(
    order: Order, known: Sequence[NamedSeat], asked: Sequence[NamedSeat], line_keys: LineKeys
) -> Named:
    """Put the operator's people into their seats. `asked`: named in this look, which go before what was `known`."""
    if not known and not asked:
        return Named(order)
    known = _counted_anew(order, known, line_keys)
    places: set[Place] = set()
    seats: list[NamedSeat] = []
    lines = []
    for line in order.lines:
        filled = []
        for seat in line.seats:
            place = (line_keys.keys.get(line.id, line.id), seat.id)
            standing = _named(order, line, place, known)
            if standing is not None and (
                standing.source_hash != hash_of(seat.learner) or _is_elsewhere(line, seat, standing)
            ):
                standing = None  # the source names somebody else since, or them elsewhere: that is news
            found = _named(order, line, place, asked)
            if found is not None:
                seats.append(replace(found, source_hash=hash_of(seat.learner)))
            found = found or standing
            # Who was forgotten is given nothing; who has their place by then, and was not, keeps it.
            if found is None or (seat.hold == Reason.LEARNER_ERASED and standing is None):
                filled.append(seat)
                continue
            places.add((line.id, seat.id))
            filled.append(_filled(seat, found))
        lines.append(line.model_copy(update={"seats": tuple(filled)}))
    return Named(order.model_copy(update={"lines": tuple(lines)}), frozenset(places), tuple(seats))


def _counted_anew(order: Order, known: Sequence[NamedSeat], line_keys: LineKeys) -> list[NamedSeat]:
    """The people of nameless seats that are counted away, since the source names somebody, on those that are left."""
    found = {(seat.line_id, seat.seat_id): seat for seat in known}
    for line in order.lines:
        line_id = line_keys.keys.get(line.id, line.id)
        own = {seat_id: seat for (of_line, seat_id), seat in found.items() if of_line in {line_id, line.id}}
        present = {seat.id for seat in line.seats}
        nameless = next((seat for seat in line.seats if seat.learner is None and is_nameless(seat.id)), None)
        gone = [seat for seat_id, seat in sorted(own.items()) if seat_id not in present and is_nameless(seat_id)]
        if nameless is not None:
            gone = [seat for seat in gone if not _is_elsewhere(line, nameless, seat)]
        free = (seat for seat in line.seats if seat.learner is None and is_nameless(seat.id) and seat.id not in own)
        for was, seat in zip(gone, free, strict=False):
            del found[was.line_id, was.seat_id]
            found[line_id, seat.id] = replace(was, line_id=line_id, seat_id=seat.id)
    return list(found.values())


def _named(order: Order, line: Line, place: Place, seats: Sequence[NamedSeat]) -> NamedSeat | None:
    """The naming of a seat, also under the place it had before its participant or its course date was known."""
    by_place = {(seat.line_id, seat.seat_id): seat for seat in seats}
    found = by_place.get(place) or by_place.get((line.id, place[1]))
    if found is not None:
        return found
    present = {(each.id, seat.id) for each in order.lines for seat in each.seats}
    return next((seat for was, seat in by_place.items() if was not in present and is_moved(was, place)), None)


def _is_elsewhere(line: Line, seat: Seat, named: NamedSeat) -> bool:
    """Whether the source itself names the person of a nameless seat on another one of its line."""
    if seat.learner is not None:
        return False
    key = email_key(named.learner.email)
    return any(each.learner is not None and email_key(each.learner.email) == key for each in line.seats)


def _filled(seat: Seat, named: NamedSeat) -> Seat:
    address = named.learner.address or (None if seat.learner is None else seat.learner.address)
    learner = named.learner.model_copy(update={"address": address})
    hold = None if seat.hold in SETTLED_HOLDS | {Reason.LEARNER_ERASED} else seat.hold
    return seat.model_copy(update={"learner": learner, "hold": hold, "note": "" if hold is None else seat.note})
