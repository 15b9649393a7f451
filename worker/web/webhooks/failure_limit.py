"""How often one address may fail to authenticate a webhook before it is asked to stop."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

FAILURES_PER_MINUTE: Final = 30
_MINUTE_SECONDS: Final = 60.0
_MOST_ADDRESSES: Final = 10_000


class FailureLimit:
    """Counts the failures of each client address over a minute that moves, in this process's memory: nothing slow may
    come before a webhook's answer. What authenticates is never counted. Safe to share between threads.

    `monotonic` gives seconds that nobody sets.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def count_failure(self, address: str) -> int | None:
        """Count one more failure. None while the address may go on; else the seconds it is to wait."""
        with self._lock:
            failed_at = self._failures.setdefault(address, deque())
            self._failures.move_to_end(address)
            if len(self._failures) > _MOST_ADDRESSES:
                self._failures.popitem(last=False)
            wait_seconds = self._wait_seconds(failed_at)
            if wait_seconds is None:
                failed_at.append(self._monotonic())
            return wait_seconds

    def wait_seconds(self, address: str) -> int | None:
        """The seconds an address that failed too often is to wait; None while it may go on. Counts nothing."""
        with self._lock:
            failed_at = self._failures.get(address)
            return None if failed_at is None else self._wait_seconds(failed_at)

    def _wait_seconds(self, failed_at: deque[float]) -> int | None:
        now = self._monotonic()
        while failed_at and failed_at[0] <= now - _MINUTE_SECONDS:
            failed_at.popleft()
        if len(failed_at) < FAILURES_PER_MINUTE:
            return None
        return max(1, math.ceil(failed_at[0] + _MINUTE_SECONDS - now))
