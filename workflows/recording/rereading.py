"""Orders that an earlier version of Cartbridge recorded, read again by this one: a reading that changed is no news.

The record that was kept tells what is due to the reading: read by today's rules, it is compared with what was made of
it then. An order whose record is unchanged stays as it was planned. What only the new reading adds to it, a payment or
a place, is marked, and becomes a question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, or_, select

from worker.clients.reading import fold
from worker.clients.studiocart import models as records
from worker.ledger.learners.erased import FORGOTTEN
from worker.ledger.learners.retention import RAW as EXPIRED_RAW
from worker.ledger.orders.order_rows import ANNOTATIONS, content_hash
from worker.ledger.orders.recorded_orders import (
    READING,
    KnownOrder,
    RecordedOrder,
    last_version,
    lock_orders,
    update_order,
)
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import orders
from worker.reasons import Reason
from worker.sources.order import Line, Order, Payment
from worker.sources.source import Source
from worker.sources.studiocart_lines import is_same_name, named_lines
from workflows.planning import line_keys
from workflows.planning.seat_matching import Place

Reread = Callable[[Mapping[str, Any]], Order | None]
"""Reads a kept record of an order by today's rules; None where it cannot be read."""
_ROWS_AT_ONCE = 100


@dataclass(frozen=True)
class Reading:
    """What an order of an earlier reading is to be taken for."""

    order: Order
    anew: frozenset[Place]
    """The places that only the reading gives: their seats are a question."""
    is_same_record: bool


def compare(stored: Order, before: Order, now: Order, thin: Order) -> Reading:
    """Tell the reading's part in a change from the source's.

    `kept` is what was made of the record then, and `before` what today's reading makes of it; `now` is the source's
    present record, and `thin` the same without what the kept record has no field for: that was always there, and was
    not kept.
    """
    is_same = content_hash(before) == content_hash(thin)
    is_paid_anew = (
        stored.payment is not Payment.PAID
        and now.payment is Payment.PAID
        and (before.payment is Payment.PAID or thin.payment is not Payment.PAID)
    )
    gained = _gained(stored, now) if now.payment is Payment.PAID else {}
    if not is_same:
        shown_before = _places(thin.lines) - _places(before.lines)
        anew = _places(now.lines) if is_paid_anew else gained.keys() - shown_before
        is_new_payment = stored.payment is not Payment.PAID and not is_paid_anew
        return Reading(now, frozenset() if is_new_payment else frozenset(anew), is_same_record=False)
    payment = now.payment if is_paid_anew or stored.payment is Payment.UNKNOWN else stored.payment
    lines = _joined(stored.lines, gained) if payment is Payment.PAID else stored.lines
    if is_paid_anew and now.lines_known:
        lines = tuple(line.model_copy(update={"id": _known_id(line, stored, now)}) for line in now.lines)
    annotations = {name: getattr(now, name) for name in (*ANNOTATIONS, "subscription", "raw", "total", "given_back")}
    order = stored.model_copy(update={**annotations, "payment": payment, "lines": lines})
    anew = _places(lines) if is_paid_anew else (_places(lines) - _places(stored.lines)) | _asked_about(stored)
    return Reading(order, frozenset(anew), is_same_record=True)


def _places(lines: tuple[Line, ...]) -> set[Place]:
    return {(line.id, seat.id) for line in lines for seat in line.seats}


def _asked_about(stored: Order) -> set[Place]:
    """The places whose address was asked about: by whose it is goes no record, and what lets one go was changed."""
    if stored.payment is not Payment.PAID:
        return set()
    return {(line.id, seat.id) for line in stored.lines for seat in line.seats if seat.hold == Reason.SHARED_EMAIL}


def _gained(stored: Order, now: Order) -> dict[Place, Line]:
    """The places that were not there, each with its line, which bears the id it was known by if it was known."""
    if not stored.lines_known:
        return {}
    had = _places(stored.lines)
    found: dict[Place, Line] = {}
    for line in now.lines:
        own_line = line.model_copy(update={"id": _known_id(line, stored, now)})
        for seat in line.seats:
            if (own_line.id, seat.id) not in had:
                found[own_line.id, seat.id] = own_line.model_copy(update={"seats": (seat,)})
    return found


def _known_id(line: Line, stored: Order, now: Order) -> str:
    """The id that a line was known by before its reading changed, else its own."""
    before, present = {each.id for each in stored.lines}, {each.id for each in now.lines}
    if line.id in before:
        return line.id
    names = _ids_by_name(line, now)
    for each in stored.lines:
        is_product = line.product.product_id is not None and each.product.product_id == line.product.product_id
        if each.id not in present and (is_product or each.id in names or is_same_name(each.title, line.title)):
            return each.id
    return line.id


def _ids_by_name(line: Line, order: Order) -> frozenset[str]:
    """The ids that earlier versions made of the line's name, as its record shows it."""
    if order.source != line_keys.STUDIOCART:
        return frozenset()
    try:
        shown = named_lines(records.Order.model_validate(order.raw))
    except ValidationError:
        return frozenset()
    product_id = line.product.product_id
    matching = [each for each in shown if line.id in each.line_ids or product_id == each.product_id is not None]
    return frozenset().union(*(each.line_ids for each in matching))


def _joined(lines: tuple[Line, ...], gained: Mapping[Place, Line]) -> tuple[Line, ...]:
    """The lines with the places that were gained behind their own."""
    found = {line.id: line for line in lines}
    for (line_id, _), line in gained.items():
        if line_id in found:
            found[line_id] = found[line_id].model_copy(update={"seats": found[line_id].seats + line.seats})
        else:
            found[line_id] = line
    return tuple(found.values())


