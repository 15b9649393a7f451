"""What is done to the product every few seconds, and what ends it again."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from tests.faults.chaos.external_systems import TENFOLD, Outside
from tests.faults.chaos.fleet import BEATS, FULL_DISK, WORKERS, Fleet
from tests.faults.chaos.gate import Gate
from tests.integration.servers import PostgresServer, RedisServer

_GAP_SECONDS = (2.0, 4.5)
_SKEWS_SECONDS = (-420.0, -90.0, 90.0, 420.0)
_DISTURBED_AT_ONCE = 4


@dataclass
class Ongoing:
    """A disturbance that has begun. `end` undoes it."""

    what: str
    touches: str
    """The process, server or system that no other disturbance may touch meanwhile."""
    until: float
    end: Callable[[], None]


@dataclass(frozen=True)
class Victims:
    """Everything that can be disturbed."""

    fleet: Fleet
    postgres: PostgresServer
    redis: RedisServer
    gate: Gate
    outside: Outside
    frozen_seconds: float
    """Longer than a lease and a settle time together."""


@dataclass
class Disturber:
    """Begins one disturbance after another, of every kind in turn, and ends each in its time."""

    victims: Victims
    rng: Random
    without: frozenset[str] = frozenset()
    """The kinds that are left out."""
    begun: Counter[str] = field(default_factory=Counter)
    last: str = "none yet"
    full_disk_exits: Counter[str] = field(default_factory=Counter)
    """How the workers whose log had nowhere to go ended when they were asked to."""
    _ongoing: list[Ongoing] = field(default_factory=list)
    _deck: list[str] = field(default_factory=list)
    _next_at: float = 0.0

    @property
    def _kinds(self) -> Mapping[str, Callable[[], Ongoing | None]]:
        kinds: dict[str, Callable[[], Ongoing | None]] = {
            "SIGKILL a worker": self._kill_worker,
            "freeze a worker": self._freeze_worker,
            "kill a beat": lambda: self._kill(BEATS, "beat"),
            "kill web": lambda: self._kill(("web",), "web"),
            "FLUSHALL": self._flush_redis,
            "restart Redis": self._restart_redis,
            "crash PostgreSQL": self._crash_postgres,
            "skew a worker's clock": self._skew_worker,
            "cut LearningCart": self._cut_learningcart,
            "slow LearningCart": self._slow_learningcart,
            "expire tokens": self._expire_tokens,
        }
        if FULL_DISK.exists():
            kinds["fill a worker's log disk"] = self._fill_disk
        return {kind: begin for kind, begin in kinds.items() if kind not in self.without}

    def tend(self) -> str | None:
        """End what is due to end; begin one more when its time has come, and tell what."""
        now = time.monotonic()
        for ongoing in [each for each in self._ongoing if each.until <= now]:
            self._end(ongoing)
        if now < self._next_at or len(self._ongoing) >= _DISTURBED_AT_ONCE:
            return None
        begun = self._begin()
        self._next_at = time.monotonic() + self.rng.uniform(*_GAP_SECONDS)
        return begun

    def end_all(self) -> None:
        """Undo everything now."""
        for ongoing in list(self._ongoing):
            self._end(ongoing)

    def _end(self, ongoing: Ongoing) -> None:
        self._ongoing.remove(ongoing)
        ongoing.end()

    def _begin(self) -> str | None:
        kinds = self._kinds
        if not self._deck:
            self._deck = sorted(kinds)
            self.rng.shuffle(self._deck)
        for kind in list(self._deck):
            ongoing = kinds[kind]()
            if ongoing is not None:
                self._deck.remove(kind)
                self._ongoing.append(ongoing)
                self.begun[kind] += 1
                self.last = ongoing.what
                return ongoing.what
        return None  # what is left touches what is disturbed already

    def _is_free(self, name: str) -> bool:
        return all(each.touches != name for each in self._ongoing)

    def _pick(self, names: tuple[str, ...]) -> str | None:
        free = [name for name in names if self._is_free(name) and self.victims.fleet.is_running(name)]
        return self.rng.choice(free) if free else None

    def _lasting(self, what: str, touches: str, seconds: float, end: Callable[[], None]) -> Ongoing:
        return Ongoing(what, touches, time.monotonic() + seconds, end)

    # Processes

    def _kill_worker(self) -> Ongoing | None:
        return self._kill(WORKERS, "worker")

    def _kill(self, names: tuple[str, ...], _command: str) -> Ongoing | None:
        name = self._pick(names)
        if name is None:
            return None
        self.victims.fleet.kill(name)
        down_seconds = self.rng.uniform(0.5, 3.0)
        return self._lasting(f"SIGKILL to {name}", name, down_seconds, lambda: self.victims.fleet.start(name))

    def _freeze_worker(self) -> Ongoing | None:
        name = self._pick(WORKERS)
        if name is None:
            return None
        self.victims.fleet.freeze(name)
        seconds = self.victims.frozen_seconds + self.rng.uniform(0.5, 4.0)
        return self._lasting(
            f"SIGSTOP to {name} for {seconds:.0f} s", name, seconds, lambda: self.victims.fleet.thaw(name)
        )

    def _skew_worker(self) -> Ongoing | None:
        name = self._pick(WORKERS)
        if name is None:
            return None
        skew = self.rng.choice(_SKEWS_SECONDS)
        fleet = self.victims.fleet
        fleet.stop(name)
        fleet.start(name, skew_seconds=skew)

        def put_right() -> None:
            fleet.kill(name)
            fleet.start(name)

        return self._lasting(f"{name}'s clock {skew:+.0f} s", name, self.rng.uniform(10.0, 16.0), put_right)

    def _fill_disk(self) -> Ongoing | None:
        name = self._pick(WORKERS)
        if name is None:
            return None
        fleet = self.victims.fleet
        fleet.stop(name)
        fleet.start(name, on_full_disk=True)

        def make_room() -> None:
            self.full_disk_exits[str(fleet.stop(name))] += 1
            fleet.start(name)

        return self._lasting(f"{name} logs to a full disk", name, self.rng.uniform(8.0, 14.0), make_room)

    # Servers

    def _flush_redis(self) -> Ongoing | None:
        if not self._is_free("redis"):
            return None
        self.victims.redis.flushall()
        return self._lasting("FLUSHALL", "redis", 0.0, _nothing)

    def _restart_redis(self) -> Ongoing | None:
        if not self._is_free("redis"):
            return None
        self.victims.redis.stop()
        return self._lasting("Redis stopped", "redis", self.rng.uniform(0.5, 4.0), self.victims.redis.start)

    def _crash_postgres(self) -> Ongoing | None:
        if not self._is_free("postgresql"):
            return None
        self.victims.postgres.stop(signal.SIGQUIT)
        seconds = self.rng.uniform(0.2, 3.0)
        return self._lasting("PostgreSQL stopped at once", "postgresql", seconds, self.victims.postgres.start)

    # LearningCart

    def _cut_learningcart(self) -> Ongoing | None:
        if not self._is_free("learningcart"):
            return None
        self.victims.gate.shut()
        seconds = self.rng.uniform(6.0, 10.0)
        return self._lasting(f"LearningCart cut for {seconds:.0f} s", "learningcart", seconds, self.victims.gate.open)

    def _slow_learningcart(self) -> Ongoing | None:
        if not self._is_free("learningcart"):
            return None
        self.victims.outside.misbehave(slowness=TENFOLD)
        seconds = self.rng.uniform(8.0, 12.0)
        return self._lasting(
            f"LearningCart ten times slower for {seconds:.0f} s",
            "learningcart",
            seconds,
            self.victims.outside.misbehave,
        )

    def _expire_tokens(self) -> Ongoing | None:
        self.victims.outside.expire_tokens()
        return self._lasting("all tokens expired", "tokens", 0.0, _nothing)


def _nothing() -> None:
    """A disturbance of a moment has nothing to undo."""
