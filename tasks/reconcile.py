"""The task that compares the three books every night, and settles what needs no person."""

from __future__ import annotations

import logging
from collections.abc import Collection

from celery import Task, shared_task

from tasks.base import LedgerTask
from tasks.runtime import Runtime, runtime_of
from worker.ledger.pauses import paused_sources
from worker.ledger.states import Actor
from workflows.enrolment.steps import LEARNINGCART
from workflows.reconcile.reconciler import NIGHTLY_WINDOW, Reconciler, take_night

log = logging.getLogger(__name__)


@shared_task(name="cartbridge.reconcile", base=LedgerTask, bind=True)
def reconcile(self: Task) -> None:
    """Reconcile the last days, once a night. Safe to double: the ledger knows whose this night is."""
    runtime = runtime_of(self.app)
    now = runtime.clock()
    if not take_night(runtime.ledger, now=now, holder=runtime.holder):
        return
    with runtime.ledger.read() as connection:
        paused = paused_sources(connection)
    reconciler = reconciler_of(runtime, but=paused)
    reconciled = reconciler.find(now - NIGHTLY_WINDOW)
    reconciler.pause_if_restored(reconciled)
    reconciler.fix(reconciled, actor=Actor.ENGINE)
    reconciler.keep(reconciled, actor=Actor.ENGINE)
    runtime.dispatcher.send_runs(reconciled.ready)
    for finding in reconciled.remaining:
        log.warning("reconcile: %s (%s)", finding.sentence, finding.command)


def reconciler_of(runtime: Runtime, *, but: Collection[str] = ()) -> Reconciler:
    """What compares the books of a process's systems, but for some sources."""
    return Reconciler(
        runtime.ledger,
        {name: source for name, source in runtime.sources.items() if name not in but},
        runtime.policies,
        runtime.offers,
        delivery_reader=runtime.delivery_reader,
        learningcart=runtime.clients.get(LEARNINGCART),
        clock=runtime.clock,
        should_stop=runtime.stopping.is_set,
    )
