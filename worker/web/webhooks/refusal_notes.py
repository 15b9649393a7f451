"""Notes of webhooks that could not be used as they came, in the ledger for `cartbridge check`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from worker.ledger.session import Ledger
from worker.ledger.web import webhook_refusals

_QUIET_SECONDS: Final = 60.0


class RefusalNotes:
    """Writes one note a minute for each source and kind: unknown senders must not keep the ledger busy."""

    def __init__(
        self, ledger: Ledger, *, clock: Callable[[], datetime], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._monotonic = monotonic
        self._quiet_until: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def is_due(self, source: str, kind: str) -> bool:
        """Whether a note is to be written now; True once a minute."""
        now = self._monotonic()
        with self._lock:
            if now < self._quiet_until.get((source, kind), 0.0):
                return False
            self._quiet_until[source, kind] = now + _QUIET_SECONDS
            return True

    def write(self, source: str, kind: str) -> bool:
        """Write it; False where the ledger cannot be used, which loses nothing but the note. Blocks for the ledger."""
        try:
            with self._ledger.write() as connection:
                webhook_refusals.note(connection, source, kind, now=self._clock())
        except SQLAlchemyError:
            return False
        return True
