"""Finding due work in the ledger: orphaned runs, due runs, due deliveries, orders to be looked at again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    and_,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from worker.ledger import leases
from worker.ledger.events import record_run_event
from worker.ledger.orders.order_rows import LOOK_AGAIN_SECONDS
from worker.ledger.pauses import is_held_back
from worker.ledger.runs import breaker, transitions
from worker.ledger.runs.assignment import Share, next_step
from worker.ledger.runs.attempts import effect_open_runs
from worker.ledger.runs.breaker import PROBE_SECONDS, Breaker, BreakerState
from worker.ledger.runs.transitions import Ending
from worker.ledger.sql import NOW, is_due, lane_is_taken
from worker.ledger.states import CLAIMABLE, Actor, DeliveryState, Outcome, RunState, StepState
from worker.ledger.tables.periodic import alert_states, list_polls
from worker.ledger.tables.runs import attempts, cursors, deliveries, orders, pauses, runs, steps

DISPATCH_AGAIN_SECONDS = 10.0
"""A run or delivery that was sent and not taken is sent again after this long, then twice as long, up to a minute."""
_LONGEST_WAIT_EXPONENT = 3
_CLOCK_MARGIN_SECONDS = 60.0
"""What was sent later than this from now was sent by a clock that was ahead, and is taken for lost."""
_PROBE_CANDIDATES = 50


def recover_orphans(
    connection: Connection,
    *,
    now: datetime,
    settle_seconds: float,
    max_attempts: int,
    backoff_seconds: float,
    asked_steps: Collection[str] = (),
) -> int:
    """Take runs whose lease has ended from holders that vanished; returns how many.

    A call that may have been sent settles first, counted from the lease's end (from now where that was long ago), and
    the lane stays shut until then. Those of `asked_steps` are asked about from now on: their answers settle them.
    Where nothing was open the death itself counts as an attempt, so that a run which kills its worker cannot do so for
    ever.
    """
    settle = timedelta(seconds=settle_seconds)
    orphans = connection.execute(
        select(runs)
        .where(runs.c.state == RunState.RUNNING, leases.has_run_out(runs, now))
        .order_by(runs.c.lease_until)
        .limit(500)
        .with_for_update(skip_locked=True)
    ).all()
    for run in orphans:
        _recover(
            connection,
            run,
            now=now,
            settle=settle,
            max_attempts=max_attempts,
            backoff_seconds=backoff_seconds,
            asked_steps=asked_steps,
        )
    return len(orphans)


def _recover(
    connection: Connection,
    run: Row[Any],
    *,
    now: datetime,
    settle: timedelta,
    max_attempts: int,
    backoff_seconds: float,
    asked_steps: Collection[str],
) -> None:
    closed = connection.scalars(
        update(attempts)
        .where(attempts.c.run_id == run.id, attempts.c.outcome.is_(None))
        .values(outcome=Outcome.UNKNOWN, finished_at=run.lease_until, error="the worker vanished during the call")
        .returning(attempts.c.step)
    ).all()
    lane_shut_until = None
    if closed:
        lane_shut_until = run.lease_until + settle
        if lane_shut_until < now:
            # Nobody looked for long, or the clock jumped ahead while the call was under way: that may be so still.
            lane_shut_until = now + settle
        is_asked = set(closed) <= set(asked_steps)
        ending = Ending(RunState.WAITING, "worker_vanished", next_attempt_at=now if is_asked else lane_shut_until)
    else:
        failures = _count_death(connection, run, now)
        is_open = bool(effect_open_runs(connection, [run.id]))
        if is_open:
            lane_shut_until = now + settle
        if failures >= max_attempts and is_open:
            # It died at each lookup: what it may have made is a question to a person, and it must not go on dying.
            ending = Ending(RunState.REVIEW, "outcome_unknown")
        elif failures >= max_attempts:
            ending = Ending(RunState.FAILED, "attempts_spent")
        else:
            due_at = now + timedelta(seconds=backoff_seconds * (failures - 1))
            ending = Ending(RunState.WAITING, "worker_vanished", next_attempt_at=due_at)
    ending = replace(ending, note="The worker vanished while it held the run.", lane_shut_until=lane_shut_until)
    transitions.recover(connection, run.id, ending, fence=run.fence, now=now)
    detail = {"holder": run.lease_holder, "open_calls": len(closed)}
    why = "worker_vanished"
    record_run_event(connection, run, at=now, kind="run_recovered", actor=Actor.ENGINE, reason=why, detail=detail)


def _count_death(connection: Connection, run: Row[Any], now: datetime) -> int:
    step = connection.execute(
        select(steps)
        .where(steps.c.run_id == run.id, steps.c.state == StepState.PENDING)
        .order_by(steps.c.position)
        .limit(1)
    ).one_or_none()
    if step is None:
        return 1
    number = connection.scalar(
        select(func.coalesce(func.max(attempts.c.number), 0)).where(
            attempts.c.run_id == run.id, attempts.c.step == step.name
        )
    )
    connection.execute(
        insert(attempts).values(
            run_id=run.id,
            step=step.name,
            number=(number or 0) + 1,
            kind="death",
            generation=run.generation,
            fence=run.fence,
            holder=run.lease_holder or "",
            started_at=run.updated_at,
            finished_at=now,
            outcome=Outcome.RETRYABLE,
            error="the worker vanished; no call was open",
        )
    )
    connection.execute(
        update(steps)
        .where(steps.c.run_id == run.id, steps.c.position == step.position)
        .values(counted=step.counted + 1)
    )
    return int(step.counted) + 1


def _look() -> Select[tuple[bool]]:
    """The question of `anything_due`, made once: every sweep asks it, and mostly in vain."""
    looks = (
        select(runs.c.id).where(is_due(runs, NOW)),
        select(deliveries.c.id).where(
            deliveries.c.state.in_([DeliveryState.RECEIVED, DeliveryState.WAITING]),
            or_(deliveries.c.next_attempt_at.is_(None), deliveries.c.next_attempt_at <= NOW),
            ~is_held_back(),
        ),
        select(orders.c.order_id).where(orders.c.replan_at <= NOW),
        select(runs.c.id).where(runs.c.state == RunState.RUNNING, leases.has_run_out(runs, NOW)),
    )
    return select(or_(*(look.exists() for look in looks)))


_LOOK = _look()


def anything_due(connection: Connection, *, now: datetime) -> bool:
    """Whether a sweep may find something to send; a look that takes no lock."""
    return bool(connection.scalar(_LOOK, {"now": now}))


def take_due_runs(
    connection: Connection,
    *,
    now: datetime,
    system: str,
    limit: int,
    share: Share | None = None,
    probe_seconds: float = PROBE_SECONDS,
    risky_steps: Collection[str] = (),
) -> list[str]:
    """The ids of a system's runs whose time has come, marked as sent. Without a `share`, every run is the system's.

    A lane's later runs wait for its first; a paused system's are left. Of a system that is down one run is taken every
    `probe_seconds`, rather none whose next call is one of `risky_steps`.
    """
    found = breaker.read(connection, system)
    if found is not None and found.state is BreakerState.OPEN:
        return _take_probe(
            connection, found, now=now, share=share, probe_seconds=probe_seconds, risky_steps=risky_steps
        )
    due = (
        select(runs.c.id)
        .where(*_may_start(system, now, share), not_sent_lately(runs, now))
        .order_by(runs.c.next_attempt_at, runs.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return sorted(_mark_sent(connection, runs.c.id.in_(due), now))


def mark_handed_over(connection: Connection, run_id: str, system: str, *, now: datetime) -> bool:
    """Mark a due run as sent whose chain goes on at another system; False where that system is paused or down."""
    found = breaker.read(connection, system)
    if found is not None and found.state is BreakerState.OPEN:
        return False
    takes_runs = and_(runs.c.id == run_id, *_is_due(now), ~exists().where(pauses.c.system == system))
    return bool(_mark_sent(connection, takes_runs, now))


def _is_due(now: datetime, share: Share | None = None) -> tuple[ColumnElement[bool], ...]:
    return (is_due(runs, now),) if share is None else (is_due(runs, now), share.condition())


def _may_start(system: str, now: datetime, share: Share | None) -> tuple[ColumnElement[bool], ...]:
    return *_is_due(now, share), ~exists().where(pauses.c.system == system), ~lane_is_taken(now)


def _mark_sent(connection: Connection, which: ColumnElement[bool], now: datetime) -> list[str]:
    taken = connection.execute(
        update(runs).where(which).values(dispatched_at=now, dispatches=runs.c.dispatches + 1).returning(runs.c.id)
    )
    return list(taken.scalars())


def _take_probe(
    connection: Connection,
    found: Breaker,
    *,
    now: datetime,
    share: Share | None,
    probe_seconds: float,
    risky_steps: Collection[str],
) -> list[str]:
    """The one run that asks a system whether it is back, if it is time to: its id, marked as sent."""
    if not found.probe_is_due(now, probe_seconds):
        return []
    candidates = connection.execute(
        select(runs.c.id, next_step().label("step"))
        .where(*_may_start(found.system, now, share))
        .order_by(runs.c.updated_at, runs.c.id)
        .limit(_PROBE_CANDIDATES)
    ).all()
    risky = {row.id for row in candidates if row.step in risky_steps}
    looked_up = effect_open_runs(connection, sorted(risky))
    failed_at = {run_id: place for place, run_id in enumerate(found.failing_run_ids)}

    def harm(run_id: str) -> tuple[int, bool, bool]:
        """Rather one that has not failed for longest: the run that fails for its own sake must not be asked for ever.

        Then one whose call does no harm when it is repeated, or is asked about first.
        """
        return failed_at.get(run_id, -1), run_id in risky - looked_up, run_id in risky

    chosen = min((row.id for row in candidates), key=harm, default=None)
    # The run's row before the breaker's, as everywhere; one that somebody else has locked is left for the next sweep.
    locked = select(runs.c.id).where(runs.c.id == chosen, *_is_due(now)).with_for_update(skip_locked=True)
    if chosen is None or connection.execute(locked).first() is None:
        return []
    if not breaker.take_probe(connection, found, chosen, now=now, probe_seconds=probe_seconds):
        return []
    return _mark_sent(connection, runs.c.id == chosen, now)


def not_sent_lately(table: Table, now: datetime) -> ColumnElement[bool]:
    """Never sent, or sent so long ago that the message must be taken for lost."""
    ahead = table.c.dispatched_at > now + timedelta(seconds=_CLOCK_MARGIN_SECONDS)
    if "dispatches" not in table.c:
        return or_(
            table.c.dispatched_at.is_(None),
            ahead,
            table.c.dispatched_at <= now - timedelta(seconds=DISPATCH_AGAIN_SECONDS),
        )
    waits = [
        and_(
            table.c.dispatches == dispatches
            if dispatches < _LONGEST_WAIT_EXPONENT
            else table.c.dispatches >= dispatches,
            table.c.dispatched_at <= now - timedelta(seconds=DISPATCH_AGAIN_SECONDS * 2 ** (dispatches - 1)),
        )
        for dispatches in range(1, _LONGEST_WAIT_EXPONENT + 1)
    ]
    return or_(table.c.dispatched_at.is_(None), ahead, *waits)


def take_due_orders(connection: Connection, *, now: datetime, limit: int) -> list[tuple[str, str]]:
    """Orders with a hint that is due and that nobody fetches, marked as sent: `(source, order id)`, each once."""
    due = (
        select(deliveries.c.id)
        .where(
            deliveries.c.state.in_([DeliveryState.RECEIVED, DeliveryState.WAITING]),
            deliveries.c.order_id.is_not(None),
            or_(deliveries.c.next_attempt_at.is_(None), deliveries.c.next_attempt_at <= now),
            leases.is_free(deliveries, now),
            not_sent_lately(deliveries, now),
            ~is_held_back(),
        )
        .order_by(deliveries.c.received_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(due))
        .values(dispatched_at=now)
        .returning(deliveries.c.source, deliveries.c.order_id)
    )
    return sorted({(row.source, row.order_id) for row in taken})


def take_orders_to_replan(connection: Connection, *, now: datetime, limit: int) -> list[tuple[str, str]]:
    """Orders whose last plan left something for later, put off once more in case this look fails too."""
    # One that is locked is being looked at: waiting for it here could be for each other, as it wants the deliveries.
    due = connection.execute(
        select(orders.c.source, orders.c.order_id)
        .where(orders.c.replan_at <= now)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    ).all()
    for source, order_id in due:
        connection.execute(
            update(orders)
            .where(orders.c.source == source, orders.c.order_id == order_id)
            .values(replan_at=now + timedelta(seconds=LOOK_AGAIN_SECONDS))
        )
    return [(row.source, row.order_id) for row in due]


def break_leases(connection: Connection, *, now: datetime) -> int:
    """End every lease now, and forget what was sent to workers; returns how many runs were held.

    Only for a process that knows no other can be alive, and whose broker died with the one before. What was sent to a
    destination still settles first.
    """
    count = leases.end_all(connection, runs, now=now)
    for table in (deliveries, cursors, list_polls, alert_states):
        leases.end_all(connection, table, now=now)
    connection.execute(
        update(runs)
        .where(runs.c.state.in_(sorted(CLAIMABLE)), runs.c.dispatched_at.is_not(None))
        .values(dispatched_at=None, dispatches=0)
    )
    connection.execute(
        update(deliveries)
        .where(
            deliveries.c.state.in_([DeliveryState.RECEIVED, DeliveryState.WAITING]),
            deliveries.c.dispatched_at.is_not(None),
        )
        .values(dispatched_at=None)
    )
    return count
