"""The server's clock, as processes whose own clocks are wrong tell it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import OperationalError

from worker.ledger.clock import ASK_AGAIN_SECONDS, ServerClock, seconds_since_boot
from worker.ledger.session import Ledger

SERVER = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class Clocks:
    """A server's clock and a machine's two, which go on together unless one is set."""

    def __init__(self, *, skew_seconds: float = 0.0) -> None:
        self.server = SERVER
        self.local = SERVER + timedelta(seconds=skew_seconds)
        self.since_boot = 1000.0
        self.asked = 0
        self.is_away = False
        self.answer_takes_seconds = 0.0
        self.clock = ServerClock(self.ask, local=lambda: self.local, since_boot=lambda: self.since_boot)

    def ask(self) -> datetime:
        if self.is_away:
            raise OperationalError("", {}, Exception("away"))
        self.asked += 1
        answer = self.server
        self.go_on(self.answer_takes_seconds)
        return answer

    def go_on(self, seconds: float) -> None:
        self.server += timedelta(seconds=seconds)
        self.local += timedelta(seconds=seconds)
        self.since_boot += seconds


def test_servers_time_is_told_when_the_machines_clock_is_wrong() -> None:
    for skew_seconds in (-420.0, 0.0, 300.0):
        clocks = Clocks(skew_seconds=skew_seconds)
        assert clocks.clock() == SERVER
        clocks.go_on(7)
        assert clocks.clock() == SERVER + timedelta(seconds=7)
        assert clocks.asked == 1


def test_clock_is_not_ahead_of_the_server_when_the_answer_is_slow() -> None:
    clocks = Clocks()
    clocks.answer_takes_seconds = 3.0
    assert clocks.clock() <= clocks.server


def test_server_is_asked_anew_when_the_machines_clock_is_set() -> None:
    clocks = Clocks()
    clocks.clock()
    clocks.local -= timedelta(hours=1)
    assert clocks.clock() == SERVER
    assert clocks.asked == 2
    clocks.clock()
    assert clocks.asked == 2


def test_time_slept_through_counts_when_the_server_is_away() -> None:
    clocks = Clocks()
    clocks.clock()
    clocks.is_away = True
    clocks.local += timedelta(minutes=10)  # it slept: only the wall clock, set right by the network, knows
    assert clocks.clock() == SERVER + timedelta(minutes=10)


def test_time_does_not_go_back_when_the_machines_clock_does_and_the_server_is_away() -> None:
    clocks = Clocks()
    clocks.clock()
    clocks.is_away = True
    clocks.local -= timedelta(hours=1)
    clocks.since_boot += 5
    assert clocks.clock() == SERVER + timedelta(seconds=5)


def test_failure_comes_out_when_the_server_was_never_reached() -> None:
    clocks = Clocks()
    clocks.is_away = True
    with pytest.raises(OperationalError):
        clocks.clock()


def test_transactions_ask_once_in_a_while_when_time_goes_by(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks()
    monkeypatch.setattr("worker.ledger.clock.server_time", lambda connection: clocks.ask())
    for _ in range(3):
        clocks.clock.note(None)  # type: ignore[arg-type]
    assert clocks.asked == 1
    clocks.go_on(ASK_AGAIN_SECONDS + 1)
    clocks.server += timedelta(seconds=2)  # which only asking can tell
    clocks.clock.note(None)  # type: ignore[arg-type]
    assert clocks.clock() == clocks.server


def test_sqlite_ledger_goes_by_the_machines_clock() -> None:
    def local() -> datetime:
        return SERVER

    assert Ledger("sqlite:///nowhere.db").clock(local) is local


def test_time_since_boot_goes_on() -> None:
    assert 0 < seconds_since_boot() <= seconds_since_boot()
