"""One seed, played from its first event to its last, and what the judge had to say."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

import structlog

from tasks.reconcile import reconciler_of
from tests.faults.simulation import boundaries
from tests.faults.simulation.actors import Company
from tests.faults.simulation.fault_profile import Weather
from tests.faults.simulation.judge import Judge
from tests.faults.simulation.schedule import Schedule
from tests.faults.simulation.shop import START_AT
from tests.faults.simulation.virtual_time import BEGINNING
from tests.faults.simulation.world import LONG_AGO, FreshLedger, Process, Stage

LONGEST_SECONDS = 12 * 3600.0
"""Virtual, after the last fault: what has not come to rest by then never will."""
_MOST_EVENTS = 60_000


def be_silent() -> None:
    """Write no logs: thousands of stories would be most of what a terminal shows, and much of the time."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@dataclass
class Played:
    """What became of one seed."""

    seed: int
    violations: list[str] = field(default_factory=list)
    events: int = 0
    virtual_seconds: float = 0.0
    sold: int = 0
    effects: int = 0
    explained_doubles: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    """The kinds of order and the troubles that occurred."""
    outcomes: dict[str, int] = field(default_factory=dict)
    """The attempts' outcomes, and the runs' states as `run succeeded`."""

    @property
    def ok(self) -> bool:
        return not self.violations


def play(fresh: FreshLedger, seed: int, *, log: list[str] | None = None) -> Played:
    """Play one seed on an emptied ledger. `log` takes a line for each boundary that is reached, with who and when."""
    if fresh.first_sweep is None:  # a seed's story is the same whether it is the first of its process or not
        fresh.empty()
        scout = Stage(fresh)
        with scout.playing():
            scout.sweep_first()
    fresh.empty()
    rng = Random(seed)
    weather = Weather.draw(rng)
    stage = Stage(
        fresh,
        seed=rng.getrandbits(32),
        CARTBRIDGE_RETRY__MAX_SECONDS=str(weather.troubles.longest_retry_seconds),
        CARTBRIDGE_RETRY__MAX_ATTEMPTS=str(weather.max_attempts),
        CARTBRIDGE_STUDIOCART__POLL_SECONDS=str(weather.poll_seconds),
        CARTBRIDGE_DISPATCH_SECONDS=str(weather.sweep_seconds),
        CARTBRIDGE_STUDIOCART__TRUST_WEBHOOK=str(weather.troubles.trusts_webhooks).lower(),
        CARTBRIDGE_STUDIOCART__TRIALS=weather.troubles.trials,
        CARTBRIDGE_STUDIOCART__START_AT=START_AT.isoformat() if weather.troubles.has_history else LONG_AGO,
    )
    schedule = Schedule(stage.timeline)
    company = Company(stage, schedule, weather, rng)
    played = Played(seed)
    with stage.playing(schedule.runtime):
        if weather.troubles.has_history:
            stage.sweep()
        else:
            stage.sweep_first()
        stage.network.wait = schedule.wait
        with closing(fresh.look()) as eyes:
            judge = Judge(company, eyes)
            with boundaries.watching(_logging(company, log)):
                company.open()
                _play(company, judge, played)
                schedule.close()
            _reconcile(stage, judge)
            _count(played, company, judge)
    return played


def _play(company: Company, judge: Judge, played: Played) -> None:
    timeline, patience = company.stage.timeline, 0.0
    end = company.weather.span_seconds + LONGEST_SECONDS
    while timeline.step():
        played.events += 1
        judge.look()
        if judge.violations or timeline.seconds() > end or played.events > _MOST_EVENTS:
            return
        if company.is_calm and timeline.seconds() >= patience:
            company.bury_the_dead()
            patience = timeline.seconds() + 10
            if judge.is_quiet() and not company.is_under_way():
                return


def _reconcile(stage: Stage, judge: Judge) -> None:
    """What no client can prevent, the next reconciliation finds."""
    if judge.violations:
        return
    stage.network.wait = stage.timeline.advance
    runtime = Process(stage).runtime
    reconciler = reconciler_of(runtime)
    reconciled = reconciler.find(BEGINNING - timedelta(days=1))
    reconciler.fix(reconciled, actor="engine")
    reconciler.keep(reconciled, actor="engine")
    judge.look()
    judge.judge_the_end()


def _logging(company: Company, log: list[str] | None) -> Any:
    if log is None:
        return company.reach

    def reach(boundary: boundaries.Boundary) -> None:
        actor = company.schedule.current()
        name = actor.name if actor is not None else "outside"
        log.append(f"{company.stage.timeline.seconds():10.3f} {name:10} {boundary}")
        company.reach(boundary)

    return reach


def _count(played: Played, company: Company, judge: Judge) -> None:
    played.violations = judge.violations
    played.virtual_seconds = company.stage.timeline.seconds()
    played.sold = len(company.shop.sold)
    played.effects = len(company.stage.network.sendings)
    played.explained_doubles = judge.explained_doubles
    counts: Counter[str] = Counter()
    for kind, outcome, count in judge.eyes.execute("SELECT kind, outcome, count(*) FROM attempts GROUP BY 1, 2"):
        counts[f"{kind} {outcome}"] = count
    for workflow, state, count in judge.eyes.execute("SELECT workflow, state, count(*) FROM runs GROUP BY 1, 2"):
        counts[f"{workflow} {state}"] = count
    played.outcomes = dict(counts)
    played.seen = dict(Counter(f"order {sold.kind.value}" for sold in company.shop.sold.values()))
    played.seen |= {f"trouble {name}": 1 for name in company.weather.troubles.names() if name != "is_calm"}
