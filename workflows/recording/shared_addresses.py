"""Whose address it is: a learner's address belongs, across orders, to who was given access under it.

Frontcore gives participants without an address of their own the booker's (vendor's clients), so a participant whose
address is another's waits in review. The buyers of the carts bought for themselves: they are provisioned, and what
differs is not sent over the profile that is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from worker.ledger.orders.people import MOST_RUNS, AddressUse, uses_of_addresses
from worker.ledger.runs.run_rows import add_learners
from worker.ledger.states import RunState
from worker.reasons import Reason
from worker.sources.order import Learner, Line, Order, Payment, Seat, email_key
from workflows.planning.names import is_known_name, is_same_name, name_of
from workflows.planning.seat_matching import Place

SHARING_SOURCE: Final = "frontcore"
"""The source whose participants may have another's address."""


def with_owned_addresses(
    order: Order, uses: Mapping[str, Sequence[AddressUse]], *, accepted: Iterable[Place] = ()
) -> Order:
    """The order as it is to be planned, by whose each seat's address is; what is recorded of it stays as it was read.

    `accepted` are the seats, by line and id, whose name and address an operator says go together.
    """
    if order.payment is not Payment.PAID or not uses:
        return order
    lines = tuple(
        line.model_copy(
            update={"seats": tuple(_owned(order, line, seat, uses, frozenset(accepted)) for seat in line.seats)}
        )
        for line in order.lines
    )
    return order.model_copy(update={"lines": lines})


def uses_by_learners(
    connection: Connection, orders: Sequence[Order], *, is_any_known: bool = True
) -> dict[str, list[AddressUse]]:
    """The enrolments of the addresses of paid orders' learners, by the address's key.

    `is_any_known`: whether one of them had any before their addresses were locked.
    """
    paid = [order for order in orders if order.payment is Payment.PAID]
    shared = [order for order in paid if order.source == SHARING_SOURCE]
    asked = paid if is_any_known else shared
    keys = {email_key(learner.email) for order in asked for learner in learners_of(order)}
    found = uses_of_addresses(connection, keys) if keys else {}
    if len(asked) > 1 and sum(map(len, found.values())) >= MOST_RUNS:  # they share no learner
        return {key: uses for order in asked for key, uses in uses_by_learners(connection, [order]).items()}
    return found


def lock_addresses(connection: Connection, orders: Iterable[Order], *, now: datetime) -> None:
    """Keep two orders that come at once from each giving one address to another name, until the transaction ends."""
    people = [learner for order in orders if order.source == SHARING_SOURCE for learner in learners_of(order)]
    if people:
        add_learners(connection, people, now=now, lock=True)


def learners_of(order: Order) -> list[Learner]:
    """Everybody an order names."""
    return [seat.learner for line in order.lines for seat in line.seats if seat.learner is not None]


def _owned(
    order: Order, line: Line, seat: Seat, uses: Mapping[str, Sequence[AddressUse]], accepted: frozenset[Place]
) -> Seat:
    if seat.learner is None:
        return seat
    name = name_of(seat.learner)
    here = (order.source, order.id, line.id, seat.id)
    own: list[AddressUse] = []
    others: list[AddressUse] = []
    for row in uses.get(email_key(seat.learner.email), ()):
        is_own = (row.source, row.order_id, row.line_id, row.seat_id) == here
        (own if is_own else others).append(row)
    named = [row for row in others if _is_given(row) and _name(row)]
    # The profile has the name that was sent: of those who keep it, none was.
    given = [_name(row) for row in sorted(named, key=lambda row: row.keeps_profile)]
    own_run = next((row for row in own if _is_given(row) and row.grant is not None), None)
    if own_run is not None:  # decided when it was first planned
        keeps_profile = own_run.keeps_profile
    else:
        keeps_profile = bool(name and given) and not is_same_name(name, given[0])
    learner = seat.learner.model_copy(update={"keeps_profile": True}) if keeps_profile else seat.learner
    hold = seat.hold
    if order.source == SHARING_SOURCE and hold in {None, Reason.SHARED_EMAIL}:
        if (line.id, seat.id) in accepted or (own_run is not None and is_same_name(name, _name(own_run))):
            hold = None
        elif not order.lines_known and any(_is_asked(row) for row in own):
            hold = str(Reason.SHARED_EMAIL)  # who shares it is left out of this record
        else:
            hold = _hold_of(hold, name, given, _asked(order, others))
    return seat.model_copy(update={"learner": learner, "hold": hold})


def _hold_of(hold: str | None, name: str, given: list[str], asked: list[str]) -> str | None:
    """Whether the address is this name's: given to it before, given to others, or asked about under another."""
    if not name:
        return hold
    if given:
        return None if is_known_name(name, given) else str(Reason.SHARED_EMAIL)
    is_contended = any(not is_same_name(name, each) for each in asked)
    return str(Reason.SHARED_EMAIL) if is_contended else hold


def _is_given(row: AddressUse) -> bool:
    """Whether a run says that its name goes with its address: it gives access, or an operator did so by hand."""
    return bool(row.state == RunState.SUCCEEDED if row.grant is None else row.state != RunState.CANCELLED)


def _asked(order: Order, rows: Iterable[AddressUse]) -> list[str]:
    """The names under which other orders ask about the address."""
    return [
        name
        for row in rows
        if _is_asked(row) and (row.source, row.order_id) != (order.source, order.id) and (name := _name(row))
    ]


def _is_asked(row: AddressUse) -> bool:
    """Whether a person is asked whose the address is."""
    return row.grant is None and (row.state, row.reason) == (RunState.REVIEW, Reason.SHARED_EMAIL)


def _name(row: AddressUse) -> str:
    return name_of(Learner.model_validate(row.learner)) if row.learner else ""
