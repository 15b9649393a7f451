"""An operator says whom a seat is for: a person for a nameless seat, or the right address for a wrong one.

It is kept beside the order and holds until the source names somebody else (`workflows.recording.named_seats`). The keys
stay: a seat has one run a grant, whoever it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select

from worker.errors import NotInLedgerError
from worker.ledger.events import record_event
from worker.ledger.keys import is_of_order
from worker.ledger.learners.erased import is_pseudonym
from worker.ledger.orders import order_rows
from worker.ledger.orders.operator_entries import NamedSeat, keep_named, named_in
from worker.ledger.runs.run_rows import load_run
from worker.ledger.session import Ledger
from worker.ledger.sql import record_of
from worker.ledger.states import RunState
from worker.ledger.tables.runs import Run, orders, runs
from worker.sources.order import Learner, Payment, email_key
from worker.text.email_address import email_problem, trimmed_email
from workflows.descriptions import describe_enrolment, describe_plan
from workflows.ingest.deliveries import DeliveryReader
from workflows.operations.access_anew import begin_anew, has_access, leave_access
from workflows.operations.nameless_seats import nameless_seats, why_not_filled
from workflows.planning.line_keys import line_keys
from workflows.planning.model import ENROLMENT, REVOCATION, WHOLE_ORDER, ChangeLearner, Create, KnownRun, Plan, Revive
from workflows.planning.reviews import closed_by_operator
from workflows.planning.seat_matching import Place
from workflows.recording.known_runs import known_runs, planned_lines
from workflows.recording.named_seats import with_named_seats

NAMED, NOTHING, REFUSED = "named", "nothing", "refused"
_NO_SEAT: Final = "It is about no seat of an order."
_ELSEWHERE: Final = (
    "The source names this person for another seat of the same product, which gives the access: name another."
)
_NAMED_MEANWHILE: Final = (
    "A seat of it was named meanwhile: nobody else was. Look at the order, then send what is left."
)


@dataclass(frozen=True)
class Person:
    """Whom an operator typed. A name that is left empty is the one the seat has."""

    email: str
    first_name: str = ""
    last_name: str = ""


@dataclass(frozen=True)
class SeatNamed:
    """What naming a seat came to, or would come to. `ready`: runs to send to the workers now."""

    run_id: str
    result: str
    """`named`, `nothing` (it is so already) or `refused`."""
    message: str
    email: str = ""
    calls: tuple[str, ...] = ()
    """The calls with their arguments, a line each."""
    ready: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Seat:
    """A seat that is to be named, and its runs."""

    run_id: str
    named: NamedSeat
    runs: tuple[KnownRun, ...]
    kept: tuple[KnownRun, ...] = ()
    """Its enrolments that gave this address access before they were begun anew for another, and have not run since."""

    @property
    def given(self) -> list[KnownRun]:
        """Its enrolments that gave another address access."""
        key = email_key(self.named.learner.email)
        return [
            run
            for run in self.runs
            if run.state is RunState.SUCCEEDED
            and run.grant is not None
            and not (run.learner is not None and email_key(run.learner.email) == key)
        ]


class _RefusedError(Exception):
    """It cannot be named, for the reason given."""


@dataclass(frozen=True)
class SeatNaming:
    """Names seats. Safe to repeat: the same person once more changes nothing; with `dry_run` nothing is written."""

    ledger: Ledger
    delivery_reader: DeliveryReader
    _: KW_ONLY
    clock: Callable[[], datetime]

    def name(
        self,
        run_id: str,
        person: Person,
        *,
        actor: str,
        reason: str | None = None,
        again: bool = False,
        dry_run: bool = False,
    ) -> SeatNamed:
        """Say whom the seat of a run is for, and give access.

        A run that gave another address access is begun anew under a new reference only with `again`: the comped order
        of before stays, and is cancelled in LearningCart by hand. Raises `NotInLedgerError`, `OffersError`.
        """
        with self.ledger.read() as connection:
            row = load_run(connection, run_id)
        [found] = self._name([(row, person)], actor=actor, reason=reason, again=again, dry_run=dry_run)
        return found

    def name_order(
        self,
        source: str,
        order_id: str,
        people: Sequence[Person],
        *,
        actor: str,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> list[SeatNamed]:
        """Give an order's nameless seats to a list of people, in its order: all of them, or none where one cannot be.

        People who have a seat of this order already are left out, so that the same list once more changes nothing.
        """
        with self.ledger.read() as connection:
            of_order = (runs.c.source == source, runs.c.order_id == order_id, runs.c.workflow == ENROLMENT)
            rows = [record_of(Run, row) for row in connection.execute(select(runs).where(*of_order))]
            seen = _named(connection, source, order_id)
        if not rows:
            raise NotInLedgerError(f"The order {source}/{order_id} has no seats. See: cartbridge orders list")
        free = nameless_seats(rows)
        seated = {row.email_key for row in rows if row.state != RunState.CANCELLED and row.email_key}
        wanted = [person for person in people if email_key(trimmed_email(person.email)) not in seated]
        if not wanted:
            return [SeatNamed("", NOTHING, "Everybody in the list has a seat of this order.")]
        refusal = why_not_filled(free, [email_key(trimmed_email(person.email)) for person in wanted])
        if refusal is not None:
            return [SeatNamed("", REFUSED, refusal)]
        chosen = list(zip(free, wanted, strict=False))
        return self._name(chosen, actor=actor, reason=reason, again=False, dry_run=dry_run, seen=seen)

    def _name(
        self,
        chosen: Sequence[tuple[Run, Person]],
        *,
        actor: str,
        reason: str | None,
        again: bool,
        dry_run: bool,
        seen: Mapping[Place, NamedSeat] | None = None,
    ) -> list[SeatNamed]:
        """Name seats of one order; where it is a list, only while nobody named one since `seen` was read."""
        try:
            order = _order_of(chosen[0][0])
            with self.ledger.read() as connection:
                seats = [_seat(connection, row, person, again=again) for row, person in chosen]
                named = _found(connection, *order, [seat.named for seat in seats])
            plan = self.delivery_reader.preview(*order, named=named)  # a broken offers file stops it here
            if all(_is_so(seat, plan) for seat in seats) and not self._is_new(*order, named):
                return [_outcome_of(seat, plan, "", ready=()) for seat in seats]
            if dry_run:
                return [_outcome_of(seat, plan, "would name", ready=()) for seat in seats]
            with self.ledger.write() as connection:
                of_order = (orders.c.source == order[0], orders.c.order_id == order[1])
                connection.execute(select(orders.c.order_id).where(*of_order).with_for_update()).one()
                if seen is not None and _named(connection, *order) != seen:
                    raise _RefusedError(_NAMED_MEANWHILE)
                ready = self._keep(connection, *order, chosen, actor=actor, reason=reason, again=again)
        except _RefusedError as refused:
            return [SeatNamed(row.id, REFUSED, str(refused), person.email) for row, person in chosen]
        recorded = self.delivery_reader.replan(*order, actor=actor)
        ready += () if recorded is None else tuple(recorded.ready)
        return [_outcome_of(seat, plan, "named", ready=ready) for seat in seats]

    def _is_new(self, source: str, order_id: str, named: Sequence[NamedSeat]) -> bool:
        with self.ledger.read() as connection:
            known = _named(connection, source, order_id)
        for each in named:
            before = known.get((each.line_id, each.seat_id))
            if before is None or before.learner != each.learner:
                return True
        return False

    def _keep(
        self,
        connection: Connection,
        source: str,
        order_id: str,
        chosen: Sequence[tuple[Run, Person]],
        *,
        actor: str,
        reason: str | None,
        again: bool,
    ) -> tuple[str, ...]:
        """Keep whom the seats are for, and begin anew what gave others access; what is due now."""
        now = self.clock()
        seats = [_seat(connection, row, person, again=again) for row, person in chosen]
        found = _found(connection, source, order_id, [seat.named for seat in seats])
        keep_named(connection, source, order_id, found, actor=actor, now=now)
        ready: list[str] = []
        for seat in seats:
            for run in seat.given:
                begin_anew(connection, run, seat.named.learner, actor=actor, reason=reason, now=now)
                ready.append(run.id)
            for run in seat.kept:
                leave_access(connection, run, seat.named.learner, now=now)
            record_event(
                connection,
                at=now,
                kind="seat_named",
                actor=actor,
                run_id=seat.run_id,
                source=source,
                order_id=order_id,
                reason=reason,
                detail={"line_id": seat.named.line_id, "seat_id": seat.named.seat_id, "again": bool(seat.given)},
            )
        return tuple(ready)


def _named(connection: Connection, source: str, order_id: str) -> dict[Place, NamedSeat]:
    return {(each.line_id, each.seat_id): each for each in named_in(connection, source, order_id)}


def _order_of(row: Run) -> tuple[str, str]:
    if row.order_id is None:
        raise _RefusedError(_NO_SEAT)
    return row.source, row.order_id


def _seat(connection: Connection, row: Run, person: Person, *, again: bool) -> _Seat:
    """The seat as it is to be named. Raises `_RefusedError` with the reason and the next step."""
    order = _order_of(row)
    if row.workflow not in {ENROLMENT, REVOCATION} or row.line_id == WHOLE_ORDER:
        raise _RefusedError(_NO_SEAT)
    problem = email_problem(person.email)
    if problem is not None:
        raise _RefusedError(f"The address {problem}.")
    of_seat = [
        run for run in known_runs(connection, *order) if (run.line_id, run.seat_id) == (row.line_id, row.seat_id)
    ]
    enrolments = [run for run in of_seat if run.workflow == ENROLMENT and run.cancelled_by != "superseded"]
    before = next((run.learner for run in enrolments if run.learner is not None), None)
    learner = Learner(
        email=trimmed_email(person.email),
        first_name=" ".join(person.first_name.split()) or (before.first_name if before else ""),
        last_name=" ".join(person.last_name.split()) or (before.last_name if before else ""),
    )
    _check_name(learner, before)
    kept = tuple(run for run in enrolments if has_access(connection, run, learner.email))
    seat = _Seat(row.id, NamedSeat(row.line_id, row.seat_id, learner), tuple(enrolments), kept)
    _check(connection, row, seat, again=again)
    return seat


def _check_name(learner: Learner, before: Learner | None) -> None:
    """A seat that has no name gets a first and a last one; a name of the source's own may be of one word."""
    if before is not None and (before.first_name or before.last_name):
        return
    if not learner.first_name and not learner.last_name:
        raise _RefusedError("The seat has no name yet: give a first and a last name too.")
    if not learner.first_name or not learner.last_name:
        missing = "last" if learner.first_name else "first"
        raise _RefusedError(
            f"The seat has no {missing} name yet: give it too; for somebody of one name, give that one twice."
        )


