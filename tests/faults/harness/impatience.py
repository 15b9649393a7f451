"""A client in this process gives up on a call that hangs as soon as the sandbox lets it hang: no test waits for it.

So timeouts can be long, and no good answer comes too late for them, however busy the machine is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from worker.clients.watchdog import WATCHDOG, Watched
from worker.sandbox import Sandbox

LONG_SECONDS = 20.0
"""Far more than any good answer takes."""
_NEVER_IN_TIME = frozenset({"hang", "slow", "dribble"})

_lock = threading.Lock()
_under_way: WeakSet[Watched] = WeakSet()
_watch = WATCHDOG.watch


def _remember(watched: Watched) -> None:
    with _lock:
        _under_way.add(watched)
    _watch(watched)


WATCHDOG.watch = _remember  # type: ignore[method-assign]


def give_up() -> None:
    """Let the deadline of every call that is under way be over."""
    with _lock:
        calls = list(_under_way)
    for call in calls:
        call.expire()


def give_up_on_what_hangs(sandbox: Sandbox) -> None:
    """Do so whenever one of this sandbox's faults never answers in time. Safe to repeat."""
    faults, waits = sandbox.world.faults, sandbox.world.waits
    if hasattr(waits, "is_impatient"):
        return
    waits.is_impatient = True  # type: ignore[attr-defined]
    suffered = threading.local()
    take, wait = faults.take, waits.wait

    def take_noting(*call: Any) -> Any:
        suffered.fault = take(*call)
        return suffered.fault

    def give_up_and_wait(seconds: float | None) -> bool:
        fault = getattr(suffered, "fault", None)
        if fault is not None and fault.kind in _NEVER_IN_TIME:
            suffered.fault = None  # once: a dribble that goes on must not end the client's next call
            give_up()
        return wait(seconds)

    faults.take = take_noting  # type: ignore[method-assign, assignment]
    waits.wait = give_up_and_wait  # type: ignore[method-assign]


def give_up_and(then: Callable[..., bool]) -> Callable[..., bool]:
    """A wait that is begun when a call hangs."""

    def wait(seconds: float | None = None) -> bool:
        give_up()
        return then(seconds)

    return wait
