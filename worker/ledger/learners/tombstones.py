"""Tombstones: by them nobody who was forgotten comes back, by an edit at the source or by a restored copy.

A tombstone holds a keyed hash of the address, the places in orders that were the person's, and the highest order ids of
that moment. Each function works inside the transaction it is given and commits nothing itself.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Row, select

from worker.ledger.keys import new_id
from worker.ledger.sql import insert_ignoring
from worker.ledger.tables.learners import erased_places, erasure_keys, erasures
from worker.ledger.tables.runs import orders
from worker.sources.order import Order, email_key

if TYPE_CHECKING:
    from worker.ledger.orders.recorded_orders import RecordedOrder

MARK_MARGIN: Final = timedelta(hours=48)
"""Dates may be computed or of another zone: an id above the mark is new, unless its date is older by more."""
BUYER: Final = ("", "")
"""The place of an order's buyer."""
_LARGEST_ID: Final = 2**63


@dataclass(frozen=True, order=True)
class Place:
    """A place in an order: a seat, or its buyer."""

    source: str
    order_id: str
    line_id: str
    seat_id: str


@dataclass(frozen=True)
class Tombstone:
    """One erasure, as the ledger and the file of erasures hold it."""

    id: str
    erased_at: datetime
    key_id: str | None = None
    digest: str | None = None
    marks: Mapping[str, int] = field(default_factory=dict)
    places: tuple[Place, ...] = ()

    def is_older(self, order: Order, row: RecordedOrder | None) -> bool:
        """Whether an order was made before this erasure; `row` is the order's own, None where there is none.

        By its id where the source counts in whole numbers, else by its date; one that tells neither counts as older.
        """
        if row is not None and row.version > 0 and row.first_seen_at <= self.erased_at:
            return True
        number, mark = number_of(order.id), self.marks.get(order.source)
        if number is not None and mark is not None:
            is_dated_before = order.created_at is not None and order.created_at < self.erased_at - MARK_MARGIN
            return number <= mark or is_dated_before
        return order.created_at is None or order.created_at <= self.erased_at

    def is_older_record(self, source: str, record_id: str) -> bool:
        """The same of another record of a source, such as a subscription, that is recognised by its id alone."""
        number, mark = number_of(record_id), self.marks.get(source)
        return number is None or mark is None or number <= mark


def number_of(order_id: str) -> int | None:
    """An order's id as a number, where it is one."""
    number = int(order_id) if order_id.isascii() and order_id.isdecimal() and len(order_id) < 20 else None
    return number if number is not None and number < _LARGEST_ID else None


def digests_of(connection: Connection, emails: Iterable[str]) -> dict[str, str]:
    """The hashes of these addresses under every key the ledger has: the address's key by hash."""
    keys = [bytes.fromhex(key) for key in connection.scalars(select(erasure_keys.c.key))]
    names = {email_key(email) for email in emails} - {""}
    return {_digest(key, name): name for name in names for key in keys}