def _found(connection: Connection, source: str, order_id: str, asked: Sequence[NamedSeat]) -> tuple[NamedSeat, ...]:
    """The seats with what the source says of each now. Raises `_RefusedError` where the order has not all of them."""
    content = order_rows.load_order(connection, source, order_id)
    if content is None:
        raise _RefusedError("The ledger does not hold what the order is. Ingest it first.")
    existing = known_runs(connection, source, order_id)
    planned = planned_lines(connection, content, existing)
    known_lines = line_keys(content, existing, planned)
    found = with_named_seats(content, (), asked, known_lines).seats
    if len(found) < len(asked):
        raise _RefusedError("The order has no such seat any more.")
    if len(with_named_seats(content, found, (), known_lines).places) < len(
        found
    ):  # what is kept would count for nothing
        raise _RefusedError(_ELSEWHERE)
    return found


def _check(connection: Connection, row: Run, seat: _Seat, *, again: bool) -> None:
    order = f"{row.source}/{row.order_id}"
    if any(run.learner is not None and is_pseudonym(run.learner.email) for run in seat.runs):
        raise _RefusedError("Its learner was forgotten: the seat is given to nobody.")
    if any(run.is_untouchable for run in seat.runs):
        raise _RefusedError("A call of it is under way, or may have taken effect. Try again when that is settled.")
    settled = [run for run in seat.runs if closed_by_operator(run) and (run.is_placeholder or run.grant is None)]
    cancelled = [run for run in seat.runs if run.state is RunState.CANCELLED and run.cancelled_by == "operator"]
    if seat.runs and len({run.id for run in (*settled, *cancelled)}) == len(seat.runs):
        found = seat.runs[0].id
        raise _RefusedError(f"An operator settled it. First: cartbridge runs reopen {found} --reason TEXT")
    payment = connection.scalar(select(orders.c.payment).where(is_of_order(orders, row.source, row.order_id)))
    if payment != Payment.PAID:
        raise _RefusedError(f"The order {order} is {payment} at the source, so it gives nobody access.")
    if seat.given and not again:
        raise _RefusedError(
            "It gave another address access already. To give access under this one too, under a new comped order: the "
            "same with --again; then cancel the order of before in LearningCart by hand."
        )


