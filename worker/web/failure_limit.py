"""How often one address may fail to authenticate a webhook before it is asked to stop."""

from __future__ import annotations

import math
import threading
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

FAILURES_PER_MINUTE = 30


class FailureLimit:
    """Counts the failures of each client address, in this process's memory. What authenticates is never counted."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._item = RateLimitItemPerMinute(FAILURES_PER_MINUTE, namespace="cartbridge")
        # MemoryStorage drops its own lock when it tidies up, and could then lose a count.
        self._lock = threading.Lock()

    def count_failure(self, address: str) -> int | None:
        """Count one more failure. None while the address may go on; else the seconds it is to wait."""
        with self._lock:
            if self._limiter.hit(self._item, address):
                return None
            return self._wait_seconds(address)

    def wait_seconds(self, address: str) -> int | None:
        """The seconds an address that failed too often is to wait; None while it may go on. Counts nothing."""
        with self._lock:
            return None if self._limiter.test(self._item, address) else self._wait_seconds(address)

    def _wait_seconds(self, address: str) -> int:
        reset_at = self._limiter.get_window_stats(self._item, address).reset_time
        return max(1, math.ceil(reset_at - time.time()))
