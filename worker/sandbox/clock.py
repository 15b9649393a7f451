"""The sandbox's time: the machine's clock, which a test may shift forward to expire tokens and age orders."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """Aware UTC times, a settable distance away from the machine's."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._shift = timedelta()

    def now(self) -> datetime:
        """Return the sandbox's present."""
        return self._now() + self._shift

    def shift(self, seconds: float) -> None:
        """Move the present by `seconds`, on top of earlier shifts; negative goes back."""
        self._shift += timedelta(seconds=seconds)

    def reset(self) -> None:
        """Return to the machine's time."""
        self._shift = timedelta()

    @property
    def shift_seconds(self) -> float:
        """How far the present is from the machine's."""
        return self._shift.total_seconds()


class Allowance:
    """A vendor's limit: so many requests in any one second, measured on the monotonic clock."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._taken: deque[float] = deque()

    def take(self, per_second: float | None) -> bool:
        """Count one request in; False when the second is already full. None is no limit."""
        if per_second is None:
            return True
        with self._lock:
            now = self._monotonic()
            while self._taken and now - self._taken[0] >= 1.0:
                self._taken.popleft()
            if len(self._taken) >= per_second:
                return False
            self._taken.append(now)
            return True
