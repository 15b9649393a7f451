"""The task that drops, once a day, what was kept for as long as the settings say."""

from __future__ import annotations

import logging

from celery import Task, shared_task

from tasks.base import LedgerTask
from tasks.runtime import runtime_of
from worker.ledger.compaction import FileInUseError, rewrite_if_owed
from worker.ledger.learners import retention
from worker.ledger.learners.retention import RetentionDays
from worker.settings.settings import Settings

log = logging.getLogger(__name__)


@shared_task(name="cartbridge.expire", base=LedgerTask, bind=True)
def expire(self: Task) -> None:
    """Drop what is older than it should be, once a day. Safe to double: the ledger knows whose this day is.

    SQLite's file is rewritten where somebody was forgotten, and who did it was killed before.
    """
    runtime = runtime_of(self.app)
    now = runtime.clock()
    try:
        if rewrite_if_owed(runtime.ledger, now=now):
            log.info("the ledger's file was rewritten after a forgetting")
    except FileInUseError as error:
        log.warning("not rewritten after a forgetting: %s", error)
    if not retention.is_due(runtime.ledger, now=now, holder=runtime.holder):
        return
    done = retention.expire(
        runtime.ledger, retention_days(runtime.settings), now=now, should_stop=runtime.stopping.is_set
    )
    if any(done.values()):
        log.info("kept for long enough: %s", ", ".join(f"{count} {what}" for what, count in done.items() if count))


def retention_days(settings: Settings) -> RetentionDays:
    """For how long each kind is kept, by the settings."""
    days = settings.retention
    return RetentionDays(
        order_versions=days.order_versions_days,
        deliveries=days.deliveries_days,
        texts=days.texts_days,
        completions=days.completions_days,
    )
