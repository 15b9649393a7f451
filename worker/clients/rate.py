"""How many requests a second one system gets: a moving window, shared by all threads of a client."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage, Storage
from limits.strategies import MovingWindowRateLimiter

_LONGEST_WINDOW_SECONDS: Final = 4
_SHORTEST_WAIT_SECONDS: Final = 0.001


class RateLimit:
    """Hands out slots at no more than `requests_per_second` (a float; 0: no limit).

    `storage` is where the window is kept: this process's memory unless a shared one is given, whose entries then carry
    `name`. `now` must be the clock the storage uses.
    """

    def __init__(
        self,
        name: str,
        requests_per_second: float,
        *,
        storage: Storage | None = None,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = name
        self._now = now
        self._sleep = sleep
        self._lock = threading.Lock()
        self._limiter: MovingWindowRateLimiter | None = None
        if requests_per_second > 0:
            amount, seconds = window(requests_per_second)
            self._item = RateLimitItemPerSecond(amount, seconds, namespace="cartbridge")
            # MemoryStorage starts a thread: none for a client without a limit.
            self._limiter = MovingWindowRateLimiter(MemoryStorage() if storage is None else storage)

    def take(self) -> None:
        """Return as soon as one more request may be sent. Waits as long as it takes."""
        limiter = self._limiter
        while limiter is not None:
            # MemoryStorage drops its own lock when it tidies up, and could then admit one too many.
            with self._lock:
                if limiter.hit(self._item, self._name):
                    return
                reset = limiter.get_window_stats(self._item, self._name).reset_time
            wait_seconds = reset - self._now()
            # A clock set back must not make the wait longer than the window.
            self._sleep(min(max(wait_seconds, _SHORTEST_WAIT_SECONDS), self._item.get_expiry()))


def window(requests_per_second: float) -> tuple[int, int]:
    """Return the (requests, whole seconds) nearest to a rate without exceeding it.

    Short windows, so that a burst stays small: at most four seconds, except for a rate below one request in four.
    """
    fitting = [
        (math.floor(requests_per_second * seconds), seconds) for seconds in range(1, _LONGEST_WINDOW_SECONDS + 1)
    ]
    amount, seconds = max(fitting, key=lambda each: (each[0] / each[1], -each[1]))
    if amount == 0:
        return 1, math.ceil(1 / requests_per_second)
    return amount, seconds
