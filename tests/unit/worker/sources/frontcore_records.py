"""Frontcore's records as the tests of its orders write them, and those orders as ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from worker.clients.frontcore.models import Order as Record
from worker.sandbox.seeds import seed_records
from worker.sources.frontcore import ProvisionWhen, to_order
from worker.sources.order import Order

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SAMPLES = seed_records("frontcore", "orders")


def user(user_id: int | None, email: str | None = None, name: str = "", **fields: Any) -> dict[str, Any]:
    first, _, last = name.partition(" ")
    email = f"user-{user_id}@example.test" if email is None else email
    return {"id": user_id, "email": email, "firstname": first, "lastname": last} | fields


def place(participant_id: int | None, user_id: int | None, course_id: int | None = 77, **fields: Any) -> dict[str, Any]:
    ids = {"participant_id": participant_id, "user_id": user_id, "course_id": course_id}
    return {"type": "participant", **ids} | fields


def line(*places: dict[str, Any], users: Any = (), **fields: Any) -> dict[str, Any]:
    product = {"id": 8079, "title": "Learn REST API", "is_main_product": True, "currency": "NOK"}
    users = list(users) if isinstance(users, tuple) else users
    return {"id": 31400, "product": product, "database_relations": list(places), "users": users} | fields


def record(*lines: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": 27244, "is_paid": True, "lines": list(lines)} | fields


def ordered(*lines: dict[str, Any], provision_when: ProvisionWhen = "paid", **fields: Any) -> Order:
    return to_order(Record.model_validate(record(*lines, **fields)), provision_when=provision_when)


def seats(*lines: dict[str, Any], **fields: Any) -> dict[str, str | None]:
    """Every seat's id and hold."""
    return {seat.id: seat.hold for each in ordered(*lines, **fields).lines for seat in each.seats}
