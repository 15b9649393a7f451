"""What whoever reaches Redis can put there: it costs a line in the log, never a worker."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from tests.faults.harness.waiting import wait_until
from tests.integration.product import ENOUGH_SECONDS, Product
from worker.sandbox import Sandbox, SandboxConfig

pytestmark = pytest.mark.integration


def message(**changes: Any) -> bytes:
    """A message as Celery sends it, but for `changes`."""
    body = base64.b64encode(json.dumps([[], {}, {}]).encode()).decode()
    whole = {
        "body": body,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": "cartbridge.dispatch_due",
            "id": "planted",
            "argsrepr": "()",
            "kwargsrepr": "{}",
        },
        "properties": {
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "control"},
            "delivery_tag": "planted",
            "body_encoding": "base64",
        },
    }
    return json.dumps(whole | changes).encode()


PACKED = {"task": "cartbridge.dispatch_due", "id": "planted", "compression": "application/x-gzip"}
POISON = [
    b"",
    b"not json",
    b"\xff\xfe",
    b"[" * 50_000,
    b"[]",
    b"5",
    b"null",
    b"{}",
    b'{"properties": {}}',
    b'{"__type__": "datetime", "__value__": 5}',
    message(headers=None),
    message(headers={"task": "os.system", "id": "x"}),
    message(body="not base64"),
    message(body=5),
    message(properties={"delivery_tag": "x", "delivery_info": None, "body_encoding": "planted"}),
    message(**{"content-type": "application/x-python-serialize"}),
    message(**{"content-encoding": "no-such-encoding"}),
    message(body=base64.b64encode(b"\x80\x04cos\nsystem\n").decode()),
    message(body=base64.b64encode(b"[[1, 2, 3], {}, {}]").decode()),
    message(body=base64.b64encode(b"{}").decode()),
    message(headers=PACKED, body=base64.b64encode(zlib.compress(b" " * (256 << 20), 9)).decode()),
]


def test_worker_goes_on_when_messages_are_poison(postgres_url: str, redis_url: str, tmp_path: Path) -> None:
    with (
        Sandbox.start(config=SandboxConfig(seeded=False)) as sandbox,
        Product(sandbox, postgres_url, tmp_path, CARTBRIDGE_BROKER_URL=redis_url) as product,
        redis.Redis.from_url(redis_url) as broker,
    ):
        worker = product.start("worker")
        product.start("beat")
        product.sell(1)
        product.wait_until_done(1)
        for queue in ("control", "ingest", "learningcart"):
            broker.lpush(queue, *POISON)
        wait_until(
            lambda: all(broker.llen(queue) == 0 for queue in ("control", "ingest", "learningcart")),
            seconds=ENOUGH_SECONDS,
            what="empty queues",
        )
        product.sell(2, first_id=7002)
        product.wait_until_done(3)
        assert worker.poll() is None
        assert "cannot be read" in product.log_of(worker)
        assert "Unrecoverable" not in product.log_of(worker)


@pytest.mark.parametrize("is_on", [True, False])
def test_workers_are_commanded_by_the_broker_only_when_that_is_set(
    postgres_url: str, redis_url: str, tmp_path: Path, is_on: bool
) -> None:
    app = Celery("stranger", broker=redis_url, set_as_current=False)
    with (
        Sandbox.start(config=SandboxConfig(seeded=False)) as sandbox,
        Product(sandbox, postgres_url, tmp_path, CARTBRIDGE_BROKER_URL=redis_url) as product,
    ):
        worker = product.start("worker", CARTBRIDGE_WORKER__REMOTE_CONTROL=str(is_on).lower())
        product.start("beat")
        product.sell(1)
        product.wait_until_done(1)
        app.control.broadcast("shutdown")
        if is_on:
            assert worker.wait(ENOUGH_SECONDS) == 0
        else:
            assert app.control.ping(timeout=2.0) == []
            assert worker.poll() is None
    app.close()
