"""What an operator does to runs and systems, each with an actor and a reason: replay, resolve, cancel and more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, select

from worker.actions import Action
from worker.advice import advice
from worker.errors import IllegalTransitionError
from worker.formatting import counted
from worker.ledger.events import record_run_event, without_people
from worker.ledger.learners import sealed_passwords
from worker.ledger.learners.erased import is_pseudonym
from worker.ledger.runs import transitions
from worker.ledger.runs.attempts import effect_open_runs
from worker.ledger.runs.run_rows import load_run
from worker.ledger.session import Ledger
from worker.ledger.states import Actor, RunState, StepState, check_transition
from worker.ledger.tables.runs import Run, steps
from worker.reasons import Reason
from workflows.descriptions import describe_calls, describe_plan
from workflows.execution import late_results
from workflows.ingest.deliveries import DeliveryReader
from workflows.operations.intake import Intake
from workflows.operations.notes import note_order
from workflows.operations.pausing import pause, resume
from workflows.operations.reopening import reopen
from workflows.operations.restarting import (
    NOT_SEEN,
    RESOLVED,
    Seen,
    WhyNot,
    asked_cancellation,
    how_to_find_out,
    what_holds_back,
    why_not_cancelled,
    why_not_repeated,
    why_not_restart,
)
from workflows.operations.seats import SeatNaming
from workflows.planning.model import ENROLMENT, REVOCATION, KnownRun
from workflows.planning.seat_matching import Place
from workflows.recording.known_runs import known_run
from workflows.recording.order_recording import Recorded

REPLAYED, PLANNED, NOTHING, REFUSED = "replayed", "planned", "nothing", "refused"
PLANS_OR_REPEATS: Final = (
    "--replan plans the order again, --from-step and --again repeat the run as it was planned: one of the two."
)


@dataclass(frozen=True)
class Replayed:
    """What a replay came to. `ready`: runs to send to the workers now. `calls`: what they will call, for people."""

    run_id: str
    result: str
    """`replayed`, `planned` (the order was planned again), `nothing` (there is nothing to do) or `refused`."""
    message: str
    ready: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    actions: tuple[Action, ...] = ()
    """What else can be done, where a replay changes nothing."""


class Operations:
    """The operator's changes. Each is one transaction, safe to repeat; with `dry_run` nothing is written."""

    def __init__(
        self,
        ledger: Ledger,
        delivery_reader: DeliveryReader,
        *,
        check_source: Callable[[str], object],
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._delivery_reader = delivery_reader
        self._clock = clock
        self.seats = SeatNaming(ledger, delivery_reader, clock=clock)
        self.intake = Intake(ledger, delivery_reader, check_source=check_source, clock=clock)

    def now(self) -> datetime:
        """The moment by the clock that acts are dated by."""
        return self._clock()

    # Replay

    def replay(
        self,
        run_id: str,
        *,
        actor: str,
        reason: str | None = None,
        replan: bool = False,
        from_step: str | None = None,
        again: bool = False,
        seen: Seen = NOT_SEEN,
        dry_run: bool = False,
    ) -> Replayed:
        """Start a run again where it stands.

        Done steps stay done, and a call whose outcome is unknown is looked up before anything is sent; so a replay
        repeats nothing, and one of a finished run does nothing. A placeholder, or `replan`, plans the order's seats
        again by today's offers. `from_step` with `again` and a reason repeats finished effects on purpose, under a new
        reference. `seen`: as the operator saw the run, so that a request sent twice does not make two, and what
        a colleague cancelled since is not started.
        A seat whose address is another's too is given access under it, and its name and address go together from then
        on; not where it was `seen` as one of many.
        Raises `NotInLedgerError`, `OffersError` (a placeholder or `replan` with a broken offers file).
        """
        with self._ledger.read() as connection:
            row, known = _load(connection, run_id)
        if replan and (from_step is not None or again):
            return Replayed(run_id, REFUSED, PLANS_OR_REPEATS)
        if seen.is_before_cancellation_of(known):
            return Replayed(
                run_id, NOTHING, f"A colleague cancelled it meanwhile. After all: cartbridge replay {run_id}"
            )
        if (other := seen.why_not_answered(row)) is not None:
            return Replayed(run_id, NOTHING, other)
        if row.workflow == REVOCATION:
            return Replayed(
                run_id, NOTHING, "It is a question to a person: take the access back by hand, then resolve it."
            )
        if is_pseudonym(row.email) and not (replan and row.order_id is not None):
            return Replayed(run_id, NOTHING, "Its learner was forgotten: there is nobody to give access to.")
        if from_step is not None or again:
            return self._repeat(
                row, from_step, seen.generation_of(row), again=again, actor=actor, reason=reason, dry_run=dry_run
            )
        if row.order_id is not None and (known.is_placeholder or replan):
            is_answer = not seen.is_one_of_many and known.is_placeholder and known.reason == Reason.SHARED_EMAIL
            accepted = frozenset({(row.line_id, row.seat_id)} if is_answer else ())
            return self._plan_again(
                row, row.order_id, known, actor=actor, reason=reason, replan=replan, accepted=accepted, dry_run=dry_run
            )
        return self._restart(run_id, actor=actor, reason=reason, dry_run=dry_run)

    def _plan_again(
        self,
        row: Run,
        order_id: str,
        known: KnownRun,
        *,
        actor: str,
        reason: str | None,
        replan: bool,
        accepted: frozenset[Place],
        dry_run: bool,
    ) -> Replayed:
        if known.state is RunState.SUCCEEDED and not replan:
            return Replayed(row.id, NOTHING, "It was resolved by hand; nothing is repeated.")
        options: dict[str, Any] = {"replan": replan, "accepted": accepted}

        def tell(connection: Connection, recorded: Recorded) -> None:
            if recorded.plan.actions:
                detail = {"from": known.state}
                record_run_event(
                    connection, row, at=self._clock(), kind="run_replayed", actor=actor, reason=reason, detail=detail
                )

        again = partial(self._delivery_reader.replan, row.source, order_id, actor=actor, then=tell)
        recorded = None if dry_run else again(**options)
        preview = self._delivery_reader.preview(row.source, order_id, **options) if dry_run else None
        plan = preview if recorded is None else recorded.plan
        if plan is not None and not plan.actions and plan.look_again:
            return Replayed(
                row.id,
                REFUSED,
                "A call of its present run may have taken effect. Replay it again when that is settled.",
            )
        if plan is None or not plan.actions:
            found = advice(row.reason, run_id=row.id, source=row.source, order_id=row.order_id)
            if known.cancelled_by == "superseded":
                return Replayed(row.id, NOTHING, "It was replaced by the runs that were planned later.")
            message = "Planning its order again changes nothing."
            if known.state is RunState.CANCELLED and known.cancelled_by == "operator":
                first = f"An operator cancelled it. First: cartbridge runs reopen {row.id} --reason TEXT"
                return Replayed(row.id, NOTHING, f"{message} {first}")
            if found is None or known.state is not RunState.REVIEW:
                return Replayed(row.id, NOTHING, message)
            return Replayed(row.id, NOTHING, f"{message} {found.sentence} {found.action}", actions=found.actions)
        if recorded is None:
            return Replayed(row.id, PLANNED, "would plan its order again", calls=describe_plan(plan))
        return Replayed(
            row.id,
            PLANNED,
            f"planned its order again: {counted(len(recorded.created), 'new run')}",
            ready=tuple(recorded.ready),
            calls=describe_plan(plan),
        )

    def _restart(self, run_id: str, *, actor: str, reason: str | None, dry_run: bool) -> Replayed:
        now = self._clock()
        with self._ledger.write() as connection:
            row, known = _load(connection, run_id)
            why_not = why_not_restart(connection, self._delivery_reader, row, known, now)
            if why_not is not None:
                return _not_restarted(row, why_not)
            held_back = what_holds_back(connection, row, now=now)
            calls = describe_calls(row, _states(connection, run_id), effect_open=known.effect_open)
            if dry_run:
                return Replayed(run_id, REPLAYED, "would be replayed", calls=calls)
            transitions.restart(
                connection,
                known,
                keeps_lane_shut=known.state is RunState.WAITING,
                cancel_reason=asked_cancellation(row, known),
                now=now,
            )
            detail = {"from": known.state}
            record_run_event(connection, row, at=now, kind="run_replayed", actor=actor, reason=reason, detail=detail)
        message = f"replayed. {held_back}" if held_back else "replayed"
        return Replayed(run_id, REPLAYED, message, ready=(run_id,), calls=calls)

    def _repeat(
        self,
        row: Run,
        from_step: str | None,
        seen: int,
        *,
        again: bool,
        actor: str,
        reason: str | None,
        dry_run: bool,
    ) -> Replayed:
        now = self._clock()
        with self._ledger.write() as connection:
            row, known = _load(connection, row.id)
            if row.generation != seen:
                return Replayed(row.id, NOTHING, "It has been repeated since you looked; nothing is repeated again.")
            states = _states(connection, row.id)
            first = from_step or next(iter(states), None)
            if first not in states:
                names = ", ".join(states) or "none"
                return Replayed(row.id, REFUSED, f"It has no such step; its steps are: {names}.")
            if known.state is RunState.RUNNING:
                return Replayed(row.id, REFUSED, "It is being worked on right now. Try again when it has ended.")
            repeated = list(states)[list(states).index(first) :]
            finished = [name for name in repeated if states[name] is StepState.DONE]
            if not again and (finished or known.effect_open):
                return Replayed(
                    row.id,
                    REFUSED,
                    f"Steps from {first} on may have taken effect; repeat them on purpose with --again --reason TEXT.",
                )
            is_access = row.workflow == ENROLMENT
            why_not = None if again else why_not_restart(connection, self._delivery_reader, row, known, now)
            why_not = (
                why_not_repeated(connection, self._delivery_reader, row, known) if again and is_access else why_not
            )
            if why_not is not None:
                return _not_restarted(row, why_not)
            if again and not (reason or "").strip():
                return Replayed(row.id, REFUSED, "--again needs --reason TEXT: it may make a second comped order.")
            calls = describe_calls(
                row, {name: StepState.PENDING if name in repeated else state for name, state in states.items()}
            )
            if dry_run:
                return Replayed(row.id, REPLAYED, f"would repeat from {first}", calls=calls)
            generation = row.generation + 1 if again else row.generation
            transitions.repeat(
                connection,
                known,
                step_names=repeated,
                keeps_lane_shut=known.state is RunState.WAITING,
                generation=generation,
                result_id=None if again else row.result_id,
                now=now,
            )
            detail = {"from_step": first, "generation": generation, "result_id_before": row.result_id}
            kind = late_results.REPEATED
            record_run_event(connection, row, at=now, kind=kind, actor=actor, reason=reason, detail=detail)
        return Replayed(row.id, REPLAYED, f"repeats from {first}", ready=(row.id,), calls=calls)

    # Resolve and cancel

    def resolve(
        self,
        run_id: str,
        *,
        actor: str,
        note: str,
        result_id: str | None = None,
        seen: Seen = NOT_SEEN,
        dry_run: bool = False,
    ) -> str:
        """Record that a person did the run by hand: it has succeeded, with the note and the order id if given.

        Raises `NotInLedgerError`, and `IllegalTransitionError` for a run that is running, or finished already, or that
        asks something else by now than what was `seen`.
        """
        now = self._clock()
        with self._ledger.write() as connection:
            row, known = _load(connection, run_id)
            _check(known, RunState.SUCCEEDED, "resolved", seen.why_not_answered(row))
            if dry_run:
                return f"would resolve {row.key} ({known.state}) as done by hand"
            transitions.resolve(
                connection,
                known,
                reason=Reason.DONE_BY_HAND,
                note=without_people(connection, note[:500], run_id=row.id, source=row.source, order_id=row.order_id),
                result_id=result_id or row.result_id,
                now=now,
            )
            sealed_passwords.erase(connection, [row.id], now=now)  # nothing is mailed any more
            detail = {"from": known.state, "reason": row.reason, "result_id": result_id}
            record_run_event(connection, row, at=now, kind=RESOLVED, actor=actor, reason=note[:500], detail=detail)
            if row.cancel_reason is not None:
                late_results.open_revocation(connection, run_id, row.cancel_reason, now=now)
        return f"resolved {row.key}: done by hand"

    def cancel(
        self, run_id: str, *, actor: str, reason: str | None = None, seen: Seen = NOT_SEEN, dry_run: bool = False
    ) -> str:
        """Cancel a run that has had no effect.

        Raises `IllegalTransitionError` for one that is running, finished, or that has had an effect, or may have had,
        or that asks something else by now than what was `seen`.
        """
        now = self._clock()
        with self._ledger.write() as connection:
            row, known = _load(connection, run_id)
            _check(known, RunState.CANCELLED, "cancelled", seen.why_not_answered(row))
            if known.effect_open:
                how = how_to_find_out(connection, row)
                raise IllegalTransitionError(f"Run {run_id} may have taken effect, so it cannot be cancelled. {how}")
            given = late_results.earlier_effect(connection, run_id) if row.workflow == ENROLMENT else None
            if given is not None:
                raise IllegalTransitionError(why_not_cancelled(run_id, given))
            if dry_run:
                return f"would cancel {row.key} ({known.state})"
            transitions.cancel_by_hand(connection, known, reason=Reason.CANCELLED_BY_OPERATOR, now=now)
            sealed_passwords.erase(connection, [row.id], now=now)  # nothing is mailed any more
            detail = {"from": known.state, "reason": row.reason}
            record_run_event(connection, row, at=now, kind="run_cancelled", actor=actor, reason=reason, detail=detail)
        return f"cancelled {row.key}"

    def reopen(self, run_id: str, *, actor: str, reason: str, dry_run: bool = False) -> str:
        """As `workflows.operations.reopening.reopen`."""
        return reopen(self._ledger, run_id, actor=actor, reason=reason, dry_run=dry_run, now=self._clock())

    def note(self, source: str, order_id: str, text: str, *, actor: str, dry_run: bool = False) -> str:
        """As `workflows.operations.notes.note_order`."""
        return note_order(self._ledger, source, order_id, text, actor=actor, dry_run=dry_run, now=self._clock())

    def pause(self, system: str, *, actor: str, reason: str | None = None, dry_run: bool = False) -> str:
        """As `workflows.operations.pausing.pause`."""
        return pause(self._ledger, system, actor=actor, reason=reason, dry_run=dry_run, now=self._clock())

    def resume(self, system: str, *, actor: str, reason: str | None = None, dry_run: bool = False) -> str:
        """As `workflows.operations.pausing.resume`."""
        return resume(self._ledger, system, actor=actor, reason=reason, dry_run=dry_run, now=self._clock())


def _load(connection: Connection, run_id: str) -> tuple[Run, KnownRun]:
    row = load_run(connection, run_id, for_update=True)
    return row, known_run(row, effect_open=bool(effect_open_runs(connection, [run_id])))


def _states(connection: Connection, run_id: str) -> dict[str, StepState]:
    found = connection.execute(
        select(steps.c.name, steps.c.state).where(steps.c.run_id == run_id).order_by(steps.c.position)
    )
    return {row.name: StepState(row.state) for row in found}


def _not_restarted(row: Run, why: WhyNot) -> Replayed:
    ready = (row.id,) if why.is_due else ()
    return Replayed(row.id, REFUSED if why.is_refused else NOTHING, why.sentence, ready=ready)


def _check(known: KnownRun, after: RunState, word: str, why_not: str | None) -> None:
    try:
        check_transition(known.state, after, Actor.OPERATOR)
    except IllegalTransitionError:
        then = " Try again when it has ended." if known.state is RunState.RUNNING else ""
        verb = "has" if known.state in {RunState.SUCCEEDED, RunState.FAILED} else "is"
        raise IllegalTransitionError(f"Run {known.id} {verb} {known.state} and cannot be {word}.{then}") from None
    if why_not is not None:
        raise IllegalTransitionError(why_not)
