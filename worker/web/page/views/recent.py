"""Answers that are given again for a while: what says nothing new from second to second is not counted anew."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

_Answer = TypeVar("_Answer")


class Recent(Generic[_Answer]):
    """Answers by what was asked, each kept for as long as is said; the process's own, and only the newest few."""

    def __init__(self, lasts: timedelta, clock: Callable[[], datetime], *, most: int = 8) -> None:
        self._lasts = lasts
        self._clock = clock
        self._most = most
        self._answers: dict[object, tuple[datetime, _Answer]] = {}

    def get(self, asked: object, answer: Callable[[], _Answer]) -> _Answer:
        """The answer to what is `asked`, found anew where there is none, or one that is too old."""
        now = self._clock()
        at, found = self._answers.get(asked, (None, None))
        if at is None or found is None or not now - self._lasts < at <= now:
            found = answer()
            self._answers.pop(asked, None)
            while len(self._answers) >= self._most:
                self._answers.pop(next(iter(self._answers)), None)
            self._answers[asked] = (now, found)
        return found
