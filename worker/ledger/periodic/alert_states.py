"""What the alerts keep in the ledger: what was sent, who is sending right now, and the day's figures."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from worker.ledger import leases
from worker.ledger.sql import insert_ignoring
from worker.ledger.states import RunState
from worker.ledger.tables.periodic import alert_states
from worker.ledger.tables.runs import deliveries, orders, runs

_NAME = "operator"
"""Whose they are: one row."""


def take(connection: Connection, *, holder: str, now: datetime, lease_seconds: float) -> dict[str, Any] | None:
    """Take what was sent, to send more; None while another process does. `write` gives it back."""
    insert_ignoring(connection, alert_states, {"name": _NAME, "document": {}})
    row = leases.take(
        connection,
        alert_states,
        alert_states.c.name == _NAME,
        holder=holder,
        now=now,
        lease_seconds=lease_seconds,
        again=True,
    )
    return None if row is None else row.document


def write(connection: Connection, document: dict[str, Any] | None, *, holder: str) -> bool:
    """Give it back, with what was sent by now (None: unchanged); False where another process has taken it."""
    values = {} if document is None else {"document": document}
    own_row = alert_states.c.name == _NAME
    return leases.write_held(connection, alert_states, own_row, holder=holder, **leases.FREE, **values)


def figures(connection: Connection, *, since: datetime) -> dict[str, Any]:
    """What has come in and what was done since a moment, and how long access took in the middle (seconds, or None)."""
    latencies = sorted(
        (row.finished_at - row.received_at).total_seconds()
        for row in connection.execute(
            select(runs.c.finished_at, deliveries.c.received_at)
            .join(deliveries, deliveries.c.id == runs.c.delivery_id)
            .where(
                runs.c.finished_at >= since,
                runs.c.state == RunState.SUCCEEDED,
                runs.c.workflow == "enrolment",
                runs.c.result_id.is_not(None),
            )
        )
    )
    return {
        # What was first seen since then was changed since then: the index is on that.
        "orders": connection.scalar(
            select(func.count())
            .select_from(orders)
            .where(orders.c.updated_at >= since, orders.c.first_seen_at >= since)
        ),
        "succeeded": connection.scalar(
            select(func.count())
            .select_from(runs)
            .where(runs.c.finished_at >= since, runs.c.state == RunState.SUCCEEDED, runs.c.workflow == "enrolment")
        ),
        "latency_seconds": latencies[len(latencies) // 2] if latencies else None,
    }
