"""The base of every task: a ledger that cannot be used is one line in the log, and never the end of anything."""

from __future__ import annotations

import logging
from typing import Any

from celery import Task

from worker.ledger.session import LEDGER_AWAY

log = logging.getLogger(__name__)


class LedgerTask(Task):  # type: ignore[misc]
    """A task that works with the ledger.

    While that is away (a full disk, a lost server, one that only reads) the task ends: what it left undone is due in
    the ledger, and is sent again. A traceback for each would bury the log.
    """

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do the task's work, within the request that Celery set: its own `__call__` would begin another."""
        try:
            return self.run(*args, **kwargs)
        except LEDGER_AWAY as error:
            why = " ".join(str(error.orig).split())  # of these kinds, none quotes a value
            log.error("%s: the ledger cannot be used (%s); what is due is sent again", self.name, why)  # noqa: TRY400  (no traceback: there would be one for every message)
            return None
