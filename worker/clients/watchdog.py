"""Ends what outlasts its deadline: one thread that shuts sockets down, so that a blocked read comes back at once."""

from __future__ import annotations

import heapq
import itertools
import math
import os
import socket
import threading
import time
from contextlib import suppress
from typing import Final

_monotonic: Final = time.monotonic


class Watched:
    """Something with a deadline and, once it is connected, a socket. `expired` says that the watchdog has struck."""

    def __init__(self, *, deadline: float) -> None:
        self.deadline = deadline
        """On `time.monotonic`'s scale."""
        self.expired = False
        self.finished = False
        self._lock = threading.Lock()
        self._handle: socket.socket | None = None

    def attach(self, sock: socket.socket) -> None:
        """Name the socket to shut down. A second call replaces the first."""
        # A handle of our own: the original may be wrapped for TLS, closed, or its number reused meanwhile.
        handle = socket.fromfd(sock.fileno(), sock.family, sock.type)
        with self._lock:
            former, self._handle = self._handle, handle
            if self.expired:
                self._shut_down()
        if former is not None:
            former.close()

    def finish(self) -> None:
        """End the watch; `expired` does not change any more. Safe to repeat."""
        with self._lock:
            self.finished = True
            handle, self._handle = self._handle, None
        if handle is not None:
            handle.close()

    def expire(self) -> None:
        """Shut the socket down unless the watch has ended: every read and write on it returns at once."""
        with self._lock:
            if not self.finished:
                self.expired = True
                self._shut_down()

    def _shut_down(self) -> None:
        if self._handle is not None:
            with suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """Expires each watched thing at its deadline. Its daemon thread starts with the first, and anew after a fork."""

    def __init__(self) -> None:
        self._rounds = _Rounds()
        # A forked child has no thread, and perhaps a lock that nobody will release. (Windows does not fork.)
        getattr(os, "register_at_fork", _ignore)(after_in_child=self._start_anew)

    def watch(self, watched: Watched) -> None:
        """Expire `watched` at its deadline, unless it finishes before."""
        self._rounds.add(watched)

    def _start_anew(self) -> None:
        self._rounds = _Rounds()


class _Rounds:
    """What one thread watches over."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: list[tuple[float, int, Watched]] = []
        self._order = itertools.count()
        self._wakes_at = math.inf
        """When the thread looks again by itself."""
        self._thread: threading.Thread | None = None

    def add(self, watched: Watched) -> None:
        with self._condition:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="cartbridge-deadlines", daemon=True)
                self._thread.start()
            self._drop_finished()
            heapq.heappush(self._waiting, (watched.deadline, next(self._order), watched))
            # Deadlines mostly come in order: the thread need not wake for one behind what it waits for anyway.
            if watched.deadline < self._wakes_at:
                self._condition.notify()

    def _run(self) -> None:
        while True:
            self._next_due().expire()

    def _next_due(self) -> Watched:
        with self._condition:
            while True:
                self._drop_finished()
                if not self._waiting:
                    self._wakes_at = math.inf
                    self._condition.wait()
                    continue
                self._wakes_at = self._waiting[0][0]
                seconds = self._wakes_at - _monotonic()
                if seconds <= 0:
                    return heapq.heappop(self._waiting)[2]
                self._condition.wait(seconds)

    def _drop_finished(self) -> None:
        """Hold nothing of a call that has ended, nor of the run that it was made for, until its deadline."""
        while self._waiting and self._waiting[0][2].finished:
            heapq.heappop(self._waiting)


def _ignore(**_: object) -> None:
    """Stand in for what the platform lacks."""


WATCHDOG: Final = Watchdog()
"""The process's one watchdog."""
