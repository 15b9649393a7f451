"""Why a run is not started again where it stands, in a sentence; and what holds back one that is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, Self

from sqlalchemy import Connection, select

from worker.advice import advice
from worker.formatting import local
from worker.ledger.keys import is_of_order
from worker.ledger.pauses import pause_of
from worker.ledger.runs import breaker
from worker.ledger.runs.breaker import BreakerState
from worker.ledger.states import RunState, StepState
from worker.ledger.tables.runs import Run, events, orders, steps
from worker.reasons import Reason
from worker.sources.order import Payment
from workflows.execution.late_results import EarlierEffect
from workflows.execution.steps import Repeat, StepDefinition
from workflows.ingest.deliveries import DeliveryReader
from workflows.planning.model import ENROLMENT, HOLDS, KnownRun
from workflows.registry import WORKFLOWS

_NAMES: Final = {"learningcart": "LearningCart", "threedcart": "3dcart"}
"""The systems that can be asked what became of a call, as people call them."""
_WITHDRAWN: Final = HOLDS | {Reason.REMOVED_FROM_ORDER}
"""Why a source takes back a seat of an order that is paid."""
RESOLVED: Final = "run_resolved"
"""The event of a run that a person did by hand."""


@dataclass(frozen=True)
class WhyNot:
    """Why a run is not started again. `is_refused`: somebody must do something else first."""

    sentence: str
    is_refused: bool = False
    is_due: bool = False
    """It is at work's disposal already: the workers may be woken."""


class _AnyRun(Protocol):
    """A run, as far as it is seen."""

    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str | None: ...


@dataclass(frozen=True)
class Seen:
    """A run as the operator saw it who acts on it; what is None was not seen."""

    generation: int | None = None
    state: str | None = None
    question: str | None = None
    """The reason it was in review for: what is answered is that, and nothing that is asked instead by now."""
    is_one_of_many: bool = False
    """It was chosen with others, and nobody named it: what needs a look at this very run is not taken as answered."""

    def generation_of(self, row: Run) -> int:
        """The generation that the operator means to repeat."""
        return row.generation if self.generation is None else self.generation

    @classmethod
    def of(cls, run: _AnyRun, *, is_one_of_many: bool = False) -> Self:
        """A run that is shown now."""
        question = run.reason if run.state == RunState.REVIEW else None
        return cls(state=run.state, question=question, is_one_of_many=is_one_of_many)

    @classmethod
    def read(cls, text: str, *, is_one_of_many: bool = False) -> Self:
        """One that was shown before, by its `text`."""
        state, _, question = text.partition(" ")
        return cls(state=state or None, question=question or None, is_one_of_many=is_one_of_many)

    @property
    def text(self) -> str:
        """State and question, to be sent along with a form."""
        return " ".join(filter(None, (self.state, self.question)))

    def why_not_answered(self, row: Run) -> str | None:
        """That the run is not in review any more for the reason that was seen, in a sentence; None where it is."""
        if self.question is None or (row.state, row.reason) == (RunState.REVIEW, self.question):
            return None
        now = f"{row.state} ({row.reason})" if row.reason else row.state
        return (
            f"Run {row.id} is {now} by now, not in review as {self.question}. Look at it: cartbridge runs show {row.id}"
        )

    def is_before_cancellation_of(self, known: KnownRun) -> bool:
        """Whether an operator has cancelled the run since."""
        return known.cancelled_by == "operator" and self.state not in {None, RunState.CANCELLED}


NOT_SEEN: Final = Seen()


def why_not_restart(
    connection: Connection, reader: DeliveryReader, row: Run, known: KnownRun, now: datetime
) -> WhyNot | None:
    """Why the run is not started again, None where it is."""
    if known.state is RunState.SUCCEEDED:
        return WhyNot("It has succeeded; a replay repeats nothing.")
    if known.state is RunState.RUNNING:
        return WhyNot("It is being worked on right now.")
    if known.cancelled_by == "superseded":
        return WhyNot("It was replaced by the runs that were planned later.")
    if known.state is RunState.PENDING:
        held_back = what_holds_back(connection, row, now=now)
        return WhyNot(f"It is due already. {held_back or 'It will be sent within seconds.'}", is_due=True)
    if known.effect_open and (step := _next_step(connection, row)) is not None and step.repeat is Repeat.NEVER:
        return WhyNot(
            "Nobody can be asked whether the mail was sent, so it is not sent again by itself. The learner has it: "
            f"cartbridge runs resolve {row.id} --note TEXT. If not: cartbridge replay {row.id} --again --reason TEXT",
            is_refused=True,
        )
    if row.lane_shut_until is not None and row.lane_shut_until > now:
        asked_at = f"{local(row.lane_shut_until):%H:%M:%S %Z}"
        who = _whom_to_ask(connection, row)
        then = f"{who} is asked at {asked_at}" if who else f"a replay does something from {asked_at} on"
        return WhyNot(f"A call may still be under way; {then}.")
    if (result_id := _resolved_with(connection, row)) is not None:
        return WhyNot(
            f"It was resolved with LearningCart order {result_id}, so a replay would make a second one. If that is its "
            f"order: cartbridge runs resolve {row.id} --order-id {result_id} --note TEXT. If it is not: "
            f"cartbridge replay {row.id} --again --reason TEXT",
            is_refused=True,
        )
    return None if known.effect_open else why_not_wanted(connection, reader, row, known)


