"""Workers tell the broker what they do where it is asked for, which is what Flower shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from tests.integration.product import Product
from worker.sandbox import Sandbox, SandboxConfig

pytestmark = pytest.mark.integration


class HeardError(Exception):
    """Ends the listening."""


def test_tasks_and_heartbeats_are_told_when_events_are_on(postgres_url: str, redis_url: str, tmp_path: Path) -> None:
    app = Celery("listener", broker=redis_url, set_as_current=False)
    heard: list[dict[str, Any]] = []

    def hear(event: dict[str, Any]) -> None:
        heard.append(event)
        if {"task-succeeded", "worker-heartbeat"} <= {each["type"] for each in heard}:
            raise HeardError

    with (
        Sandbox.start(config=SandboxConfig(seeded=False)) as sandbox,
        Product(sandbox, postgres_url, tmp_path, CARTBRIDGE_BROKER_URL=redis_url) as product,
    ):
        product.start("worker", CARTBRIDGE_WORKER__EVENTS="true")
        product.start("beat")
        with app.connection_for_read() as connection, pytest.raises(HeardError):
            app.events.Receiver(connection, handlers={"*": hear}).capture(timeout=60, wakeup=False)
    app.close()
    assert {event["hostname"] for event in heard if event["type"].startswith("task-")}
