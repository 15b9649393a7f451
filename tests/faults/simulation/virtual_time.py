"""Virtual time: what happens when, in one order, without waiting for any of it."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

BEGINNING = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class Timeline:
    """Actions at moments. Those of one moment take place in the order in which they were set."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._set = 0

    def now(self) -> datetime:
        """The present."""
        return BEGINNING + timedelta(seconds=self._seconds)

    def seconds(self) -> float:
        """Seconds since the beginning: a clock that nobody sets."""
        return self._seconds

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Let something happen later."""
        self._set += 1
        heapq.heappush(self._waiting, (self._seconds + max(seconds, 0.0), self._set, action))

    def due_seconds(self) -> list[float]:
        """When what is set down will happen."""
        return [seconds for seconds, _, _ in self._waiting]

    def step(self) -> bool:
        """Go to the next moment at which something happens, and let it happen; False if nothing ever will."""
        if not self._waiting:
            return False
        self._seconds, _, action = heapq.heappop(self._waiting)
        action()
        return True

    def advance(self, seconds: float) -> None:
        """Let time go by, and happen what happens meanwhile."""
        until = self._seconds + seconds
        while self._waiting and self._waiting[0][0] <= until:
            self.step()
        self._seconds = max(self._seconds, until)
