"""How many requests a second one system gets: a moving window, shared by threads, and by processes through Redis."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from worker.errors import CartbridgeError

_LONGEST_WINDOW_SECONDS: Final = 4
_SHORTEST_WAIT_SECONDS: Final = 0.001
_LEFT_ALONE_SECONDS: Final = 5.0
_SOCKET_SECONDS: Final = 1.0
KEPT_SHARE: Final = 0.05
"""Of a window's length, for which a slot may be kept; and of a window's requests, so many slots are taken at a time."""
_MOST_SLOTS: Final = 16

log = logging.getLogger(__name__)


class SlotsAwayError(CartbridgeError):
    """The window that processes share cannot be reached now."""


@dataclass(frozen=True)
class Window:
    """So many requests in any so many seconds."""

    amount: int
    seconds: int


class OwnSlots:
    """A moving window that this process keeps for itself. Its caller sees to it that one thread asks at a time."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._taken_at: deque[float] = deque(maxlen=window.amount)

    def take(self, now: float) -> float | None:
        """Take a slot: None, or in how many seconds there is one."""
        taken_at, window = self._taken_at, self._window
        if taken_at and taken_at[-1] > now:  # the clock was set back: what is taken counts from now
            self._taken_at = taken_at = deque((min(each, now) for each in taken_at), window.amount)
        if len(taken_at) == window.amount and taken_at[0] >= now - window.seconds:
            return taken_at[0] + window.seconds - now
        taken_at.append(now)
        return None


class SharedSlots:
    """A moving window in Redis whose slots may be kept for a moment before they are used.

    A kept slot is counted in the window for as long as it may be kept on top, so that however late it is used, no
    window of the limit's length ever holds more requests than the limit. Connects on first use.
    """

    _TAKE: Final = """
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
        import redis  # noqa: PLC0415 -- ten megabytes that one process alone does not need

        self._away = redis.RedisError
        client = redis.Redis.from_url(
            broker_url, socket_connect_timeout=_SOCKET_SECONDS, socket_timeout=_SOCKET_SECONDS
        )
        self._take = client.register_script(self._TAKE)

    def take(self, window: Window, name: str, *, slots: int, now: float, kept_seconds: float) -> float | None:
        """Take slots, all or none: None, or in how many seconds so many may be free. Raises `SlotsAwayError`."""
        counted_seconds = window.seconds + kept_seconds
        key = f"cartbridge-rate:cartbridge/{name}/{window.amount}/{window.seconds}/second"
        try:
            wait_seconds = self._take([key], [now, window.amount, counted_seconds, slots])
        except self._away as error:
            raise SlotsAwayError(type(error).__name__) from error
        return None if wait_seconds is None else float(wait_seconds)


class RateLimit:
    """Hands out slots at no more than `requests_per_second` (a float; 0: no limit).

    `shared` is the window of all processes; without one, this process keeps its own. A
    shared one that fails is left alone for some seconds, and this process keeps the rate by itself meanwhile. Of a
    high limit a busy process takes several shared slots at a time, and uses them within `KEPT_SHARE` of a window.
    """

    def __init__(
        self,
        name: str,
        requests_per_second: float,
        *,
        shared: SharedSlots | None = None,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = name
        self._now = now
        self._sleep = sleep
        self._lock = threading.Lock()
        self._shared = shared
        self._shared_from = 0.0
        self._window = window(requests_per_second) if requests_per_second > 0 else None
        if self._window is not None:
            most = min(int(self._window.amount * KEPT_SHARE), _MOST_SLOTS)
            self._kept = _KeptSlots(most, kept_seconds=self._window.seconds * KEPT_SHARE if most > 1 else 0.0)
            self._own = OwnSlots(self._window)

    def take(self) -> None:
        """Return as soon as one more request may be sent. Waits as long as it takes."""
        while self._window is not None:
            with self._lock:
                wait_seconds = self._try(self._window)
            if wait_seconds is None:
                return
            # A clock set back must not make the wait longer than the window.
            self._sleep(min(max(wait_seconds, _SHORTEST_WAIT_SECONDS), self._window.seconds))

    def _try(self, limit: Window) -> float | None:
        """Take a slot; None, or how long there is none."""
        now = self._now()
        if self._shared is not None and now >= self._shared_from:
            try:
                return self._take_shared(self._shared, limit, now)
            except SlotsAwayError as error:
                self._shared_from = now + _LEFT_ALONE_SECONDS
                log.warning("%s: the shared rate limit cannot be reached (%s)", self._name, error)
        return self._own.take(now)

    def _take_shared(self, shared: SharedSlots, limit: Window, now: float) -> float | None:
        kept = self._kept
        if kept.use(now):
            return None
        wait_seconds: float | None = None
        for wanted in dict.fromkeys((kept.wanted, 1)):  # near the limit there may be one where there are not many
            wait_seconds = shared.take(limit, self._name, slots=wanted, now=now, kept_seconds=kept.kept_seconds)
            if wait_seconds is None:
                kept.keep(wanted, now)
                break
        return wait_seconds


class _KeptSlots:
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


def shared_slots(broker_url: str) -> SharedSlots | None:
    """Where processes that share a Redis broker share their rate limits; None where there is nothing to share."""
    if not broker_url.startswith(("redis://", "rediss://")):
        return None
    return SharedSlots(broker_url)


def window(requests_per_second: float) -> Window:
    """Return the window nearest to a rate that does not exceed it.

    Short windows, so that a burst stays small: at most four seconds, except for a rate below one request in four.
    """
    fitting = [
        (math.floor(requests_per_second * seconds), seconds) for seconds in range(1, _LONGEST_WINDOW_SECONDS + 1)
    ]
    amount, seconds = max(fitting, key=lambda each: (each[0] / each[1], -each[1]))
    if amount == 0:
        return Window(1, math.ceil(1 / requests_per_second))
    return Window(amount, seconds)
