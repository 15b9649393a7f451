"""The alarm about what would keep every other alarm: when it is told, how often, and its end."""

from __future__ import annotations

from datetime import UTC, datetime

from worker.errors import ApiError
from workflows.monitoring.outage_alarm import BROKER_AWAY_ALARM, OutageAlarm

NIGHT = datetime(2026, 11, 30, 3, 0, tzinfo=UTC)
DAY = 86_400.0


class Told:
    """What an alarm tells, looked at under a clock of its own. While it is `deaf` nobody takes a message."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.titles: list[str] = []
        self.is_deaf = False
        self._alarm = OutageAlarm(
            BROKER_AWAY_ALARM, repeat_seconds=DAY, clock=lambda: NIGHT, seconds=lambda: self.seconds
        )

    def send(self, title: str, _text: str) -> None:
        if self.is_deaf:
            raise ApiError("nobody", system="alerts", operation="notify", retryable=True)
        self.titles.append(title)

    def look(self, *, is_away: bool, for_seconds: float = 60.0) -> None:
        for _ in range(int(for_seconds // 60)):
            self._alarm.note(self.send, is_away=is_away)
            self.seconds += 60.0


def test_outage_is_told_once_a_day_while_it_lasts_and_so_is_its_end() -> None:
    told = Told()
    told.look(is_away=True, for_seconds=8 * 3600)
    assert told.titles == ["Cartbridge: the broker cannot be used, since 2026-11-30 03:00 UTC"]
    told.look(is_away=True, for_seconds=DAY)
    assert len(told.titles) == 2
    told.look(is_away=False, for_seconds=600)
    assert told.titles[2:] == ["Cartbridge: over: the broker cannot be used"]


def test_nothing_is_told_of_a_short_outage_or_of_two_far_apart() -> None:
    told = Told()
    told.look(is_away=True, for_seconds=240)
    told.look(is_away=False)
    told.look(is_away=True)
    told.seconds += 3600
    told.look(is_away=True)
    assert told.titles == []


def test_what_nobody_takes_is_told_when_somebody_does() -> None:
    told = Told()
    told.is_deaf = True
    told.look(is_away=True, for_seconds=1800)
    told.is_deaf = False
    told.look(is_away=True, for_seconds=120)
    assert len(told.titles) == 1
    told.is_deaf = True
    told.look(is_away=False, for_seconds=300)
    told.is_deaf = False
    told.look(is_away=False, for_seconds=120)
    assert [title.split(": ")[1] for title in told.titles[1:]] == ["over"]