def thinned(record: Any, like: Any) -> Any:
    """A record without the fields that another has not, however their names are written."""
    if isinstance(record, Mapping) and isinstance(like, Mapping):
        known = {fold(str(key)): value for key, value in like.items()}
        return {key: thinned(value, known[fold(str(key))]) for key, value in record.items() if fold(str(key)) in known}
    if isinstance(record, list) and isinstance(like, list) and len(record) == len(like):
        return [thinned(each, other) for each, other in zip(record, like, strict=True)]
    return record


def reading_of(connection: Connection, order: Order, row: RecordedOrder, reread: Reread) -> Reading | None:
    """How an order that shows other content than the ledger's is to be taken; None where no reading has changed.

    `row` is the order's own. The version it was last recorded in tells by which reading.
    """
    version = last_version(connection, row.source, row.order_id, row.version)
    if version is None or version.reading == READING:
        return None
    return _compared(order, Order.model_validate(row.document), version.raw, reread)


def is_paid_by_reading(connection: Connection, order: Order, row: RecordedOrder, reread: Reread) -> bool:
    """Whether the record that the ledger holds of an order reads as paid today: a setting has changed, and no payment.

    Of a record that is not kept any more the status decides.
    """
    version = last_version(connection, row.source, row.order_id, row.version)
    before = None if version is None else _read(version.raw, reread)
    return row.status == order.status if before is None else before.payment is Payment.PAID


def is_as_recorded(connection: Connection, order: Order, row: KnownOrder, reread: Reread) -> bool:
    """Whether a source's record is the one the ledger holds, by whatever reading that was recorded. Reads only."""
    if row.reading == READING and row.content_hash:
        return content_hash(order) in {row.content_hash, row.polled_hash}  # without whom was forgotten, they differ
    version = last_version(connection, row.source, row.order_id, row.version)
    before = None if version is None else _read(version.raw, reread)
    if version is None or before is None:
        return bool(row.status == order.status)
    return content_hash(before) == content_hash(_read(thinned(order.raw, version.raw), reread) or order)


def _compared(order: Order, stored: Order, raw: Mapping[str, Any], reread: Reread) -> Reading | None:
    before = _read(raw, reread)
    return None if before is None else compare(stored, before, order, _read(thinned(order.raw, raw), reread) or order)


def _read(raw: Mapping[str, Any], reread: Reread) -> Order | None:
    if not raw or FORGOTTEN in raw or raw == EXPIRED_RAW:
        return None
    try:
        return reread(raw)
    except Exception:  # noqa: BLE001  (of any class: what cannot be read is compared by its status alone)
        return None


def reread_orders(ledger: Ledger, source: Source, *, now: datetime) -> int:
    """Read what the ledger keeps of a source's orders by today's rules, where an earlier version recorded it.

    From the ledger alone. Each commit holds some of them, and a second time there is nothing to do. Returns how many.
    """
    done = 0
    while True:
        with ledger.read() as connection:
            if not _outdated(connection, source.name, limit=1):
                return done
        with ledger.write() as connection:
            for order_id in _outdated(connection, source.name, limit=_ROWS_AT_ONCE):
                done += reread_order(connection, source, order_id, now=now)


def _outdated(connection: Connection, source: str, *, limit: int) -> list[str]:
    is_other = or_(orders.c.reading.is_(None), orders.c.reading != READING)
    statement = select(orders.c.order_id).where(orders.c.source == source, orders.c.version > 0, is_other)
    return list(connection.scalars(statement.order_by(orders.c.order_id).limit(limit)))


def reread_order(connection: Connection, source: Source, order_id: str, *, now: datetime) -> bool:
    """The same for one order, inside the caller's transaction; False where it was read by this version."""
    row = lock_orders(connection, source.name, [order_id]).get(order_id)
    if row is None or row.version == 0 or row.reading == READING:
        return False
    reread_row(connection, row, source.reread, now=now)
    return True


def reread_row(connection: Connection, row: RecordedOrder, reread: Reread, *, now: datetime) -> None:
    """The same for an order whose row is locked, and that another version has read."""
    version = last_version(connection, row.source, row.order_id, row.version)
    read = None if version is None else _read(version.raw, reread)
    values: dict[str, Any] = {"reading": READING}
    if read is None:  # forgotten with its learner, or not to be read: what is shown next in this status is the same
        values |= {"content_hash": "", "polled_hash": None}
    else:
        found = compare(Order.model_validate(row.document), read, read, read)
        values |= dict(_values(row, read, found, now=now))
    update_order(connection, row.source, row.order_id, **values)


def _values(row: RecordedOrder, read: Order, found: Reading, *, now: datetime) -> Iterator[tuple[str, Any]]:
    hashed = content_hash(read)
    yield "content_hash", hashed
    yield "polled_hash", hashed if row.polled_hash == row.content_hash else None
    yield "total_minor_units", read.total.minor_units if read.total else None
    yield "currency", read.total.currency if read.total else None
    yield "payment", found.order.payment
    annotation = {"renewal": row.renewal, "subscription_id": row.document.get("subscription_id")}
    yield "document", found.order.model_copy(update=annotation).model_dump(mode="json", exclude={"raw"})
    if found.anew or found.order.payment != row.payment:
        yield "read_anew", row.places_with(found.anew)
        yield "replan_at", now
