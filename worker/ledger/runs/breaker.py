"""The circuit breaker of each destination: a row that says it is down, shared by every process.

No row is the undisturbed case, and costs nothing: a claim and an end look for one in the statement they make anyway.
Each function works inside the transaction it is given. A run's row is always locked before a breaker's, never after.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Exists,
    Row,
    ScalarSelect,
    delete,
    exists,
    insert,
    select,
    update,
)

from worker.formatting import local, minute, plain_error
from worker.ledger.sql import insert_ignoring
from worker.ledger.states import Actor
from worker.ledger.tables.runs import breakers, events

log = logging.getLogger(__name__)

PROBE_SECONDS = 60.0
"""The longest time between two probes; a shorter `RETRY__MAX_SECONDS` is the time instead."""
FAILURES_TO_OPEN = 5
RUNS_TO_OPEN = 3
"""So many runs must have failed in a row, unless no connection could be had at all: one run that always fails says
nothing about the others."""
RUNS_TO_OPEN_ANYWAY = 6
"""So many, without a success between, though each may fail for its own sake: that many at once never do."""
_REMEMBERED_RUNS = 20


class BreakerState(StrEnum):
    """How a destination is taken to be. Neither outlasts an answer."""

    CLOSED = "closed"
    """Calls failed lately, not enough to say that it is down. Holds nothing back; a success removes the row."""
    OPEN = "open"
    """Down. Nothing is sent but one probe an interval: the one run that `probe_run_id` names."""


@dataclass(frozen=True)
class Breaker:
    """A breaker's row."""

    system: str
    state: BreakerState = BreakerState.CLOSED
    opened_at: datetime | None = None
    """When the outage began."""
    probe_at: datetime | None = None
    probe_run_id: str | None = None
    failures: int = 0
    """In a row."""
    failing_run_ids: tuple[str, ...] = ()
    """The runs that failed in a row, each once, the last one last."""
    own_failing_run_ids: tuple[str, ...] = ()
    """Those that failed since the last success, though others were answered since they first failed."""
    last_error: str | None = None

    def after_failure(
        self,
        run_id: str,
        *,
        error: str,
        now: datetime,
        probe_seconds: float,
        unreachable: bool = False,
        is_own: bool = False,
    ) -> Breaker:
        """Return the breaker after one more failure that says the destination is down.

        `unreachable`: of it as a whole, so that one run's word is enough. `is_own`: it answered others since the run
        first failed, so that the run's word is worth nothing; so many runs' word is, whatever each is worth.
        """
        turn = None if self.probe_run_id == run_id else self.probe_run_id
        if is_own and self.state is not BreakerState.OPEN:
            failed = replace(self, own_failing_run_ids=_last(self.own_failing_run_ids, run_id), probe_run_id=turn)
        else:
            failed = replace(
                self,
                failures=self.failures + 1,
                failing_run_ids=_last(self.failing_run_ids, run_id),
                last_error=error,
                probe_run_id=turn,
            )
        failing = len(failed.failing_run_ids)
        all_failing = {*failed.failing_run_ids, *failed.own_failing_run_ids}
        opens = failed.failures >= FAILURES_TO_OPEN and (failing >= RUNS_TO_OPEN or unreachable)
        if self.state is BreakerState.OPEN or not (opens or len(all_failing) >= RUNS_TO_OPEN_ANYWAY):
            return failed
        return replace(
            failed,
            last_error=error,
            state=BreakerState.OPEN,
            opened_at=now,
            probe_at=now + timedelta(seconds=probe_seconds),
            probe_run_id=None,
        )

    def probe_is_due(self, now: datetime, probe_seconds: float) -> bool:
        """Tell whether the time of the next probe has come.

        One further away than an interval was set by a clock that was ahead of ours, and is not waited for.
        """
        if self.state is not BreakerState.OPEN or self.probe_at is None:
            return False
        return not now < self.probe_at <= now + timedelta(seconds=probe_seconds)

    def sentence(self, now: datetime) -> str:
        """Say since when the destination is down, why, and when it is asked again."""
        error = f" ({plain_error(self.last_error)})" if self.last_error else ""
        probe = (
            f"one of them asks it again at {local(self.probe_at):%H:%M:%S %Z}"
            if self.probe_at is not None and self.probe_at > now
            else "the next of them that is due asks it again"
        )
        return f"{self.system} is down since {minute(self.opened_at)}{error}. Its runs wait; {probe}."


# What a claim and an end ask in the statement they make anyway


def state_of(system: ColumnElement[str]) -> ScalarSelect[Any]:
    """A system's breaker's state, NULL where it has none."""
    return select(breakers.c.state).where(breakers.c.system == system).scalar_subquery()


def holds_back(system: ColumnElement[str], run_id: ColumnElement[str]) -> Exists:
    """The system is down, and the run is not its probe."""
    is_probe = breakers.c.probe_run_id.is_not_distinct_from(run_id)
    return exists().where(breakers.c.system == system, breakers.c.state == str(BreakerState.OPEN), ~is_probe)


# What the end of a hold tells


