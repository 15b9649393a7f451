"""What the alerts keep in the ledger: what was told, and who is telling right now; and the day's figures."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from worker.ledger import leases
from worker.ledger.runs.run_rows import insert_ignoring
from worker.ledger.states import RunState
from worker.ledger.tables.runs import cursors, deliveries, orders, runs

BOOK = "alerts:book"


def take_book(connection: Connection, *, holder: str, now: datetime, lease_seconds: float) -> dict[str, Any] | None:
    """Take the book for one telling: what it says, None while another tells. Given back by `write_book`."""
    insert_ignoring(connection, cursors, {"source": BOOK, "position": {}, "failures": 0})
    row = leases.take(
        connection,
        cursors,
        cursors.c.source == BOOK,
        holder=holder,
        now=now,
        lease_seconds=lease_seconds,
        again=True,
        last_attempt_at=now,
    )
    return None if row is None else row.position


def write_book(connection: Connection, document: dict[str, Any] | None, *, holder: str, **values: Any) -> bool:
    """Give the book back, with what it says now (None: as it was); False where another has taken it."""
    if document is not None:
        values["position"] = document
    mine = cursors.c.source == BOOK
    return leases.write_held(connection, cursors, mine, holder=holder, **leases.FREE, **values)


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
