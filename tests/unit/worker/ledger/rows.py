"""Rows for tests of the read side: an order, its delivery, a run, an attempt, an event, with what matters set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, insert, update

from worker.ledger.events import record_event
from worker.ledger.runs.run_rows import NewRun, insert_run
from worker.ledger.search.texts import write_search_text
from worker.ledger.states import RunState
from worker.ledger.tables.base import LedgerModel
from worker.ledger.tables.periodic import list_polls, source_watches
from worker.ledger.tables.runs import attempts, breakers, cursors, deliveries, orders, pauses, runs
from worker.sources.order import Learner

NOW = datetime(2025, 3, 4, 12, 0, tzinfo=UTC)
STEPS = ("add_customer", "add_customer_to_group", "add_comped_order")


def minutes_ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def add_order(connection: Connection, order_id: str = "1109", at: datetime = NOW, **values: Any) -> None:
    row: dict[str, Any] = {
        "source": "studiocart",
        "order_id": order_id,
        "state": "planned",
        "status": "paid",
        "payment": "paid",
        "buyer_email": "Jane@Example.com",
        "buyer_email_key": "jane@example.com",
        "buyer_name": "Jane Doe",
        "total_minor_units": 4900,
        "currency": "USD",
        "renewal": False,
        "before_start": False,
        "document": {"source": "studiocart", "id": order_id, "status": "paid", "payment": "paid", "lines_known": False},
        "content_hash": "",
        "offers_digest": "",
        "version": 1,
        "created_at": at,
        "first_seen_at": at,
        "fetched_at": at,
        "updated_at": at,
    }
    row |= values
    connection.execute(insert(orders).values(**row))
    write_search_text(connection, row["source"], order_id)


def add_delivery(connection: Connection, delivery_id: str, at: datetime = NOW, **values: Any) -> str:
    row = {
        "id": delivery_id,
        "source": "studiocart",
        "order_id": "1109",
        "via": "webhook",
        "actor": "source",
        "state": "planned",
        "duplicate": False,
        "attempts": 0,
        "replan": False,
        "received_at": at,
    }
    connection.execute(insert(deliveries).values(**(row | values)))
    return delivery_id


def add_run(
    connection: Connection,
    order_id: str = "1109",
    at: datetime = NOW,
    *,
    seat: str = "buyer",
    email: str | None = "jane@example.com",
    price: int | None = 501,
    workflow: str = "enrolment",
    source: str = "studiocart",
    **values: Any,
) -> str:
    """Add a run (its order must be there); `values` are set on the row afterwards."""
    grant = {"price_id": price, "group_ids": [12]} if price is not None else None
    run_id = insert_run(
        connection,
        NewRun(
            key=f"{source}/{order_id}/1107/{seat}/{price or 'unmapped'}"
            + ("" if workflow == "enrolment" else "/revoke"),
            workflow=workflow,
            state=RunState.PENDING,
            source=source,
            order_id=order_id,
            line_id="1107",
            seat_id=seat,
            title="First aid",
            learner=Learner(email=email) if email else None,
            grant=grant,
            step_names=STEPS if grant else (),
        ),
        now=at,
    )
    assert run_id is not None
    if values:
        connection.execute(update(runs).where(runs.c.id == run_id).values(**values))
    write_search_text(connection, source, order_id)
    return run_id


def add_bare_run(connection: Connection, run_id: str, at: datetime = NOW, **values: Any) -> None:
    """A run by its id alone: nothing belongs to it, and its order and learner need not be there."""
    row: dict[str, Any] = {
        "id": run_id,
        "key": f"key/{run_id}",
        "workflow": "enrolment",
        "state": "succeeded",
        "source": "studiocart",
        "order_id": "1109",
        "line_id": "1107",
        "seat_id": "buyer",
        "title": "Forklift course",
        "lane": f"lane-{run_id}",
        "generation": 0,
        "fence": 0,
        "dispatches": 0,
        "created_at": at,
        "updated_at": at,
    }
    row |= values
    connection.execute(insert(runs).values(row))
    write_search_text(connection, row["source"], row["order_id"] or row.get("completion_id") or "none")


def add_attempt(
    connection: Connection, run_id: str, step: str, number: int = 1, at: datetime = NOW, **values: Any
) -> None:
    row = {
        "run_id": run_id,
        "step": step,
        "number": number,
        "kind": "call",
        "generation": 0,
        "fence": 1,
        "holder": "host:1",
        "started_at": at,
        "finished_at": at,
        "outcome": "ok",
    }
    connection.execute(insert(attempts).values(**(row | values)))


def add_event(connection: Connection, kind: str, at: datetime = NOW, actor: str = "engine", **values: Any) -> None:
    record_event(connection, at=at, kind=kind, actor=actor, **({"source": "studiocart", "order_id": "1109"} | values))


def add_pause(
    connection: Connection,
    kind: str = "operator",
    reason: str = "",
    actor: str = "operator:ann",
    system: str = "learningcart",
) -> None:
    connection.execute(
        insert(pauses).values(system=system, kind=kind, reason=reason, actor=actor, since=minutes_ago(5))
    )


def add_breaker(connection: Connection, state: str = "open", **values: Any) -> None:
    row = {
        "system": "learningcart",
        "state": state,
        "opened_at": minutes_ago(30),
        "probe_at": NOW + timedelta(seconds=20),
        "allowance": 0,
        "failures": 5,
        "failing_run_ids": [],
        "last_error": "ServerError: learningcart addCustomer answered HTTP 503",
    }
    connection.execute(insert(breakers).values(**(row | values)))


def add_cursor(connection: Connection, **values: Any) -> None:
    connection.execute(insert(cursors).values(**({"source": "studiocart", "position": {}, "failures": 0} | values)))


def add_list_poll(connection: Connection, source: str, list_name: str, **values: Any) -> None:
    row = {"source": source, "list_name": list_name, "position": {}, "failures": 0}
    connection.execute(insert(list_polls).values(**(row | values)))


def add_watch(connection: Connection, source: str, **moments: datetime) -> None:
    connection.execute(insert(source_watches).values(source=source, **moments))


@lru_cache
def _engine() -> Engine:
    engine = create_engine("sqlite://")
    LedgerModel.metadata.create_all(engine)
    return engine


@contextmanager
def ledger_in_memory() -> Iterator[Connection]:
    """A connection to an empty ledger; what is written to it is taken back afterwards."""
    with _engine().connect() as connection:
        yield connection
        connection.rollback()
