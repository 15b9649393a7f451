"""What it means that a destination is down, for a person."""

from __future__ import annotations

from datetime import datetime

from worker.formatting import local, minute
from worker.ledger.runs.breaker import Breaker


def outage_sentence(breaker: Breaker, now: datetime) -> str:
    """Since when the destination is down, why, and when it is asked again."""
    error = f" ({breaker.last_error})" if breaker.last_error else ""
    probe = (
        f"at {local(breaker.probe_at):%H:%M:%S %Z}"
        if breaker.probe_at is not None and breaker.probe_at > now
        else "with the next run that is due"
    )
    since = minute(breaker.opened_at)
    return f"{breaker.system} is down since {since}{error}. Its runs wait; one of them asks it again {probe}."
