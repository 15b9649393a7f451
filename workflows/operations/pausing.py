"""Pausing a system and resuming it, as an operator does; each with an actor and a reason."""

from __future__ import annotations

from datetime import datetime

from worker.ledger import pauses
from worker.ledger.events import record_event, typed_text
from worker.ledger.runs import breaker
from worker.ledger.session import Ledger
from worker.ledger.views.outage import outage_sentence


def pause(ledger: Ledger, system: str, *, actor: str, reason: str | None, dry_run: bool, now: datetime) -> str:
    """Send nothing more to a system until it is resumed; calls under way end. Safe to repeat."""
    if dry_run:
        return f"would pause {system}"
    with ledger.write() as connection:
        kept = typed_text(connection, reason) if reason else None
        if not pauses.pause(connection, system, kind="operator", reason=kept, actor=actor, now=now):
            return f"{system} is paused already"
    return f"paused {system}: its runs wait"


def resume(ledger: Ledger, system: str, *, actor: str, reason: str | None, dry_run: bool, now: datetime) -> str:
    """Send to a system again; what waited for it is sent within seconds. Safe to repeat.

    One that is down is probed at once. Its runs follow when it answers and not before: if the operator is wrong,
    they would all be sent into the same failure.
    """
    if dry_run:
        return f"would resume {system}"
    with ledger.write() as connection:
        paused = pauses.lift(connection, system)
        down = breaker.probe_now(connection, system, now=now)
        if paused or down is not None:
            record_event(connection, at=now, kind="system_resumed", actor=actor, system=system, reason=reason)
    resumed = f"resumed {system}" if paused else f"{system} is not paused"
    return resumed if down is None else f"{resumed}. {outage_sentence(down, now)}"
