"""Why a run is not started again where it stands, in a sentence; and what holds back one that is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from worker.formatting import local
from worker.ledger.pauses import pause_of
from worker.ledger.runs import breaker
from worker.ledger.runs.breaker import BreakerState
from worker.ledger.states import RunState, StepState
from worker.ledger.tables.runs import Run, events, orders, steps
from worker.ledger.views.overview import outage_sentence
from worker.sources.order import Payment
from workflows.planning.model import KnownRun
from workflows.registry import WORKFLOWS

RESOLVED = "run_resolved"
"""The event of a run that a person did by hand."""


@dataclass(frozen=True)
class WhyNot:
    """Why a run is not started again. `is_refused`: somebody must do something else first."""

    sentence: str
    is_refused: bool = False
    is_due: bool = False
    """It is at work's disposal already: the workers may be woken."""


def why_not_restart(connection: Connection, row: Run, known: KnownRun, now: datetime) -> WhyNot | None:
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
    if row.lane_shut_until is not None and row.lane_shut_until > now:
        asked_at = f"{local(row.lane_shut_until):%H:%M:%S %Z}"
        return WhyNot(f"A call may still be under way; LearningCart is asked at {asked_at}.")
    if (result_id := _resolved_with(connection, row)) is not None:
        return WhyNot(
            f"It was resolved with LearningCart order {result_id}, so a replay would make a second one. If that is its "
            f"order: cartbridge runs resolve {row.id} --order-id {result_id} --note TEXT. If it is not: "
            f"cartbridge replay {row.id} --again --reason TEXT",
            is_refused=True,
        )
    payment = connection.scalar(
        select(orders.c.payment).where(orders.c.source == row.source, orders.c.order_id == row.order_id)
    )
    if payment in {Payment.CANCELLED, Payment.REFUNDED} and not known.effect_open:
        return WhyNot(
            f"The order {row.source}/{row.order_id} is {payment} at the source. Paying it again revives the run.",
            is_refused=True,
        )
    return None


def what_holds_back(connection: Connection, row: Run, *, now: datetime) -> str:
    """What keeps a run that is due from being sent, in a sentence; empty where nothing does."""
    system = _next_system(connection, row)
    if system is None:
        return ""
    if pause_of(connection, system) is not None:
        return f"{system} is paused; it goes on after: cartbridge resume {system}"
    outage = breaker.read(connection, system)
    return "" if outage is None or outage.state is not BreakerState.OPEN else outage_sentence(outage, now)


def _next_system(connection: Connection, row: Run) -> str | None:
    """Whom the run's next step asks."""
    done = select(steps.c.name).where(steps.c.run_id == row.id, steps.c.state == StepState.DONE)
    names = set(connection.scalars(done))
    workflow = WORKFLOWS.get(row.workflow)
    sequence = workflow.sequence(row.grant) if workflow is not None and row.grant is not None else ()
    return next((planned.definition.system for planned in sequence if planned.name not in names), None)


def _resolved_with(connection: Connection, row: Run) -> str | None:
    """The order that an operator said is the run's, where that answer was taken back since."""
    if row.result_id is None:
        return None
    resolved = select(events.c.detail).where(events.c.run_id == row.id, events.c.kind == RESOLVED)
    named = {str(detail.get("result_id")) for detail in connection.scalars(resolved)}
    return row.result_id if row.result_id in named else None