def _digest(key: bytes, name: str) -> str:
    return hmac.new(key, name.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def add_tombstone(connection: Connection, *, email: str, places: Collection[Place], now: datetime) -> Tombstone:
    """Make and keep the tombstone of a person, whose address this is."""
    key = connection.execute(select(erasure_keys).order_by(erasure_keys.c.created_at, erasure_keys.c.id)).first()
    digest = None if key is None else _digest(bytes.fromhex(key.key), email_key(email))
    made = Tombstone(
        id=new_id(now),
        erased_at=now,
        key_id=None if key is None else key.id,
        digest=digest,
        marks=_highest_ids(connection),
        places=tuple(sorted(places)),
    )
    keep_tombstone(connection, made)
    return made


def keep_tombstone(connection: Connection, tombstone: Tombstone) -> bool:
    """Write a tombstone into the ledger, unless it is there; True if it was not. Safe to repeat."""
    values = {
        "id": tombstone.id,
        "erased_at": tombstone.erased_at,
        "key_id": tombstone.key_id,
        "digest": tombstone.digest,
        "marks": dict(tombstone.marks),
    }
    is_new = insert_ignoring(connection, erasures, values)
    for place in tombstone.places:
        insert_ignoring(connection, erased_places, _columns_of(place) | {"erasure_id": tombstone.id})
    return is_new


def _columns_of(place: Place) -> dict[str, Any]:
    return {
        "source": place.source,
        "order_id": place.order_id,
        "line_id": place.line_id,
        "seat_id": place.seat_id,
    }


def _highest_ids(connection: Connection) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in connection.execute(select(orders.c.source, orders.c.order_id)):
        number = number_of(row.order_id)
        if number is not None:
            found[row.source] = max(number, found.get(row.source, 0))
    return found


def all_tombstones(connection: Connection) -> list[Tombstone]:
    """Every tombstone of the ledger, the first first."""
    places: dict[str, list[Place]] = {}
    for row in connection.execute(select(erased_places)):
        places.setdefault(row.erasure_id, []).append(Place(row.source, row.order_id, row.line_id, row.seat_id))
    rows = connection.execute(select(erasures).order_by(erasures.c.erased_at, erasures.c.id))
    return [_tombstone(row, places.get(row.id, ())) for row in rows]


def _tombstone(row: Row[Any], places: Iterable[Place] = ()) -> Tombstone:
    return Tombstone(row.id, row.erased_at, row.key_id, row.digest, row.marks, tuple(sorted(places)))


def key_ids(connection: Connection) -> set[str]:
    """The ids of the ledger's keys."""
    return set(connection.scalars(select(erasure_keys.c.id)))


def has_any(connection: Connection) -> bool:
    """Whether anybody was ever forgotten: asked first, as most ledgers never forget anybody."""
    return connection.execute(select(erasures.c.id).limit(1)).first() is not None


def tombstones_by_key(connection: Connection, emails: Collection[str]) -> dict[str, list[Tombstone]]:
    """The tombstones of these addresses, by the address's key; addresses that have none are left out."""
    if not emails or not has_any(connection):
        return {}
    by_digest = digests_of(connection, emails)
    found: dict[str, list[Tombstone]] = {}
    for row in connection.execute(select(erasures).where(erasures.c.digest.in_(sorted(by_digest)))):
        found.setdefault(by_digest[row.digest], []).append(_tombstone(row))
    return found


def places_in(connection: Connection, source: str, order_id: str) -> set[tuple[str, str]]:
    """The places of an order that were those of people who were forgotten, as `(line_id, seat_id)`."""
    of_order = select(erased_places.c.line_id, erased_places.c.seat_id).where(
        erased_places.c.source == source, erased_places.c.order_id == order_id
    )
    return {(row.line_id, row.seat_id) for row in connection.execute(of_order)}


def places_of(document: Mapping[str, Any], source: str, order_id: str, key: str) -> set[Place]:
    """The places that an address has in our document of an order."""
    found = set()
    if email_key(document.get("buyer_email") or "") == key:
        found.add(Place(source, order_id, *BUYER))
    for line in document.get("lines", ()):
        for seat in line.get("seats", ()):
            if email_key((seat.get("learner") or {}).get("email") or "") == key:
                found.add(Place(source, order_id, str(line.get("id", "")), str(seat.get("id", ""))))
    return found


def as_line(tombstone: Tombstone) -> str:
    """A tombstone as a line of the file of erasures: no address, and no key."""
    return json.dumps(
        {
            "id": tombstone.id,
            "erased_at": tombstone.erased_at.isoformat(),
            "key_id": tombstone.key_id,
            "digest": tombstone.digest,
            "marks": dict(tombstone.marks),
            "places": [[each.source, each.order_id, each.line_id, each.seat_id] for each in tombstone.places],
        },
        sort_keys=True,
    )


def from_line(line: str) -> Tombstone:
    """A tombstone from such a line. Raises `ValueError` where it is none."""
    try:
        read = json.loads(line)
        return Tombstone(
            id=str(read["id"]),
            erased_at=datetime.fromisoformat(read["erased_at"]),
            key_id=read["key_id"],
            digest=read["digest"],
            marks={str(source): int(number) for source, number in read["marks"].items()},
            places=tuple(Place(*map(str, each)) for each in read["places"]),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"no erasure: {type(error).__name__}") from None
