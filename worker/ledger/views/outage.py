"""What it means that a destination is down, for a person."""

from __future__ import annotations

from datetime import datetime

from worker.ledger.runs.breaker import Breaker


def outage_sentence(breaker: Breaker, now: datetime) -> str:
    """Since when the destination is down, why, and when it is asked again."""
    since = "an unknown time" if breaker.opened_at is None else f"{breaker.opened_at:%Y-%m-%d %H:%M} UTC"
    error = f" ({breaker.last_error})" if breaker.last_error else ""
    probe = (
        f"at {breaker.probe_at:%H:%M:%S} UTC"
        if breaker.probe_at is not None and breaker.probe_at > now
        else "with the next run that is due"
    )
    return f"{breaker.system} is down since {since}{error}. Its runs wait; one of them asks it again {probe}."
