"""Forgets again, in a ledger restored from an older copy, whom it had forgotten since; and keeps both lists complete.

Each function works inside the transaction it is given and commits nothing itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import Connection, Text, cast, func, select

from worker.ledger.learners import tombstones as erasures
from worker.ledger.learners.erased import is_pseudonym
from worker.ledger.learners.erasure import find_person, forget
from worker.ledger.learners.erasure_file import ErasureFile
from worker.ledger.learners.mentions import emails_in
from worker.ledger.learners.tombstones import BUYER, Tombstone
from worker.ledger.tables.follow_on import completions
from worker.ledger.tables.learners import erasure_keys
from worker.ledger.tables.operator_entries import named_seats
from worker.ledger.tables.runs import deliveries, learners, order_versions, orders, outbox, runs
from worker.ledger.tables.subscriptions import subscriptions
from worker.sources.order import email_key

_KEYS = (
    learners.c.email_key,
    runs.c.email_key,
    orders.c.buyer_email_key,
    completions.c.email_key,
    subscriptions.c.buyer_email_key,
    named_seats.c.email_key,
)
_RECORDS = (order_versions.c.raw, deliveries.c.body)
"""What sources sent, in which somebody may stand of whom we read nothing."""
_AT_ONCE = 500


def write_missing(connection: Connection, file: ErasureFile) -> None:
    """Add to the file what the ledger has and it has not. Raises `ErasureFileError`."""
    known = {each.id for each in file.read()}
    file.add(each for each in erasures.all_tombstones(connection) if each.id not in known)


def missing_in(connection: Connection, file: ErasureFile) -> int:
    """How many erasures of the ledger the file lacks. Raises `ErasureFileError`."""
    known = {each.id for each in file.read()}
    return sum(each.id not in known for each in erasures.all_tombstones(connection))


def foreign_in(connection: Connection, tombstones: Sequence[Tombstone]) -> list[Tombstone]:
    """Those that another ledger made: their key is none of this one's, whose own was there already when they were made.

    Their places are those of other people here. A copy from before there were keys has one that is younger.
    """
    own = erasures.key_ids(connection)
    made_at = connection.scalar(select(func.min(erasure_keys.c.created_at)))
    foreign = (each for each in tombstones if each.digest is not None and each.key_id not in own)
    return [each for each in foreign if made_at is not None and made_at < each.erased_at]


def forget_again(connection: Connection, tombstones: Sequence[Tombstone], *, now: datetime, actor: str) -> int:
    """Keep the tombstones that the ledger lacks, and forget those people anew; how many it still knew.

    A tombstone it has was there when the copy was made, and so was what it did: what the copy holds of that person came
    later. Without the key of its hash, the person is found by the places in orders that were theirs.
    """
    fresh = [each for each in tombstones if erasures.keep_tombstone(connection, each)]
    if not fresh:
        return 0
    digests = {each.digest for each in fresh if each.digest is not None}
    known = erasures.digests_of(connection, _addresses(connection))
    found = {key for digest, key in known.items() if digest in digests}
    key_ids = erasures.key_ids(connection)
    for tombstone in fresh:
        if tombstone.digest is None or tombstone.key_id not in key_ids:
            found |= set(_at_places(connection, tombstone))
    people = [person for key in sorted(found) if (person := find_person(connection, key)).is_known]
    for person in people:
        forget(connection, person, now=now, actor=actor, reason=None, again=True)
    return len(people)


def _addresses(connection: Connection) -> set[str]:
    """Every address that the ledger knows anybody by."""
    found = {key for column in _KEYS for key in connection.scalars(select(column).distinct()) if key}
    for document in connection.scalars(select(orders.c.document)).yield_per(_AT_ONCE):
        for line in document.get("lines", ()):
            found |= {(seat.get("learner") or {}).get("email") or "" for seat in line.get("seats", ())}
    for payload in connection.scalars(select(outbox.c.payload)).yield_per(_AT_ONCE):
        data = payload.get("data")
        email = data.get("email") if isinstance(data, dict) else None
        found |= {email} if isinstance(email, str) else set()
    for record in _RECORDS:
        written = select(record).where(record.is_not(None), cast(record, Text).contains("@"))
        for value in connection.scalars(written).yield_per(_AT_ONCE):
            found |= emails_in(value)
    return {email_key(each) for each in found if not is_pseudonym(each)} - {""}


def _at_places(connection: Connection, tombstone: Tombstone) -> Iterator[str]:
    """The addresses at the places of a tombstone, in the orders as they are in this ledger."""
    for place in tombstone.places:
        document = connection.scalar(
            select(orders.c.document).where(orders.c.source == place.source, orders.c.order_id == place.order_id)
        )
        for email in _emails_at(document or {}, place.line_id, place.seat_id):
            if email and not is_pseudonym(email):
                yield email_key(email)


def _emails_at(document: dict[str, object], line_id: str, seat_id: str) -> Iterator[str]:
    if (line_id, seat_id) == BUYER:
        yield str(document.get("buyer_email") or "")
        return
    lines = document.get("lines")
    for line in lines if isinstance(lines, list) else ():
        for seat in line.get("seats", ()):
            if (str(line.get("id", "")), str(seat.get("id", ""))) == (line_id, seat_id):
                yield (seat.get("learner") or {}).get("email") or ""
