"""Rows for the page's tests, each as far from a default as the test needs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert

from tests.unit.worker.ledger import rows
from worker.ledger.tables.runs import learners
from worker.text.email_address import email_key


def add_order(connection: Connection, order_id: str, at: datetime, **values: Any) -> None:
    email = values.get("buyer_email", values.get("buyer_email_key", "buyer@shop.example"))
    buyer = {"buyer_email": email, "buyer_email_key": email_key(email), "buyer_name": "Bo Buyer"}
    without: dict[str, Any] = {"total_minor_units": None, "currency": None, "document": {}}
    rows.add_order(connection, order_id, at, **(buyer | without | values))


add_run = rows.add_bare_run


def add_learner(connection: Connection, learner_id: str, email: str) -> None:
    connection.execute(insert(learners).values(id=learner_id, email=email, email_key=email_key(email)))


def add_delivery(connection: Connection, delivery_id: str, at: datetime, **values: Any) -> None:
    rows.add_delivery(connection, delivery_id, at, **({"attempts": 1} | values))


def add_attempt(connection: Connection, run_id: str, number: int, at: datetime, **values: Any) -> None:
    given: dict[str, Any] = {"step": "add_customer", "holder": "w1", "http_status": 200} | values
    rows.add_attempt(connection, run_id, given.pop("step"), number, at, **given)