def note_failure(
    connection: Connection,
    system: str,
    run_id: str,
    *,
    error: str,
    now: datetime,
    probe_seconds: float,
    unreachable: bool = False,
    is_own: bool = False,
) -> None:
    """Count a failure that says the destination is down. Whichever opens the breaker says so, once.

    `is_own`: it answered other runs since this one first failed.
    """
    insert_ignoring(connection, breakers, _values(Breaker(system)))
    before = _lock(connection, system)
    if before is None:  # removed at this very moment by a success, which is the newer news
        return
    after = before.after_failure(
        run_id, error=error, now=now, probe_seconds=probe_seconds, unreachable=unreachable, is_own=is_own
    )
    _save(connection, after)
    if after.state is BreakerState.OPEN and before.state is not BreakerState.OPEN:
        runs_failing = [*after.failing_run_ids, *after.own_failing_run_ids]
        detail = {"failures": after.failures, "runs": runs_failing}
        _record(connection, "breaker_opened", system, now=now, reason=error, detail=detail)
        log.error(
            "%s is down, its runs wait and it is probed every %g s: %s (%d failures in a row, of %d runs)",
            system,
            probe_seconds,
            error,
            after.failures,
            len(runs_failing),
        )


def note_answer(connection: Connection, system: str, *, now: datetime) -> None:
    """Note that the destination did, or properly refused, what it was asked: its breaker is removed, all runs go on.

    How many are worked at once is bounded by the workers' slots and by the destination's rate limit. Safe to repeat,
    and to do twice at once.
    """
    found = _lock(connection, system)
    if found is None or not connection.execute(delete(breakers).where(breakers.c.system == system)).rowcount:
        return
    if found.state is BreakerState.OPEN:
        down_seconds = None if found.opened_at is None else round((now - found.opened_at).total_seconds())
        _record(connection, "breaker_closed", system, now=now, detail={"down_seconds": down_seconds})
        log.info("%s answers again: all of its runs go on", system)


# What the sweep asks


def read(connection: Connection, system: str) -> Breaker | None:
    """A system's breaker, None if it has none."""
    row = connection.execute(select(breakers).where(breakers.c.system == system)).one_or_none()
    return None if row is None else _breaker(row)


def down(connection: Connection) -> list[Breaker]:
    """The breakers that are open, by system."""
    found = connection.execute(
        select(breakers).where(breakers.c.state == BreakerState.OPEN).order_by(breakers.c.system)
    )
    return [_breaker(row) for row in found]


def take_probe(connection: Connection, found: Breaker, run_id: str, *, now: datetime, probe_seconds: float) -> bool:
    """Give the probe to a run: only it can be claimed until the next. False: another sweep was quicker."""
    taken = connection.execute(
        update(breakers)
        .where(
            breakers.c.system == found.system,
            breakers.c.state == BreakerState.OPEN,
            breakers.c.probe_at == found.probe_at,
        )
        .values(probe_at=now + timedelta(seconds=probe_seconds), probe_run_id=run_id)
    )
    return bool(taken.rowcount)


def probe_now(connection: Connection, system: str, *, now: datetime) -> Breaker | None:
    """Have the next sweep probe a system that is down. Returns the breaker, None if it is not down."""
    found = _lock(connection, system)
    if found is None or found.state is not BreakerState.OPEN:
        return None
    after = replace(found, probe_at=now)
    _save(connection, after)
    return after


def _lock(connection: Connection, system: str) -> Breaker | None:
    row = connection.execute(select(breakers).where(breakers.c.system == system).with_for_update()).one_or_none()
    return None if row is None else _breaker(row)


def _breaker(row: Row[Any]) -> Breaker:
    return Breaker(
        row.system,
        # An older version that still runs may write `ramping`: nothing is held back then.
        state=BreakerState.OPEN if row.state == BreakerState.OPEN else BreakerState.CLOSED,
        opened_at=row.opened_at,
        probe_at=row.probe_at,
        probe_run_id=row.probe_run_id,
        failures=row.failures,
        failing_run_ids=tuple(row.failing_run_ids),
        own_failing_run_ids=tuple(row.own_failing_run_ids or ()),
        last_error=row.last_error,
    )


def _values(found: Breaker) -> dict[str, Any]:
    lists = {
        "failing_run_ids": list(found.failing_run_ids),
        "own_failing_run_ids": list(found.own_failing_run_ids),
    }
    return asdict(found) | lists | {"allowance": 0}  # the column is not used any more


def _last(run_ids: tuple[str, ...], run_id: str) -> tuple[str, ...]:
    """The runs with this one as the last."""
    return (*(other for other in run_ids if other != run_id), run_id)[-_REMEMBERED_RUNS:]


def _save(connection: Connection, found: Breaker) -> None:
    connection.execute(update(breakers).where(breakers.c.system == found.system).values(**_values(found)))


def _record(
    connection: Connection,
    kind: str,
    system: str,
    *,
    now: datetime,
    reason: str | None = None,
    detail: dict[str, Any],
) -> None:
    connection.execute(
        insert(events).values(at=now, kind=kind, actor=Actor.ENGINE, system=system, reason=reason, detail=detail)
    )
