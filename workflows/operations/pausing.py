"""Pausing a system and resuming it, as an operator does; each with an actor and a reason."""

from __future__ import annotations

from datetime import datetime

from worker.ledger import pauses
from worker.ledger.events import record_event, without_people
from worker.ledger.runs import breaker
from worker.ledger.session import Ledger
from worker.settings.settings import DESTINATIONS, SOURCES


def pause(ledger: Ledger, system: str, *, actor: str, reason: str | None, dry_run: bool, now: datetime) -> str:
    """Send nothing more to a system until it is resumed, and read nothing from it. Safe to repeat.

    Calls under way end. Of a source no order is polled or fetched; its webhooks are kept, and wait.
    """
    holds_more = system in SOURCES  # than the pause of a refused call, which its polls and webhooks go on under
    if dry_run:
        with ledger.read() as connection:
            found = pauses.pause_of(connection, system)
        is_paused = found is not None and not (holds_more and found.kind != pauses.BY_OPERATOR)
        return f"{system} is paused already" if is_paused else f"would pause {system}"
    with ledger.write() as connection:
        typed = without_people(connection, reason) if reason else None
        kind = pauses.BY_OPERATOR
        if not pauses.pause(connection, system, kind=kind, reason=typed, actor=actor, now=now, takes_over=holds_more):
            return f"{system} is paused already"
    waits = "its runs wait" if system not in SOURCES else "its polls and webhooks wait"
    if system in DESTINATIONS and system in SOURCES:
        waits = "its runs, polls and webhooks wait"
    return f"paused {system}: {waits}"


def resume(ledger: Ledger, system: str, *, actor: str, reason: str | None, dry_run: bool, now: datetime) -> str:
    """Ask a system again; what waited for it is sent within seconds. Safe to repeat.

    One that is down is probed at once. Its runs follow when it answers and not before: if the operator is wrong,
    they would all be sent into the same failure.
    """
    if dry_run:
        with ledger.read() as connection:
            is_paused = pauses.pause_of(connection, system) is not None
            is_down = any(each.system == system for each in breaker.down(connection))
        return f"would resume {system}" if is_paused or is_down else f"{system} is not paused"
    with ledger.write() as connection:
        paused = pauses.lift(connection, system)
        pauses.wake_deliveries(connection, system)
        down = breaker.probe_now(connection, system, now=now)
        if paused or down is not None:
            record_event(connection, at=now, kind="system_resumed", actor=actor, system=system, reason=reason)
    resumed = f"resumed {system}" if paused else f"{system} is not paused"
    return resumed if down is None else f"{resumed}. {down.sentence(now)}"
