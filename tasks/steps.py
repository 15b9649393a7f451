"""The task of a step: it claims the run, performs the step, and goes on in place with the chain's next ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Task, shared_task
from celery.exceptions import OperationalError
from sqlalchemy import select

from tasks.base import LedgerTask
from tasks.dispatch import task_name, tell_broker_is_away
from tasks.runtime import Runtime, runtime_of
from worker.ledger.runs.held import HeldRun
from worker.ledger.tables.runs import runs
from worker.observability.logs import log_context
from worker.observability.tracing import tracing
from workflows.execution.steps import StepDefinition

Link = dict[str, Any]
"""A link of a chain as Celery keeps it: a signature."""


class StepTask(LedgerTask):
    """A workflow step as a Celery task. `definition` is the step's."""

    abstract = True
    definition: StepDefinition
    throws = (OperationalError,)
    """Raised where the next link cannot be sent. It is logged in one line."""

    def work(self, run_id: str) -> None:
        """Work a run on from where the ledger says it stands, until it ends, waits, or needs another system's queue.

        The message says only that the run may be due; the ledger says which step is next. A run that is not due, or
        that somebody else holds, is left alone. Celery sends what is left of the chain when this returns.
        """
        runtime = runtime_of(self.app)
        chain, self.request.chain = self.request.chain, None
        held = runtime.executor.claim(run_id, self.definition.system)
        if held is None:
            return
        with log_context(run_id=held.id, order=held.order):
            following = self._carry_on(runtime, held)
        if following:
            links = links_of(chain, following)
            if links is None:  # the message is older than the run's position: a new chain is begun
                runtime.dispatcher.send_runs([held.id])
            self.request.chain = links
            return
        if held.next_in_lane is not None:
            runtime.dispatcher.send_runs([held.next_in_lane])

    def _carry_on(self, runtime: Runtime, held: HeldRun) -> list[str]:
        """Perform step after step in place: a step that is due now needs no trip through the broker.

        Returns the names of the tasks that another worker must go on with; none where the chain ends here.
        """
        while left := runtime.executor.steps_left(held):
            planned = left[0]
            if planned.definition.system != self.definition.system or runtime.stopping.is_set():
                is_sent = runtime.executor.hand_over(held, planned.definition.system)
                return [task_name(held.workflow, step.definition.kind) for step in left] if is_sent else []
            with (
                log_context(step=planned.name, attempt=_attempt_of(held)),
                tracing().within(planned.name, _delivery_of(runtime, held), run=held.id, workflow=held.workflow),
            ):
                goes_on = runtime.executor.perform(held, planned)
            if not goes_on:
                return []
        runtime.executor.let_go(held)
        return []

    def on_failure(self, exc: Exception, *_: Any) -> None:
        """Log in one line that the next link could not be sent. A sweep sends the run again."""
        if isinstance(exc, OperationalError):
            tell_broker_is_away(exc)


def links_of(chain: Sequence[Link] | None, names: Sequence[str]) -> list[Link] | None:
    """The links of a chain that are left when only these tasks are to come; None where it does not end with them.

    Celery keeps a chain backwards: the last element is the next link.
    """
    left = list(chain or ())[: len(names)]
    return left if [link["task"] for link in reversed(left)] == list(names) else None


def _attempt_of(held: HeldRun) -> int | None:
    """The number of the next attempt, which may be a lookup."""
    return None if held.next_step is None else held.next_step.attempts + 1


def _delivery_of(runtime: Runtime, held: HeldRun) -> str | None:
    """The delivery that caused a run: the steps belong to its trace. None without traces."""
    if not tracing().is_on:
        return None
    with runtime.ledger.read() as connection:
        return connection.scalar(select(runs.c.delivery_id).where(runs.c.id == held.id))


def step_task(name: str, definition: StepDefinition) -> Task:
    """The task of a workflow's step; `name` is what messages call it by."""
    base = type(f"{definition.kind}_task", (StepTask,), {"definition": definition, "abstract": True})

    @shared_task(name=name, base=base, bind=True)
    def work(self: StepTask, run_id: str) -> None:
        self.work(run_id)

    task: Task = work
    return task
