"""Trusted bodies that may be old news: a webhook that was sent again says what was true when it was first sent.

What was fetched is the present; of a body nobody knows how old it is. So one that says what an earlier version said
gives nothing back that was taken since: after a refund it changes nothing, and after any other withdrawal, which may
have been followed by a payment, a person looks. A seat that was removed, or whose address was corrected, is such a
withdrawal as well. Nor does one take back what was paid for since. Where the source cannot be asked, each body is
looked at by itself, in its turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from typing import Any

from sqlalchemy import Connection

from worker.errors import ApiError, WebhookRejectedError
from worker.ledger.learners.erased import FORGOTTEN
from worker.ledger.learners.retention import RAW as EXPIRED_RAW
from worker.ledger.orders.order_rows import TakenDelivery, content_hash
from worker.ledger.orders.recorded_orders import OrderVersion, RecordedOrder, latest_versions
from worker.ledger.states import OrderState
from worker.sources.order import Line, Order, Payment, email_key
from worker.sources.source import Source
from worker.sources.studiocart_lines import is_same_name
from workflows.planning.model import Plan
from workflows.recording.order_recording import Look, Recorded, finish_deliveries

_LOOKED_AT = 20


class Novelty(Enum):
    """What a trusted body is taken for."""

    NEW = "new"
    OLD = "old"
    """It changes nothing."""
    DOUBTFUL = "doubtful"
    """A person looks."""


def judge(connection: Connection, source: Source, order: Order, row: RecordedOrder) -> Novelty:
    """What a body that was read as this order is, beside the order's row, which is locked."""
    if order.payment_unproven and row.version > 0 and row.payment == Payment.PAID:
        return Novelty.OLD  # it says less than is known
    if row.version > 0 and row.payment == Payment.PAID:
        return _beside_paid(connection, source, order, row)
    is_withdrawn = row.version > 0 and row.payment in {Payment.REFUNDED, Payment.CANCELLED}
    if not is_withdrawn:
        return Novelty.NEW
    if order.payment not in {Payment.PAID, Payment.WAITING}:  # what was said of it last asks and settles nothing anew
        return Novelty.OLD if _was_said(connection, source, order, most=1) else Novelty.NEW
    if order.payment is Payment.WAITING and not order.payment_unproven:
        return Novelty.OLD  # of the checkout before it was paid; a new checkout decides nothing either
    was_said = _was_said(connection, source, order)
    if row.payment == Payment.REFUNDED:
        return Novelty.OLD if was_said else Novelty.DOUBTFUL
    versions = latest_versions(connection, order.source, order.id, most=_LOOKED_AT)
    return Novelty.DOUBTFUL if was_said or any(map(_is_dropped, versions)) else Novelty.NEW


def _beside_paid(connection: Connection, source: Source, order: Order, row: RecordedOrder) -> Novelty:
    """What a body is beside an order that is paid: one that says what was said before the latest change is doubtful.

    Be it that it was refused then: the card was tried again since. Where the record of a change is not kept any more,
    whatever is not what is recorded now may be what was said before it.
    """
    if order.payment is Payment.WAITING:
        return Novelty.OLD  # of the checkout before it was paid
    if order.payment is Payment.UNKNOWN:
        return Novelty.NEW
    versions = latest_versions(connection, order.source, order.id, most=_LOOKED_AT)
    latest, before = versions[:1], versions[1:]
    may_repeat = any(_says(source, each, order) or _is_dropped(each) for each in before)
    is_present = any(_says(source, each, order) for each in latest) or _says_the_same(order, _kept(row))
    return Novelty.DOUBTFUL if may_repeat and not is_present else Novelty.NEW


def _kept(row: RecordedOrder) -> Order:
    """Our own reading of the order's latest version, whose record may not be kept any more."""
    return Order.model_validate(row.document)


def _is_dropped(version: OrderVersion) -> bool:
    """Whether nobody knows any more what a version said."""
    return version.raw in (EXPIRED_RAW, {FORGOTTEN: True})


def leave(connection: Connection, order: Order, row: RecordedOrder, look: Look, *, now: datetime) -> Recorded:
    """Finish the deliveries of old news, inside the caller's transaction: the order stays as it is recorded."""
    finish_deliveries(connection, look, order, duplicate=True, now=now)
    return Recorded(Plan(OrderState(row.state)), changed=False, stale=True)


def _was_said(connection: Connection, source: Source, order: Order, *, most: int = _LOOKED_AT) -> bool:
    """Whether a version of the order said the same. Amounts and dates are no news: the source's two ways of telling
    them differ.
    """
    rows = latest_versions(connection, order.source, order.id, most=most)
    return any(_says(source, row, order) for row in rows)


def _says(source: Source, version: OrderVersion, order: Order) -> bool:
    if version.content_hash == content_hash(order):
        return True
    return any(_says_the_same(order, each) for each in _read(source, version.raw))


def _read(source: Source, raw: dict[str, Any]) -> Iterator[Order]:
    try:
        yield source.from_body(raw)
    except (ApiError, WebhookRejectedError):  # another kind of record, or one that was forgotten
        return


def _says_the_same(one: Order, other: Order) -> bool:
    return _content_of(one) == _content_of(other) and _are_same_lines(one.lines, other.lines)


def _content_of(order: Order) -> tuple[Any, ...]:
    seats = [
        (seat.id, None if seat.learner is None else email_key(seat.learner.email))
        for line in order.lines
        for seat in line.seats
    ]
    return order.status, order.payment, sorted(seats, key=str)


def _are_same_lines(some: tuple[Line, ...], others: tuple[Line, ...]) -> bool:
    """Whether each line is one of the others': by its id, or by its name where one of the two shows no product's id."""
    return len(some) == len(others) and all(any(_is_same_line(one, other) for other in others) for one in some)


def _is_same_line(one: Line, other: Line) -> bool:
    shows_name_alone = None in {one.product.product_id, other.product.product_id}
    return one.id == other.id or (shows_name_alone and is_same_name(one.title, other.title))


class WebhookOnlyError(Exception):
    """The source cannot be asked, and several bodies say what became of the order: each must be looked at by itself."""


def by_body(taken: list[TakenDelivery]) -> list[list[TakenDelivery]]:
    """An order's deliveries in groups, one for each webhook's body: those without a body go with the one before."""
    groups: list[list[TakenDelivery]] = [[]]
    for row in taken:
        if row.body is not None and any(each.body is not None for each in groups[-1]):
            groups.append([])
        groups[-1].append(row)
    return groups
