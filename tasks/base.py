"""The base of every task: a ledger that cannot be used is one line in the log, and never the end of anything."""

from __future__ import annotations

import logging
from typing import Any

from celery import Task
from celery.worker.request import Request
from sqlalchemy.exc import SQLAlchemyError

from worker.ledger.session import LEDGER_AWAY

log = logging.getLogger(__name__)


class LedgerRequest(Request):  # type: ignore[misc]
    """A message as a worker takes it. Whether it came too late, the clock says that all processes share.

    By its own machine's, a worker a few seconds ahead of beat's dropped every sweep: no retry was ever made.
    """

    def maybe_expire(self) -> bool:
        """Whether beat has sent a newer one by now. While nobody knows the time, it is not too late."""
        try:
            return self.expires is not None and self.app.now() > self.expires
        except SQLAlchemyError:
            return False


class LedgerTask(Task):  # type: ignore[misc]
    """A task that works with the ledger.

    While that is away (a full disk, a lost server, one that only reads) the task ends: what it left undone is due in
    the ledger, and is sent again. A traceback for each would bury the log.
    """

    abstract = True
    Request = LedgerRequest

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do the task's work, within the request that Celery set: its own `__call__` would begin another."""
        try:
            return self.run(*args, **kwargs)
        except LEDGER_AWAY as error:
            why = " ".join(str(error.orig).split())  # of these kinds, none quotes a value
            log.error("%s: the ledger cannot be used (%s); what is due is sent again", self.name, why)  # noqa: TRY400  (no traceback: there would be one for every message)
            return None