def _outcome_of(seat: _Seat, plan: Plan | None, verb: str, *, ready: tuple[str, ...]) -> SeatNamed:
    """What is said of one seat: the calls of its own runs, whatever else the plan of its order does."""
    learner = seat.named.learner
    place = f"{seat.named.line_id}/{seat.named.seat_id}"
    if not verb:
        return SeatNamed(seat.run_id, NOTHING, f"{place} is {learner.email}'s already.", learner.email)
    kept = ", who has access by it already: nothing is sent" if seat.kept else ""
    calls = [call for run in seat.given for call in describe_enrolment(learner, run.grant)]
    others: list[str] = []
    of_seat = {run.id: run for run in seat.runs}
    for action in _of_seat(seat, plan):
        match action:
            case Create(state=RunState.PENDING, learner=Learner() as person) if action.grant is not None:
                calls += describe_enrolment(person, action.grant)
            case Revive(reason=None) | ChangeLearner() if of_seat[action.run_id].state is not RunState.REVIEW:
                calls += describe_enrolment(learner, of_seat[action.run_id].grant)
            case Create() | ChangeLearner():
                others += describe_plan(Plan(plan.state, None, (action,))) if plan is not None else ()
    message = f"{verb} {place}: {learner.first_name} {learner.last_name} <{learner.email}>{kept}"
    return SeatNamed(seat.run_id, NAMED, message, learner.email, tuple(calls or others), ready)


def _of_seat(seat: _Seat, plan: Plan | None) -> list[Any]:
    """The plan's actions about the seat, without the question that its new beginning answers."""
    if plan is None:
        return []
    given, kept = {run.id for run in seat.given}, {run.id for run in seat.kept}
    by_id: Mapping[str, KnownRun] = {run.id: run for run in seat.runs}
    place = (seat.named.line_id, seat.named.seat_id)
    return [
        action
        for action in plan.actions
        if (isinstance(action, Create) and (action.line_id, action.seat_id) == place and action.parent_id not in given)
        or (not isinstance(action, Create) and action.run_id in by_id.keys() - kept)
    ]


def _is_so(seat: _Seat, plan: Plan | None) -> bool:
    """Whether nothing is left to do for the seat."""
    return not seat.given and not seat.kept and not _of_seat(seat, plan)
