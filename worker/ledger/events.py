"""The audit trail's lines, and the log's lines of what was committed."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, insert

from worker.ledger.models import events
from worker.ledger.session import after_commit
from worker.ledger.states import Actor, Outcome
from worker.sources.order import without_emails

log = structlog.get_logger(__name__)

LOGGED = frozenset(
    {
        "order_planned",
        "run_succeeded",
        "run_failed",
        "run_review",
        "run_cancelled",
        "run_resolved",
        "run_replayed",
        "system_paused",
        "system_resumed",
        "subscription_ended",
        "subscription_goes_on",
    }
)
"""What the log tells, too: one line an order taken in, one a run's end, one a review."""


def record_event(connection: Connection, *, at: datetime, kind: str, actor: str, **values: Any) -> None:
    """Add one line to the audit trail, and for what ends or asks, one to the log once it is committed.

    `values`: `run_id, source, order_id, delivery_id, system, reason, detail`. The trail cannot be changed when a
    learner is to be forgotten: an email that stands in a reason is left out.
    """
    values.setdefault("detail", {})
    if values.get("reason"):
        values["reason"] = without_emails(values["reason"])
    connection.execute(insert(events).values(at=at, kind=kind, actor=actor, **values))
    opens_review = kind == "run_planned" and values.get("reason")
    if kind in LOGGED or opens_review:
        order_id = values.get("order_id")
        about = {
            "run_id": values.get("run_id"),
            "order": None if order_id is None else f"{values.get('source')}/{order_id}",
            "system": values.get("system"),
            "delivery_id": values.get("delivery_id"),
            # What an operator typed may name people; all others' reasons are codes.
            "reason": values.get("reason") if actor in {Actor.ENGINE, Actor.SOURCE} else None,
            "state": values["detail"].get("state"),
            "actor": actor,
        }
        text = "run review" if opens_review else kind.replace("_", " ")
        _log_after_commit(connection, logging.INFO, text, about)


def log_outcome(
    connection: Connection, *, run_id: str, order: str | None, step: str, number: int, **values: Any
) -> None:
    """Log what an attempt came to once it is committed. `values`: `kind, outcome, http_status`; no texts."""
    outcome = values.get("outcome")
    level = logging.INFO if outcome in {Outcome.OK, Outcome.ADOPTED, Outcome.ABSENT} else logging.WARNING
    about = {"run_id": run_id, "order": order, "step": step, "attempt": number, "outcome": outcome}
    _log_after_commit(
        connection, level, f"{values.get('kind') or 'call'} ended", about | {"http_status": values.get("http_status")}
    )


def _log_after_commit(connection: Connection, level: int, text: str, about: dict[str, Any]) -> None:
    known = {name: str(value) for name, value in about.items() if value is not None}
    after_commit(connection, lambda: log.log(level, text, **known))
