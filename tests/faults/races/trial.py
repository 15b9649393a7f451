"""One trial: a purchase, its storm, and the verdict; all it does by chance follows from its seed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from tests.faults.races.actors import Storm
from tests.faults.races.deployment import Company
from tests.faults.races.verdict import RaceVerdict, judge
from worker.sandbox import Fault
from worker.sandbox.faults import Kind, When

SWITCH_SECONDS = (0.00005, 0.0005, 0.002)
KNOWN_SHARE = 0.4
"""Orders that were known before they were paid; the others are new."""
DISTURBED_SHARE = 0.3
LOSSY_SHARE = 0.15
LOST_MESSAGES_SHARE = 0.3
DELAYS_SECONDS = (0.0, 0.002, 0.008)
_DISTURBED_CALLS = ("addCompOrder", "addCompOrder", "addCustomer", "addCustomerToGroup")
_DISTURBANCES: tuple[tuple[Kind, When], ...] = (
    ("cut", "after"),
    ("status", "after"),
    ("half_answer", "after"),
    ("html", "after"),
    ("cut", "before"),
    ("status", "before"),
)
"""Lost answers and 500s on either side of the effect."""


@dataclass(frozen=True)
class Trial:
    """What came of one seed."""

    seed: int
    verdict: RaceVerdict
    seconds: float
    waves: int
    messages: int
    disturbances: int
    """Requests to LearningCart that went wrong."""


def run_trial(company: Company, seed: int) -> Trial:
    """Sell something, let everything happen to it at once, and look at what is left."""
    rng = Random(seed)
    began = time.monotonic()
    company.troubles.clear()
    company.site.overlaps.clear()
    company.site.longest_delay_seconds = rng.choice(DELAYS_SECONDS)
    company.site.rng = Random(rng.random())
    company.broker.rng = Random(rng.random())
    company.broker.lost_share = LOST_MESSAGES_SHARE if rng.random() < LOSSY_SHARE else 0.0
    messages_before = company.broker.sent
    if rng.random() < DISTURBED_SHARE:
        company.sandbox.inject(*_faults(rng))
    is_known = rng.random() < KNOWN_SHARE
    sales = company.sell(rng, seed, paid=not is_known)
    storm = Storm(company, sales, rng)
    if is_known:
        storm.announce_unpaid()
    with _switching_every(rng.choice(SWITCH_SECONDS)):
        storm.break_loose()
        if not storm.calm_down():
            company.troubles.append(f"the work never ends: {storm.waves} waves were not enough")
    disturbances = company.sandbox.faults_hit
    company.sandbox.clear_faults()
    verdict = judge(company, sales, storm.arrivals, disturbed=disturbances > 0)
    return Trial(
        seed=seed,
        verdict=verdict,
        seconds=time.monotonic() - began,
        waves=storm.waves,
        messages=company.broker.sent - messages_before,
        disturbances=disturbances,
    )


def _faults(rng: Random) -> Iterator[Fault]:
    for _ in range(rng.randint(1, 2)):
        kind, when = rng.choice(_DISTURBANCES)
        operation = rng.choice(_DISTURBED_CALLS)
        yield Fault("learningcart", operation, kind, times=rng.randint(1, 2), when=when)


@contextmanager
def _switching_every(seconds: float) -> Iterator[None]:
    """Let the interpreter change threads as often as this."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
