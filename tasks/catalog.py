"""The task that reads the names of products."""

from __future__ import annotations

import secrets

from celery import Task, shared_task

from tasks.base import LedgerTask
from tasks.process import runtime_of
from worker.sources.source import CatalogSource
from workflows.ingest.catalog import refresh


@shared_task(name="cartbridge.refresh_catalog", base=LedgerTask, bind=True)
def refresh_catalog(self: Task) -> None:
    """Read the names of every source's products, once a day. Safe to double: the ledger knows when it was done."""
    runtime = runtime_of(self.app)
    for source in runtime.sources.values():
        if isinstance(source, CatalogSource):
            refresh(runtime.ledger, source, holder=f"{runtime.holder}:{secrets.token_hex(4)}", clock=runtime.clock)
