"""How many requests a second one system gets: a moving window, shared by threads, and by processes through Redis."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Final, cast

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage, Storage
from limits.strategies import MovingWindowRateLimiter

_LONGEST_WINDOW_SECONDS: Final = 4
_SHORTEST_WAIT_SECONDS: Final = 0.001
_LEFT_ALONE_SECONDS: Final = 5.0
_SOCKET_SECONDS: Final = 1.0
KEPT_SHARE: Final = 0.05
"""Of a window's length, for which a slot may be kept; and of a window's requests, so many slots are taken at a time."""
_MOST_SLOTS: Final = 16

log = logging.getLogger(__name__)


class SharedSlots(RedisStorage):
    """A moving window in Redis whose slots may be kept for a moment before they are used.

    A kept slot is counted in the window for as long as it may be kept on top, so that however late it is used, no
    window of the limit's length ever holds more requests than the limit.
    """

    _TAKE: Final = b"""
local amount = tonumber(ARGV[4])
local counted = redis.call('lindex', KEYS[1], ARGV[2] - amount)
if counted and tonumber(counted) >= ARGV[1] - ARGV[3] then
    return tostring(counted + ARGV[3] - ARGV[1])
end
for _ = 1, amount do redis.call('lpush', KEYS[1], ARGV[1]) end
redis.call('ltrim', KEYS[1], 0, ARGV[2] - 1)
redis.call('expire', KEYS[1], math.ceil(ARGV[3]))
return false
"""

    def __init__(self, broker_url: str) -> None:
        super().__init__(
            broker_url,
            key_prefix="cartbridge-rate",
            wrap_exceptions=True,
            socket_connect_timeout=_SOCKET_SECONDS,
            socket_timeout=_SOCKET_SECONDS,
        )
        self._take = self.get_connection().register_script(self._TAKE)

    def take(self, item: RateLimitItem, name: str, *, slots: int, now: float, kept_seconds: float) -> float | None:
        """Take slots, all or none: None, or in how many seconds so many may be free. Raises `StorageError`."""
        counted_seconds = item.get_expiry() + kept_seconds
        try:
            wait_seconds = self._take(
                [self.prefixed_key(item.key_for(name))], [now, item.amount, counted_seconds, slots]
            )
        except self.base_exceptions as error:
            raise StorageError(error) from error
        return None if wait_seconds is None else float(wait_seconds)


class RateLimit:
    """Hands out slots at no more than `requests_per_second` (a float; 0: no limit).

    `storage` is where the window is kept: this process's memory unless a shared one is given, whose entries then carry
    `name`. A shared one that fails is left alone for some seconds, and this process keeps the rate by itself meanwhile.
    Of a high limit a busy process takes several shared slots at a time, and uses them within `KEPT_SHARE` of a window.
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
        self._slots = _Slots()
        if requests_per_second > 0:
            amount, seconds = window(requests_per_second)
            self._item = RateLimitItemPerSecond(amount, seconds, namespace="cartbridge")
            most = min(int(amount * KEPT_SHARE), _MOST_SLOTS)
            self._slots = _Slots(most, kept_seconds=seconds * KEPT_SHARE if most > 1 else 0.0)
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
                return self._take_shared(self._shared)
            except StorageError as error:
                self._shared_from = self._now() + _LEFT_ALONE_SECONDS
                log.warning("%s: the shared rate limit cannot be reached (%s)", self._name, type(error).__name__)
        if self._shared is None:
            return self._hit(cast("MovingWindowRateLimiter", self._limiter))
        if self._own is None:
            self._own = MovingWindowRateLimiter(MemoryStorage())
        return self._hit(self._own)

    def _take_shared(self, storage: Storage) -> float | None:
        if not isinstance(storage, SharedSlots):
            return self._hit(cast("MovingWindowRateLimiter", self._limiter))
        slots, now = self._slots, self._now()
        if slots.use(now):
            return None
        wait_seconds: float | None = None
        for wanted in dict.fromkeys((slots.wanted, 1)):  # near the limit there may be one where there are not many
            wait_seconds = storage.take(self._item, self._name, slots=wanted, now=now, kept_seconds=slots.kept_seconds)
            if wait_seconds is None:
                slots.keep(wanted, now)
                break
        return wait_seconds

    def _hit(self, limiter: MovingWindowRateLimiter) -> float | None:
        if limiter.hit(self._item, self._name):
            return None
        return limiter.get_window_stats(self._item, self._name).reset_time - self._now()


class _Slots:
    """The shared slots that a process has taken and not used. It takes more at a time the faster it uses them up."""

    def __init__(self, most: int = 1, *, kept_seconds: float = 0.0) -> None:
        self.kept_seconds = kept_seconds
        self.wanted = 1
        self._most = max(most, 1)
        self._taken_at = 0.0
        self._taken = 1
        self._left = 0

    def use(self, now: float) -> bool:
        """Use one that is kept. False: take `wanted`, twice as many as were used up in time, else one."""
        is_fresh = 0 <= now - self._taken_at < self.kept_seconds
        if is_fresh and self._left:
            self._left -= 1
            return True
        self.wanted = min(2 * self._taken, self._most) if is_fresh else 1
        return False

    def keep(self, taken: int, now: float) -> None:
        """Note that so many were taken, of which one is used at once."""
        self._taken, self._taken_at, self._left = taken, now, taken - 1


def shared_storage(broker_url: str) -> SharedSlots | None:
    """Where processes that share a Redis broker share their rate limits; None where there is nothing to share.

    Connects on first use. Its failures are `limits.errors.StorageError`.
    """
    if not broker_url.startswith(("redis://", "rediss://")):
        return None
    return SharedSlots(broker_url)


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
