"""What beat does when its machine's clock is set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.beat import SchedulingError

from worker.broker.schedule import LedgerScheduler

EVERY = timedelta(seconds=2)


class Beat:
    """A beat of one entry under a clock that can be set; `sent` are the moments at which it sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = datetime(2026, 11, 30, 3, 0, tzinfo=UTC)
        self.sent: list[datetime] = []
        app = Celery("beat", broker="memory://", set_as_current=False)
        app.conf.update(beat_schedule={"sweep": {"task": "sweep", "schedule": EVERY}}, timezone="UTC")
        monkeypatch.setattr(app, "now", lambda: self.now)
        self.scheduler = LedgerScheduler(app, lazy=False)
        monkeypatch.setattr(self.scheduler, "apply_entry", self._note)

    def _note(self, *_: Any, **__: Any) -> None:
        self.sent.append(self.now)

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += timedelta(seconds=1)
            while self.scheduler.tick() == 0:
                pass


@pytest.mark.parametrize("hours", [-3, 3])
def test_beat_goes_on_at_once_when_its_clock_is_set(monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """Celery's waits until the clock is again where it was: no sweep and no poll for three hours."""
    beat = Beat(monkeypatch)
    beat.run(6)
    assert len(beat.sent) in (2, 3)
    beat.sent.clear()
    beat.now += timedelta(hours=hours)
    beat.run(6)
    assert len(beat.sent) in (2, 3)


def test_whoever_is_to_know_hears_whether_the_broker_takes_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Celery("beat", broker="memory://", set_as_current=False)
    noted: list[bool] = []
    app.note_broker = lambda *, is_away: noted.append(is_away)
    scheduler = LedgerScheduler(app, lazy=True)

    def refuse(*_: Any, **__: Any) -> None:
        raise SchedulingError("away")

    for send in (refuse, lambda *_, **__: None):
        monkeypatch.setattr(scheduler, "apply_async", send)
        scheduler.apply_entry(None)
    assert noted == [True, False]
