"""One planned seat that operators act on, and what a replay of it does."""

from __future__ import annotations

from tests.unit.workflows.fakes.storefront import NOW, rows
from worker.ledger.runs import breaker
from worker.ledger.session import Ledger
from worker.ledger.states import StepState
from worker.ledger.tables.runs import attempts, events, pauses, runs, steps

SEAT = "1109/1107/buyer/501"
UNMAPPED = "1109/1107/buyer/unmapped"
ANN = "operator:ann"
ALL_STEPS = (
    "learningcart addCustomer jane@example.test",
    "learningcart addCustomerToGroup group 12",
    "learningcart addCompOrder price 501",
)
LOOKUP = "learningcart getOrdersByDate (look for the reference of the earlier attempt first)"


def do_steps(ledger: Ledger, count: int = 3) -> None:
    """Have the first steps done."""
    with ledger.write() as connection:
        connection.execute(
            steps.update().where(steps.c.position < count).values(state=StepState.DONE, output={"x": 1}, counted=1)
        )


def contents(ledger: Ledger) -> list[object]:
    """Every row that an act of an operator may change."""
    return [rows(ledger, table) for table in (runs, steps, attempts, events, pauses)]


def note_down(ledger: Ledger) -> None:
    """Have LearningCart be down."""
    with ledger.write() as connection:
        for _ in range(breaker.FAILURES_TO_OPEN):
            breaker.note_failure(
                connection,
                "learningcart",
                "another",
                error="HTTP 503",
                unreachable=True,
                is_own=False,
                now=NOW,
                probe_seconds=60.0,
            )
