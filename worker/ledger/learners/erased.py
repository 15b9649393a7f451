"""What stands in the ledger for a learner who was forgotten, and how an order of theirs is read from then on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select

from worker.ledger.learners import tombstones
from worker.ledger.learners.mentions import emails_in
from worker.ledger.learners.tombstones import BUYER
from worker.ledger.orders.order_rows import ANNOTATIONS, content_hash
from worker.ledger.orders.recorded_orders import RecordedOrder
from worker.ledger.tables.runs import learners
from worker.sources.order import Learner, Line, Order, Seat, email_key

FORGOTTEN: Final = "forgotten"
_DOMAIN: Final = f"@{FORGOTTEN}.invalid"
HELD: Final = "learner_erased"
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


@dataclass(frozen=True)
class RecordableOrder:
    """An order as it may be stored."""

    order: Order
    content_hash: str
    read_hash: str
    """Of the order as it was read, by which a poll knows that it has seen it."""
    is_unchanged: bool = False
    """The ledger holds it so, and it is as the ledger has it."""


def as_recorded(
    connection: Connection, order: Order, row: RecordedOrder | None, *, has_erasures: bool = True
) -> RecordableOrder:
    """An order that was read, without whom the ledger has forgotten: however it was edited, it brings nobody back.

    Their places hold a pseudonym, are given to nobody, and the source's own record is dropped. An order that was made
    after they were forgotten is a new relationship, and stays as it is.

    An unchanged record is planned as it was recorded: by the reading of the version that recorded it, and by the date
    that was first seen. `row` is the order's own; None where there is none. `has_erasures`: somebody was forgotten.
    """
    read = content_hash(order)
    erased = _erased(connection, order, row) if has_erasures else None
    masked = order if erased is None else erased.without(order, _pseudonyms(row))
    hashed = read if erased is None else content_hash(masked)
    if row is None or row.version == 0:
        return RecordableOrder(masked, hashed, read)
    stored = Order.model_validate(row.document if erased is None else hold_places(row.document))
    if row.content_hash == "":  # its record is not there to be compared
        is_unchanged, recorded = row.status == order.status, hashed
    else:
        known = {row.content_hash, content_hash(stored)}
        is_unchanged, recorded = not known.isdisjoint({hashed, read}), str(row.content_hash)
    if not is_unchanged:
        return RecordableOrder(masked, hashed, read)
    fields = {name: getattr(masked, name) for name in (*ANNOTATIONS, "subscription", "raw")}
    if stored.created_at is None:
        fields["created_at"] = order.created_at
    return RecordableOrder(stored.model_copy(update=fields), recorded, read, is_unchanged=True)


@dataclass(frozen=True)
class _Erased:
    """What of an order is not to be kept."""

    places: frozenset[tuple[str, str]]
    keys: frozenset[str]
    """Of addresses."""

    def without(self, order: Order, names: dict[tuple[str, str], str]) -> Order:
        """The order with pseudonyms, those it had before where it had some."""
        lines = tuple(self._line(line, names) for line in order.lines)
        values: dict[str, Any] = {"lines": lines, "raw": {FORGOTTEN: True}}
        if BUYER in self.places or email_key(order.buyer_email) in self.keys:
            values |= {"buyer_email": names.get(BUYER) or pseudonym(None), "buyer_name": "", "company": ""}
        return order.model_copy(update=values)

    def _line(self, line: Line, names: dict[tuple[str, str], str]) -> Line:
        return line.model_copy(update={"seats": tuple(self._seat(line, seat, names) for seat in line.seats)})

    def _seat(self, line: Line, seat: Seat, names: dict[tuple[str, str], str]) -> Seat:
        is_theirs = seat.learner is not None and email_key(seat.learner.email) in self.keys
        if not is_theirs and (line.id, seat.id) not in self.places:
            return seat
        name = names.get((line.id, seat.id)) or pseudonym(None)
        return seat.model_copy(update={"learner": Learner(email=name), "hold": HELD, "note": ""})


def _erased(connection: Connection, order: Order, row: RecordedOrder | None) -> _Erased | None:
    if not tombstones.has_any(connection):
        return None
    places = tombstones.places_in(connection, order.source, order.id)
    # Also those of whom the source's record tells where we read nothing: it is not kept then.
    known = tombstones.tombstones_by_key(connection, emails_of(order) | emails_in(order.raw))
    keys = {key for key, found in known.items() if any(each.is_older(order, row) for each in found)}
    # A line that was planned under a name has another id by now: its seats are told by their own.
    lines = {line.id for line in order.lines}
    moved = {seat_id for line_id, seat_id in places - {BUYER} if line_id not in lines}
    places |= {(line.id, seat.id) for line in order.lines for seat in line.seats if seat.id in moved}
    return _Erased(frozenset(places), frozenset(keys)) if places or keys else None


def _pseudonyms(row: RecordedOrder | None) -> dict[tuple[str, str], str]:
    """The pseudonyms that stand in an order already, by their places."""
    document = {} if row is None else row.document
    found = {BUYER: document.get("buyer_email", "")}
    for line in document.get("lines", ()):
        for seat in line.get("seats", ()):
            found[line.get("id", ""), seat.get("id", "")] = (seat.get("learner") or {}).get("email") or ""
    return {place: email for place, email in found.items() if is_pseudonym(email)}


def emails_of(order: Order) -> set[str]:
    """Every address that an order names."""
    seats = [seat for line in order.lines for seat in line.seats]
    return {order.buyer_email, *(seat.learner.email for seat in seats if seat.learner is not None)} - {""}


def keys_of(order: Order) -> set[str]:
    """The keys of those addresses."""
    return {email_key(email) for email in emails_of(order)}


def gone_for_good(connection: Connection, emails: set[str]) -> set[str]:
    """The keys of those of these addresses that were forgotten, and by which nobody has ordered since."""
    erased = tombstones.tombstones_by_key(connection, emails)
    if not erased:
        return set()
    back = connection.scalars(select(learners.c.email_key).where(learners.c.email_key.in_(sorted(erased))))
    return erased.keys() - set(back)
