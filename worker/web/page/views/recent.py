"""Answers that are given again for a while: what takes long to count is not counted anew from second to second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

_Answer = TypeVar("_Answer")
QUICK_SECONDS: Final = 0.05
"""What is found within this is found anew each time: a small ledger's page is never behind it."""


class Recent(Generic[_Answer]):
    """Answers by what was asked, each kept for as long as is said; the process's own, and only the newest few."""

    def __init__(
        self,
        lasts: timedelta,
        clock: Callable[[], datetime],
        *,
        most: int = 8,
        stopwatch: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._lasts = lasts
        self._clock = clock
        self._most = most
        self._stopwatch = stopwatch
        self._changing = threading.Lock()
        self._answers: dict[object, tuple[datetime, _Answer]] = {}

    def get(self, asked: object, answer: Callable[[], _Answer]) -> _Answer:
        """The answer to what is `asked`, found anew where there is none, one that is too old, or one quickly found."""
        now = self._clock()
        at, found = self._answers.get(asked, (None, None))
        if at is None or found is None or not now - self._lasts < at <= now:
            began = self._stopwatch()
            found = answer()
            is_quick = self._stopwatch() - began < QUICK_SECONDS
            with self._changing:  # another thread may keep an answer at the same moment
                self._answers.pop(asked, None)
                if is_quick:
                    return found
                while len(self._answers) >= self._most:
                    del self._answers[next(iter(self._answers))]
                self._answers[asked] = (now, found)
        return found
