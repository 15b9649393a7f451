"""The ledger's clock: on PostgreSQL the server's, so that a lease means the same to every machine.

Leases, due times and settle times are compared by processes whose machines' clocks may be minutes apart. A worker whose
clock is behind would let an unknown outcome settle in the past, and another would prove absent what is still under way.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

ASK_AGAIN_SECONDS = 10.0
JUMP_SECONDS = 0.25
"""When the machine's clock and the time since it started disagree by more, one of the two was set, or it slept."""
AHEAD_BY_AT_LEAST: Final = timedelta(minutes=1)
"""Less is what the clocks of several machines, or of one, may differ by from call to call."""


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


_BOOT_CLOCK: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


def is_ahead(moment: datetime, now: datetime) -> bool:
    """Whether a moment that was noted in the past lies in the future: it was written by a clock that was ahead."""
    return moment > now + AHEAD_BY_AT_LEAST


def is_older(moment: datetime, known: datetime, *, now: datetime) -> bool:
    """Whether what was true at a moment is older news than what is known. A clock that was ahead makes nothing old."""
    return moment < known and not is_ahead(known, now)


def seconds_since_boot() -> float:
    """Seconds that nobody sets; where the system tells, those it slept through count too."""
    return time.monotonic() if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK)


@dataclass(frozen=True)
class _Reading:
    """What three clocks said at one moment."""

    server: datetime
    local: datetime
    since_boot: float


class ServerClock:
    """Tells the server's time between the moments at which it is asked. Safe to share between threads.

    `note` is called with each transaction and asks once in ten seconds, on its own connection. `ask` opens one: for the
    first time of all, and when the machine's clocks disagree about how long ago that was. While the server cannot be
    reached, the latest of what they make of it counts: a lease is rather thought over than not.
    """

    def __init__(
        self,
        ask: Callable[[], datetime],
        *,
        local: Callable[[], datetime],
        since_boot: Callable[[], float] = seconds_since_boot,
    ) -> None:
        self._ask = ask
        self._local = local
        self._since_boot = since_boot
        self._lock = threading.Lock()
        self._reading: _Reading | None = None

    def __call__(self) -> datetime:
        """The present. Raises `SQLAlchemyError` only if the server has never been reached."""
        reading = self._reading
        if reading is not None:
            by_boot, by_local = self._went_by(reading)
            if abs(by_local - by_boot) <= JUMP_SECONDS:
                return reading.server + timedelta(seconds=by_boot)
        reading = self._read_again(reading)
        by_boot, by_local = self._went_by(reading)
        is_sure = abs(by_local - by_boot) <= JUMP_SECONDS
        return reading.server + timedelta(seconds=by_boot if is_sure else max(by_boot, by_local))

    def note(self, connection: Connection) -> None:
        """Ask on a connection that is at hand, if it is time to. Raises what the connection raises."""
        reading = self._reading
        if reading is None or self._since_boot() - reading.since_boot > ASK_AGAIN_SECONDS or self._jumped(reading):
            self._take(lambda: server_time(connection))

    def _jumped(self, reading: _Reading) -> bool:
        by_boot, by_local = self._went_by(reading)
        return abs(by_local - by_boot) > JUMP_SECONDS

    def _went_by(self, reading: _Reading) -> tuple[float, float]:
        """The seconds since a reading, by the time since boot and by the machine's clock."""
        by_boot = self._since_boot() - reading.since_boot
        return by_boot, (self._local() - reading.local).total_seconds()

    def _read_again(self, known: _Reading | None) -> _Reading:
        with self._lock:
            if self._reading is not known and self._reading is not None:
                return self._reading
            try:
                return self._take(self._ask)
            except SQLAlchemyError:
                if known is None:
                    raise
                return known

    def _take(self, ask: Callable[[], datetime]) -> _Reading:
        asked_at, local = self._since_boot(), self._local()
        server = ask()
        # As of the question: what the answer took is counted on top, so that the server's clock is never ahead of ours.
        reading = _Reading(server, local, asked_at)
        self._reading = reading
        return reading


def server_time(connection: Connection) -> datetime:
    """What PostgreSQL's clock says right now, not when the transaction began."""
    moment: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return moment
