"""How a step's task works: it claims the run, performs its step, and carries on in place with the chain's next ones."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from tasks.base import LedgerTask
from tasks.process import runtime_of
from tasks.runtime import Runtime
from worker.ledger.runs.held import HeldRun
from worker.ledger.tables.runs import runs
from worker.observability.logs import log_context
from worker.observability.tracing import tracing
from workflows.execution.steps import PlannedStep, StepDefinition


class StepTask(LedgerTask):
    """A workflow step as a Celery task. `definition` is the step's."""

    abstract = True
    definition: StepDefinition

    def work(self, run_id: str) -> None:
        """Work a run from where the ledger says it stands, until it ends, waits, or belongs to another system's queue.

        The message says only that the run may be due. Which step is next is the ledger's word; a run that is not due,
        or is held by somebody else, is left alone.
        """
        runtime = runtime_of(self.app)
        held = runtime.executor.claim(run_id, self.definition.system)
        if held is None:
            self._end_chain()
            return
        with log_context(run_id=held.id, order=held.order):
            self._carry_on(runtime, held)
        waiting = runtime.executor.next_in_lane(held)
        if waiting is not None:
            runtime.dispatcher.send_runs([waiting])

    def _carry_on(self, runtime: Runtime, held: HeldRun) -> None:
        """Perform step after step in place: a step that is due now needs no trip through the broker."""
        while True:
            planned = runtime.executor.planned_step(held)
            if planned is None or planned.definition.system != self.definition.system or runtime.stopping.is_set():
                runtime.executor.let_go(held)
                break
            task = self.app.tasks[f"cartbridge.{held.workflow}.{planned.definition.kind}"]
            if not task.perform_in_place(runtime, held, planned):
                break
        self._end_chain()

    def perform_in_place(self, runtime: Runtime, held: HeldRun, planned: PlannedStep) -> bool:
        """This task's own step, for a run that is held already. True: go on with the next."""
        with (
            log_context(step=planned.name, attempt=_attempt_of(held)),
            tracing().within(planned.name, _delivery_of(runtime, held), run=held.id, workflow=held.workflow),
        ):
            return runtime.executor.perform(held, planned)

    def _end_chain(self) -> None:
        """The rest of the chain was done in place, or must wait: the ledger begins the next chain where it stands."""
        self.request.chain = None


def _attempt_of(held: HeldRun) -> int | None:
    """The number of the attempt that comes now: of a lookup, where the call before must be asked about first."""
    return None if held.next_step is None else held.next_step.attempts + 1


def _delivery_of(runtime: Runtime, held: HeldRun) -> str | None:
    """The delivery that caused a run, whose trace its steps belong to; asked for only where there are traces."""
    if not tracing().is_on:
        return None
    with runtime.ledger.read() as connection:
        return connection.scalar(select(runs.c.delivery_id).where(runs.c.id == held.id))


def bind(definition: StepDefinition) -> dict[str, Any]:
    """The options of a step's task: its class with its definition."""
    return {
        "base": type(f"{definition.kind}_task", (StepTask,), {"definition": definition, "abstract": True}),
        "bind": True,
    }