def why_not_repeated(connection: Connection, reader: DeliveryReader, row: Run, known: KnownRun) -> WhyNot | None:
    """Why what a run gives is not given on purpose once more, None where it is."""
    why_not = why_not_wanted(connection, reader, row, known)
    if why_not is None and known.state is RunState.WAITING and known.effect_open:
        said = "Whether its call took effect is being found out. Try again when that is settled."
        return WhyNot(said, is_refused=True)
    return why_not


def why_not_wanted(connection: Connection, reader: DeliveryReader, row: Run, known: KnownRun) -> WhyNot | None:
    """That the source has taken the run's order or its seat back, None where it has not, or a person says so."""
    if row.reason == Reason.REPEATED_WEBHOOK:
        return None
    order = f"{row.source}/{row.order_id}"
    payment = connection.scalar(select(orders.c.payment).where(is_of_order(orders, row.source, row.order_id)))
    if row.workflow != ENROLMENT and payment not in {Payment.CANCELLED, Payment.REFUNDED}:
        return None  # what follows on access that was given, such as its mail
    if payment == Payment.UNKNOWN:
        said = f"The order {order} has a status at the source that nobody has ruled on. See: cartbridge why {order}"
        return WhyNot(said, is_refused=True)
    if payment not in {None, Payment.PAID}:
        is_now = "not paid" if payment == Payment.WAITING else payment
        return WhyNot(f"The order {order} is {is_now} at the source. Paying it again revives the run.", is_refused=True)
    taken_back = row.cancel_reason or (row.reason if known.is_withdrawn else None)
    found = advice(taken_back) if taken_back in _WITHDRAWN else None
    if found is None and (row.order_id is None or reader.has_seat(connection, row.source, row.order_id, row.id)):
        return None
    said = f"The order {order} has no such seat any more." if found is None else found.sentence
    return WhyNot(f"{said} News from the source revives the run. See: cartbridge why {order}", is_refused=True)


def asked_cancellation(row: Run, known: KnownRun) -> str | None:
    """Why a run that is started again is cancelled unless its effect took place: the destination must be asked first.

    So must it be about a run that the source has cancelled, where a restored ledger is not sure of it.
    """
    if not known.effect_open:
        return None
    return row.cancel_reason or (row.reason if known.is_withdrawn and row.workflow == ENROLMENT else None)


def what_holds_back(connection: Connection, row: Run, *, now: datetime) -> str:
    """What keeps a run that is due from being sent, in a sentence; empty where nothing does."""
    step = _next_step(connection, row)
    if step is None:
        return ""
    system = step.system
    if pause_of(connection, system) is not None:
        return f"{system} is paused; it goes on after: cartbridge resume {system}"
    outage = breaker.read(connection, system)
    return "" if outage is None or outage.state is not BreakerState.OPEN else outage.sentence(now)


def how_to_find_out(connection: Connection, row: Run) -> str:
    """How an operator learns whether the run's open call was carried out, before it is resolved by hand."""
    who = _whom_to_ask(connection, row)
    found_out = f"Replay it, so that {who} is asked, or look there yourself" if who else "Ask the learner"
    return f"{found_out} and use: cartbridge runs resolve {row.id} --note TEXT"


def why_not_cancelled(run_id: str, given: EarlierEffect) -> str:
    """That a run gave access before it was repeated, and how it is left at that: for whom it gave it to."""
    how = f"runs resolve {run_id} --order-id {given.result_id} --note TEXT"
    if given.email is not None:
        how = f"seats name {run_id} --email {given.email}"
    said = f"Run {run_id} gave access before it was repeated, so it cannot be cancelled."
    return f"{said} To leave it at that: cartbridge {how}"


def _next_step(connection: Connection, row: Run) -> StepDefinition | None:
    """The run's first step that is not done."""
    done = select(steps.c.name).where(steps.c.run_id == row.id, steps.c.state == StepState.DONE)
    names = set(connection.scalars(done))
    workflow = WORKFLOWS.get(row.workflow)
    sequence = workflow.sequence(row.grant) if workflow is not None and row.grant is not None else ()
    return next((planned.definition for planned in sequence if planned.name not in names), None)


def _whom_to_ask(connection: Connection, row: Run) -> str | None:
    """The system that can say what became of the run's next call, None where none can."""
    step = _next_step(connection, row)
    return None if step is None else _NAMES.get(step.system)


def _resolved_with(connection: Connection, row: Run) -> str | None:
    """The order that an operator said is the run's, where that answer was taken back since."""
    if row.result_id is None:
        return None
    resolved = select(events.c.detail).where(events.c.run_id == row.id, events.c.kind == RESOLVED)
    named = {str(detail.get("result_id")) for detail in connection.scalars(resolved)}
    return row.result_id if row.result_id in named else None
