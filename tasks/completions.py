"""The task that reads LearningCart's completions."""

from __future__ import annotations

import secrets
from datetime import timedelta

from celery import Task, shared_task

from tasks import follow_on
from tasks.base import LedgerTask
from tasks.process import runtime_of
from tasks.runtime import Runtime
from worker.broker.app import completions_ask_seconds, events_of
from worker.ledger.follow_on.completions import CURSOR
from workflows.enrolment.steps import LEARNINGCART
from workflows.follow_on.completions import CompletionsPoller
from workflows.ingest.order_polling import poll_due


@shared_task(name="cartbridge.poll_completions", base=LedgerTask, bind=True)
def poll_completions(self: Task) -> None:
    """Read the completions, if the last poll is long enough ago. Safe to double: the ledger knows whose poll it is."""
    runtime = runtime_of(self.app)
    poll_seconds = runtime.settings.learningcart.poll_seconds
    if LEARNINGCART not in runtime.clients or not poll_seconds:
        return
    # Half a question early: the next one would come half a question late.
    due_after_seconds = poll_seconds - completions_ask_seconds(poll_seconds) / 2
    with runtime.ledger.read() as connection:
        due = poll_due(connection, CURSOR, now=runtime.clock(), poll_seconds=due_after_seconds)
    if due:
        completions_poller(runtime).poll()


def completions_poller(runtime: Runtime) -> CompletionsPoller:
    """What polls the completions, with this process's client of LearningCart."""
    section = runtime.settings.learningcart
    options = runtime.settings.completions
    return CompletionsPoller(
        runtime.ledger,
        runtime.clients[LEARNINGCART],
        holder=f"{runtime.holder}:{secrets.token_hex(4)}",
        clock=runtime.clock,
        # It must outlast one call, with a new token for it.
        lease_seconds=max(
            runtime.settings.lease_seconds, 3 * (section.connect_timeout_seconds + section.read_timeout_seconds)
        ),
        baseline=timedelta(days=options.baseline_days),
        span=timedelta(days=options.span_days),
        tells=events_of(runtime.settings) is not None,
        follow_on=follow_on.planner(runtime),
        should_stop=runtime.stopping.is_set,
    )
