from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.unit.workflows.fakes.storefront import NOW, rows
from worker.ledger.session import Ledger
from worker.ledger.tables.web import web_lockouts as table
from worker.ledger.web import lockouts


def admit(ledger: Ledger, address: str, now: datetime = NOW, kind: str = "login") -> int | None:
    with ledger.write() as connection:
        return lockouts.admit(connection, kind, address, free_failures=5, now=now)


def test_each_failure_costs_twice_as_long_when_the_free_ones_are_spent(ledger: Ledger) -> None:
    assert [admit(ledger, "a") for _ in range(5)] == [None] * 5
    now, waits = NOW, []
    for _ in range(12):
        wait_seconds = admit(ledger, "a", now)
        assert wait_seconds is not None
        waits.append(wait_seconds)
        now += timedelta(seconds=wait_seconds)
        assert admit(ledger, "a", now) is None
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


def test_nothing_is_counted_when_an_address_has_to_wait(ledger: Ledger) -> None:
    for _ in range(5):
        admit(ledger, "a")
    with ledger.read() as connection:
        assert {lockouts.wait_seconds(connection, "login", "a", now=NOW) for _ in range(9)} == {1}
        assert lockouts.wait_seconds(connection, "api", "a", now=NOW) is None
        assert lockouts.wait_seconds(connection, "login", "b", now=NOW) is None
    assert {admit(ledger, "a") for _ in range(9)} == {1}
    assert admit(ledger, "a", NOW + timedelta(seconds=1)) is None
    assert [row.failures for row in rows(ledger, table)] == [6]


def test_address_begins_anew_when_it_proved_itself_or_an_hour_has_passed(ledger: Ledger) -> None:
    for _ in range(5):
        admit(ledger, "a")
    with ledger.write() as connection:
        lockouts.forget(connection, "login", "a")
    assert [admit(ledger, "a") for _ in range(5)] == [None] * 5
    later = NOW + timedelta(hours=1, seconds=2)
    assert [admit(ledger, "a", later) for _ in range(5)] == [None] * 5


def test_nobody_is_locked_out_when_the_clock_was_ahead(ledger: Ledger) -> None:
    for _ in range(5):
        admit(ledger, "a", NOW + timedelta(days=1))
    assert admit(ledger, "a") is None


def test_table_is_bounded_when_many_addresses_guess(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockouts, "_MOST_ADDRESSES", 4)
    for number in range(6):
        admit(ledger, f"a{number}", NOW + timedelta(seconds=number))
    assert {row.address for row in rows(ledger, table)} <= {"a3", "a4", "a5"}
    admit(ledger, "b", NOW + timedelta(hours=2))
    assert [row.address for row in rows(ledger, table)] == ["b"]
