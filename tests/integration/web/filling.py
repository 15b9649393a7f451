"""Rows for the page's tests, each as far from a default as the test needs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert

from worker.ledger.search.texts import write_search_text
from worker.ledger.tables.runs import attempts, deliveries, learners, orders, runs
from worker.text.email_address import email_key


def add_order(connection: Connection, order_id: str, at: datetime, **values: Any) -> None:
    email = values.get("buyer_email", values.get("buyer_email_key", "buyer@shop.example"))
    row = {
        "source": "studiocart",
        "order_id": order_id,
        "state": "planned",
        "status": "paid",
        "payment": "paid",
        "buyer_email": email,
        "buyer_email_key": email_key(email),
        "buyer_name": "Bo Buyer",
        "renewal": False,
        "document": {},
        "content_hash": "",
        "offers_digest": "",
        "version": 1,
        "before_start": False,
        "created_at": at,
        "first_seen_at": at,
        "fetched_at": at,
        "updated_at": at,
    }
    connection.execute(insert(orders).values(row | values))
    write_search_text(connection, values.get("source", "studiocart"), order_id)


def add_run(connection: Connection, run_id: str, at: datetime, **values: Any) -> None:
    """A run; its learner's row is made by `add_learner`, its order's by `add_order`."""
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


def add_learner(connection: Connection, learner_id: str, email: str) -> None:
    connection.execute(insert(learners).values(id=learner_id, email=email, email_key=email_key(email)))


def add_delivery(connection: Connection, delivery_id: str, at: datetime, **values: Any) -> None:
    row = {
        "id": delivery_id,
        "source": "studiocart",
        "order_id": "1109",
        "via": "webhook",
        "actor": "source",
        "state": "planned",
        "duplicate": False,
        "attempts": 1,
        "replan": False,
        "received_at": at,
    }
    connection.execute(insert(deliveries).values(row | values))


def add_attempt(connection: Connection, run_id: str, number: int, at: datetime, **values: Any) -> None:
    row = {
        "run_id": run_id,
        "step": "add_customer",
        "number": number,
        "kind": "call",
        "generation": 0,
        "fence": 1,
        "holder": "w1",
        "started_at": at,
        "finished_at": at,
        "outcome": "ok",
        "http_status": 200,
    }
    connection.execute(insert(attempts).values(row | values))
