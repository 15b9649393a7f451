from __future__ import annotations

import pytest

from worker.web.page import lockout as lockout_module
from worker.web.page.lockout import Lockout


class Seconds:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_wait_doubles_up_to_a_quarter_of_an_hour_when_guessing_goes_on() -> None:
    clock = Seconds()
    lockout = Lockout(monotonic=clock)
    assert [lockout.admit("a") for _ in range(5)] == [None] * 5
    waits = []
    for _ in range(13):
        wait_seconds = lockout.admit("a")
        assert wait_seconds is not None
        waits.append(wait_seconds)
        clock.now += wait_seconds - 0.5
        assert lockout.admit("a") == 1
        clock.now += 0.5
        assert lockout.admit("a") is None
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]


def test_other_addresses_go_on_when_one_is_slowed_down() -> None:
    lockout = Lockout(monotonic=Seconds())
    for _ in range(6):
        lockout.admit("a")
    assert lockout.admit("b") is None


def test_address_begins_anew_when_it_has_proven_itself_or_an_hour_has_passed() -> None:
    clock = Seconds()
    lockout = Lockout(monotonic=clock)
    for _ in range(6):
        lockout.admit("a")
    lockout.forget("a")
    assert [lockout.admit("a") for _ in range(5)] == [None] * 5
    clock.now += 3601
    assert [lockout.admit("a") for _ in range(5)] == [None] * 5
    lockout.forget("nobody")


def test_longest_unseen_address_is_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockout_module, "_MOST_ADDRESSES", 2)
    lockout = Lockout(monotonic=Seconds())
    for address in ("a", "b", "a", "c"):
        lockout.admit(address)
    assert list(lockout._guessers) == ["a", "c"]
