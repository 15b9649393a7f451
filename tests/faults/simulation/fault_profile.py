"""What a seed decides: how many of everything, how bad the network is, and what goes wrong when."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.faults.harness.deployment import LEASE_SECONDS, SETTLE_SECONDS
from tests.faults.simulation.network import COMPED_ORDER, NEVER, Fate
from tests.faults.simulation.troubles import Troubles

LONGEST_TRAVEL_SECONDS = 0.9 * SETTLE_SECONDS
"""An effect may land this late after its request has left, and no later: what the settle time is there for."""


@dataclass(frozen=True)
class Weather:
    """One seed's conditions."""

    span_seconds: float
    """How long things go wrong; then everything works, and the story is told to its end."""
    workers: int
    learners: int
    orders: int
    skew_seconds: float
    """How wrong a process's clock may be, either way."""
    bad_requests: float
    """The share of requests that go wrong."""
    very_late: float
    """The share of comped orders that land after the settle time: what no client can prevent."""
    thaws: float
    """The share of comped orders whose sender is frozen between its last check and its first byte, and thawed later."""
    held_up: float
    """The share of intents whose holder is stopped before it makes the call, for about as long as its lease or more."""
    lost_messages: float
    kills: int
    freezes: int
    outages: int
    flushes: int
    operator_acts: int
    poll_seconds: float
    sweep_seconds: float
    max_attempts: int
    troubles: Troubles

    @classmethod
    def draw(cls, rng: Random) -> Weather:
        """Half of the seeds are calm in most respects, so that what remains is seen alone."""
        calm = rng.random() < 0.3
        span_seconds = rng.choice([200.0, 500.0, 900.0])
        return cls(
            span_seconds=span_seconds,
            workers=rng.randint(2, 3),
            learners=rng.randint(1, 2),
            orders=rng.randint(1, 3),
            skew_seconds=rng.choice([0.0, 0.0, 2.0]),
            bad_requests=0.02 if calm else rng.choice([0.1, 0.3, 0.5]),
            very_late=rng.choice([0.0, 0.0, 0.0, 0.15]),
            thaws=rng.choice([0.0, 0.0, 0.0, 0.1]),
            held_up=rng.choice([0.0, 0.0, 0.2]),
            lost_messages=rng.choice([0.0, 0.1, 0.5]),
            kills=0 if calm else rng.randint(0, 6),
            freezes=0 if calm else rng.choice([0, 0, 1, 3]),
            outages=rng.choice([0, 0, 1, 2]),
            flushes=rng.choice([0, 0, 1]),
            operator_acts=rng.choice([0, 0, 1, 3]),
            poll_seconds=rng.choice([240.0, 500.0]),
            sweep_seconds=rng.choice([15.0, 45.0]),
            max_attempts=rng.choice([3, 12]),
            troubles=Troubles.draw(rng, span_seconds),
        )

    def fate(self, rng: Random, operation: str) -> Fate:
        """What becomes of one request while things go wrong."""
        if operation == COMPED_ORDER and rng.random() < self.thaws:
            return Fate(frozen_seconds=LEASE_SECONDS + SETTLE_SECONDS + rng.uniform(0, 200))
        if operation == COMPED_ORDER and rng.random() < self.very_late:
            return Fate(travel_seconds=SETTLE_SECONDS + rng.uniform(5, 400), cut_seconds=rng.uniform(0, 3))
        if rng.random() >= self.bad_requests:
            return Fate(travel_seconds=rng.uniform(0.005, 0.5), answer_seconds=rng.uniform(0.005, 1.0))
        match rng.randrange(8):
            case 0:
                return Fate(refused=True)
            case 1:
                return Fate(travel_seconds=NEVER)
            case 2:
                return Fate(travel_seconds=rng.uniform(0, 5), answer_seconds=NEVER)
            case 3:
                return Fate(travel_seconds=rng.uniform(0, LONGEST_TRAVEL_SECONDS), cut_seconds=rng.uniform(0, 2))
            case 4:
                return Fate(travel_seconds=rng.uniform(10, LONGEST_TRAVEL_SECONDS), answer_seconds=0.1)
            case 5:
                return Fate(travel_seconds=0.1, answer_seconds=rng.uniform(20, 40))
            case 6:
                return Fate(garbled=rng.choice(["500", "html", "half", "empty"]))
            case _:
                return Fate(travel_seconds=NEVER, cut_seconds=rng.uniform(0, 1))
