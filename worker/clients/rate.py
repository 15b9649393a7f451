"""How many requests a second one system gets: a moving window, shared by threads, and by processes through Redis."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Final, cast

from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage, Storage
from limits.strategies import MovingWindowRateLimiter

_LONGEST_WINDOW_SECONDS: Final = 4
_SHORTEST_WAIT_SECONDS: Final = 0.001
_LEFT_ALONE_SECONDS: Final = 5.0
_SOCKET_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class RateLimit:
    """Hands out slots at no more than `requests_per_second` (a float; 0: no limit).

    `storage` is where the window is kept: this process's memory unless a shared one is given, whose entries then carry
    `name`. A shared one that fails is left alone for some seconds, and this process keeps the rate by itself meanwhile.
    `now` must be the clock the storage uses.
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
        self._shared = storage
        self._shared_from = 0.0
        self._own: MovingWindowRateLimiter | None = None
        self._limiter: MovingWindowRateLimiter | None = None
        if requests_per_second > 0:
            amount, seconds = window(requests_per_second)
            self._item = RateLimitItemPerSecond(amount, seconds, namespace="cartbridge")
            # MemoryStorage starts a thread: none for a client without a limit, or whose shared storage works.
            self._limiter = MovingWindowRateLimiter(MemoryStorage() if storage is None else storage)

    def take(self) -> None:
        """Return as soon as one more request may be sent. Waits as long as it takes."""
        while self._limiter is not None:
            # MemoryStorage drops its own lock when it tidies up, and could then admit one too many.
            with self._lock:
                wait_seconds = self._try()
            if wait_seconds is None:
                return
            # A clock set back must not make the wait longer than the window.
            self._sleep(min(max(wait_seconds, _SHORTEST_WAIT_SECONDS), self._item.get_expiry()))

    def _try(self) -> float | None:
        """Take a slot; None, or how long there is none."""
        if self._shared is not None and self._now() >= self._shared_from:
            try:
                return self._hit(cast("MovingWindowRateLimiter", self._limiter))
            except StorageError as error:
                self._shared_from = self._now() + _LEFT_ALONE_SECONDS
                log.warning("%s: the shared rate limit cannot be reached (%s)", self._name, type(error).__name__)
        if self._shared is None:
            return self._hit(cast("MovingWindowRateLimiter", self._limiter))
        if self._own is None:
            self._own = MovingWindowRateLimiter(MemoryStorage())
        return self._hit(self._own)

    def _hit(self, limiter: MovingWindowRateLimiter) -> float | None:
        if limiter.hit(self._item, self._name):
            return None
        return limiter.get_window_stats(self._item, self._name).reset_time - self._now()


def shared_storage(broker_url: str) -> Storage | None:
    """Where processes that share a Redis broker share their rate limits; None where there is nothing to share.

    Connects on first use. Its failures are `limits.errors.StorageError`.
    """
    if not broker_url.startswith(("redis://", "rediss://")):
        return None
    return RedisStorage(
        broker_url,
        key_prefix="cartbridge-rate",
        wrap_exceptions=True,
        socket_connect_timeout=_SOCKET_SECONDS,
        socket_timeout=_SOCKET_SECONDS,
    )


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
