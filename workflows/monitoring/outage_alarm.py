"""Tells the operator what the ledger cannot: that it, or the broker that would send for it, cannot be used."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from worker.errors import ApiError
from worker.formatting import minute
from workflows.monitoring.alert_sender import Send
from workflows.monitoring.alerts import DOWN_AFTER

log = logging.getLogger(__name__)

SEEN_AGAIN_SECONDS = 600.0
"""Not seen for so long, an outage is another one: of what several processes look at, one does not see every end."""


@dataclass(frozen=True)
class Outage:
    """What an alarm is about, in words."""

    what: str
    advice: str


LEDGER_AWAY_ALARM = Outage(
    "the ledger cannot be used",
    "Webhooks are refused and nothing is provisioned; what was acknowledged is in it. Is its disk full, or its server "
    "away? See: cartbridge check",
)
BROKER_AWAY_ALARM = Outage(
    "the broker cannot be used",
    "Webhooks are taken and wait: nothing is polled, nothing is provisioned, and no other alert is sent until it is "
    "back. See: cartbridge check",
)


@dataclass(frozen=True)
class _Lasting:
    since: datetime
    begun_at: float
    seen_at: float
    told_at: float | None = None


class OutageAlarm:
    """One process's memory of one outage: told once it lasts five minutes, and again when `repeat_seconds` have passed.

    Each process that sees it tells: an alert twice is better than none. Nothing is committed. Not shared by threads
    without harm, which is a message too many.
    """

    def __init__(
        self,
        outage: Outage,
        *,
        repeat_seconds: float,
        clock: Callable[[], datetime],
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outage = outage
        self._repeat_seconds = repeat_seconds
        self._clock = clock
        self._seconds = seconds
        self._lasting: _Lasting | None = None

    def note(self, send: Send, *, is_away: bool) -> None:
        """Note what was just seen, and tell what is new about it. Never raises; what nobody takes is tried again."""
        now, lasting = self._seconds(), self._lasting
        if not is_away:
            is_over = lasting is None or lasting.told_at is None or self._told(send, f"over: {self._outage.what}", "")
            self._lasting = None if is_over else lasting
            return
        if lasting is None or now - lasting.seen_at > SEEN_AGAIN_SECONDS:
            lasting = _Lasting(self._clock(), now, now)
        lasting = replace(lasting, seen_at=now)
        is_due = lasting.told_at is None or now - lasting.told_at >= self._repeat_seconds
        if is_due and now - lasting.begun_at >= DOWN_AFTER.total_seconds():
            title = f"{self._outage.what}, since {minute(lasting.since)}"
            if self._told(send, title, self._outage.advice):
                lasting = replace(lasting, told_at=now)
        self._lasting = lasting

    def _told(self, send: Send, title: str, advice: str) -> bool:
        try:
            send(f"Cartbridge: {title}", f"{title}\n{advice}".strip())
        except ApiError as error:
            log.warning("alerts: %s", error)
            return False
        return True
