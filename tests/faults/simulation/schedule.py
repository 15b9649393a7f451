"""Several processes at once in one thread: each goes on until its next boundary, and virtual time says who is next.

The processes' code is the product's own, unaware of all this: a greenlet of its own carries each, and the boundaries it
comes to hand control back. Which one goes on when is decided by drawn delays alone, so that a seed decides everything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from greenlet import GreenletExit, getcurrent, greenlet

from tasks.runtime import Runtime
from tests.faults.simulation.virtual_time import Timeline


class KilledError(BaseException):
    """The process is killed: nothing below catches it, and nothing more is written."""


@dataclass(eq=False)
class Actor:
    """One process while it lives."""

    name: str
    green: greenlet
    runtime: Runtime | None = None
    is_alive: bool = True
    is_parked: bool = False
    frozen_until: float = 0.0
    waits: int = 0
    """Counts its waits: a wake-up for an earlier one is void."""
    failure: BaseException | None = None
    """The fault of its own that it died of."""


class Schedule:
    """The hub: owns the timeline, and switches between it and the actors."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self._hub = getcurrent()
        self._by_green: dict[greenlet, Actor] = {}

    def spawn(self, name: str, body: Callable[[], None], *, after_seconds: float = 0.0) -> Actor:
        """Start a process; `body` is its whole life."""
        actor = Actor(name, greenlet(parent=self._hub))
        actor.green.run = lambda: self._live(actor, body)
        self._by_green[actor.green] = actor
        self._wake_after(actor, after_seconds)
        return actor

    def current(self) -> Actor | None:
        """The process that is going on; None for the world outside."""
        return self._by_green.get(getcurrent())

    def runtime(self) -> Runtime | None:
        """The runtime of the process that is going on."""
        actor = self.current()
        return None if actor is None else actor.runtime

    def wait(self, seconds: float) -> None:
        """Let time go by for the process that calls. Raises `KilledError` if it is killed meanwhile."""
        actor = self.current()
        if actor is None:
            raise RuntimeError("only a process waits")
        if not actor.is_alive:
            raise KilledError
        self._wake_after(actor, seconds)
        self._hub.switch()
        if not actor.is_alive:
            raise KilledError

    def park(self) -> None:
        """Wait until somebody calls `unpark`."""
        actor = self.current()
        if actor is None or not actor.is_alive:
            raise KilledError
        actor.is_parked = True
        actor.waits += 1
        self._hub.switch()
        if not actor.is_alive:
            raise KilledError

    def unpark(self, actor: Actor) -> None:
        """Let a parked process go on."""
        if actor.is_parked:
            actor.is_parked = False
            self._wake_after(actor, 0.0)

    def kill(self, actor: Actor) -> None:
        """End a process where it stands. Called by the world outside, while the process waits."""
        if not actor.is_alive:
            return
        actor.is_alive = False
        actor.waits += 1
        if actor.green:  # it has begun
            actor.green.throw(KilledError)
        self._by_green.pop(actor.green, None)

    def freeze(self, actor: Actor, seconds: float) -> None:
        """Stop a process where it stands, and let it go on later as if nothing had happened."""
        actor.frozen_until = max(actor.frozen_until, self.timeline.seconds() + seconds)

    def close(self) -> None:
        """End every process that is left."""
        for actor in list(self._by_green.values()):
            self.kill(actor)

    def _live(self, actor: Actor, body: Callable[[], None]) -> None:
        try:
            body()
        except (KilledError, GreenletExit):
            pass
        except BaseException as error:  # noqa: BLE001  (a process that dies of a fault of its own is a finding)
            actor.failure = error
        finally:
            actor.is_alive = False
            self._by_green.pop(actor.green, None)

    def _wake_after(self, actor: Actor, seconds: float) -> None:
        actor.waits += 1
        number = actor.waits

        def wake() -> None:
            if not actor.is_alive or actor.waits != number:
                return
            left = actor.frozen_until - self.timeline.seconds()
            if left > 0:
                self.timeline.after(left, wake)
            else:
                actor.green.switch()

        self.timeline.after(seconds, wake)
