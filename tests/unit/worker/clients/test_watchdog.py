"""`worker.clients.watchdog`: it strikes at the deadline, and never after the end. Unix sockets stand for TCP."""

from __future__ import annotations

import socket
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from worker.clients.watchdog import Watchdog, Watched, _ignore


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(2)
        yield ours, theirs


def watched(seconds: float) -> Watched:
    return Watched(deadline=time.monotonic() + seconds)


def test_a_blocked_read_returns_when_the_deadline_comes(pair: tuple[socket.socket, socket.socket]) -> None:
    each = watched(0.05)
    each.attach(pair[0])
    Watchdog().watch(each)
    assert pair[0].recv(1) == b""
    assert each.expired
    each.finish()


def test_nothing_is_shut_down_when_the_watch_has_ended(pair: tuple[socket.socket, socket.socket]) -> None:
    each = watched(10)
    each.attach(pair[0])
    each.finish()
    each.finish()
    each.expire()
    pair[1].sendall(b"x")
    assert pair[0].recv(1) == b"x"
    assert not each.expired


def test_a_socket_is_shut_down_at_once_when_it_comes_after_the_deadline(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    each = watched(0)
    each.expire()
    each.attach(pair[0])
    assert pair[0].recv(1) == b""
    each.finish()


def test_the_later_socket_counts_when_two_are_attached(pair: tuple[socket.socket, socket.socket]) -> None:
    first, second = socket.socketpair()
    with first, second:
        each = watched(10)
        each.attach(first)
        each.attach(pair[0])
        each.expire()
        assert pair[0].recv(1) == b""
        second.sendall(b"x")
        assert first.recv(1) == b"x"
        each.finish()


def test_nobody_is_hurt_when_the_socket_is_closed_already() -> None:
    first, second = socket.socketpair()
    each = watched(10)
    each.attach(first)
    first.close()
    second.close()
    each.expire()
    each.expire()
    each.finish()


def test_the_nearer_deadline_strikes_first_when_it_is_set_later() -> None:
    watchdog = Watchdog()
    struck = threading.Event()

    class Bell(Watched):
        def expire(self) -> None:
            struck.set()

    far, done, near = watched(60), watched(0.001), Bell(deadline=time.monotonic() + 0.02)
    watchdog.watch(far)
    done.finish()
    watchdog.watch(done)
    watchdog.watch(near)
    assert struck.wait(2)
    assert not far.expired
    assert not done.expired


def test_a_watchdog_starts_anew_when_the_process_was_forked() -> None:
    watchdog = Watchdog()
    watchdog.watch(watched(60))
    watchdog._start_anew()
    each = watched(0)
    struck = threading.Event()
    each.expire = struck.set  # type: ignore[method-assign]
    watchdog.watch(each)
    assert struck.wait(2)


def test_nothing_happens_when_the_platform_knows_no_fork() -> None:
    _ignore(after_in_child=None)


def end_one(watchdog: Watchdog) -> weakref.ref[Watched]:
    each = watched(10)
    watchdog.watch(each)
    each.finish()
    return weakref.ref(each)


def test_nothing_is_held_of_what_has_ended_long_before_its_deadline() -> None:
    watchdog = Watchdog()
    ended = [end_one(watchdog) for _ in range(100)]
    watchdog.watch(watched(10))
    assert [each for each in ended if each() is not None] == []


def test_an_earlier_deadline_is_kept_when_a_later_one_came_and_ended_before(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    watchdog, later = Watchdog(), watched(10)
    watchdog.watch(later)
    later.finish()
    each = watched(0.05)
    each.attach(pair[0])
    watchdog.watch(each)
    assert pair[0].recv(1) == b""
    each.finish()
