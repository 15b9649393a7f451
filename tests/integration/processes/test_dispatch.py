"""The dispatcher on a real Redis: what travels, where to, and what happens while nobody answers."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.dispatch import Dispatcher
from tests.faults.harness.product import Rig
from tests.integration.servers import RedisServer
from worker.ledger.session import Ledger
from worker.sandbox import Sandbox

pytestmark = pytest.mark.integration


@pytest.fixture
def rig(redis_server: RedisServer, tmp_path: Path) -> Iterator[Rig]:
    url = f"sqlite:///{tmp_path / 'cartbridge.db'}"
    ledger = Ledger(url)
    ledger.migrate()
    ledger.close()
    with Sandbox.start() as sandbox:
        rig = Rig(sandbox, url, tmp_path, CARTBRIDGE_BROKER_URL=redis_server.url)
        yield rig
        rig.close()


@pytest.fixture
def dispatcher(rig: Rig) -> Dispatcher:
    return Dispatcher(rig.runtime.app, rig.ledger)


def messages(server: RedisServer, queue: str) -> list[dict[str, Any]]:
    """The messages that wait in a queue, oldest first, with their decoded bodies."""
    with server.client() as client:
        found = [json.loads(raw) for raw in client.lrange(queue, 0, -1)]
    return [message | {"body": json.loads(base64.b64decode(message["body"]))} for message in reversed(found)]


def test_runs_travel_as_chains_of_ids_when_they_are_due(
    rig: Rig, dispatcher: Dispatcher, redis_server: RedisServer
) -> None:
    first = rig.enrol(7001, email="very.personal@example.test")
    second = rig.enrol(7002, email="other.person@example.test")
    assert dispatcher.send_runs([second, first])
    sent = messages(redis_server, "learningcart")
    assert [message["body"][0] for message in sent] == [[second], [first]]
    assert sent[0]["headers"]["task"] == "cartbridge.enrolment.add_customer"
    assert sent[0]["content-type"] == "application/json"
    assert [link["task"] for link in reversed(sent[0]["body"][2]["chain"])] == [
        "cartbridge.enrolment.add_customer_to_group",
        "cartbridge.enrolment.add_comped_order",
    ]
    assert "example.test" not in repr(sent)


def test_chain_begins_where_the_run_stands_when_steps_are_done(
    rig: Rig, dispatcher: Dispatcher, redis_server: RedisServer
) -> None:
    run_id = rig.enrol()
    rig.executor.let_go(rig.claim_before_order(run_id))
    assert dispatcher.send_runs([run_id])
    (message,) = messages(redis_server, "learningcart")
    assert message["headers"]["task"] == "cartbridge.enrolment.add_comped_order"
    assert message["body"][2]["chain"] is None


def test_nothing_is_sent_when_a_run_has_nothing_left_to_do(
    rig: Rig, dispatcher: Dispatcher, redis_server: RedisServer
) -> None:
    run_id = rig.enrol()
    rig.finish()
    assert dispatcher.send_runs([run_id])
    assert dispatcher.send_runs([])
    assert messages(redis_server, "learningcart") == []


def test_news_goes_to_the_ingest_queue_and_sweeps_to_control_when_they_are_due(
    dispatcher: Dispatcher, redis_server: RedisServer
) -> None:
    assert dispatcher.send_order("studiocart", "1109")
    assert dispatcher.send_poll("studiocart")
    assert dispatcher.send_sweep()
    ingest, poll = messages(redis_server, "ingest")
    assert (ingest["headers"]["task"], ingest["body"][0]) == ("cartbridge.ingest", ["studiocart", "1109"])
    assert (poll["headers"]["task"], poll["body"][0]) == ("cartbridge.poll", ["studiocart"])
    (sweep,) = messages(redis_server, "control")
    assert sweep["headers"]["task"] == "cartbridge.dispatch_due"
    assert dispatcher.broker_ok()


def test_message_is_lost_quickly_and_in_peace_when_redis_is_away(
    rig: Rig, dispatcher: Dispatcher, redis_server: RedisServer
) -> None:
    run_id = rig.enrol()
    assert dispatcher.send_sweep()  # a connection is open when Redis goes
    redis_server.stop()
    began = time.monotonic()
    assert not dispatcher.send_runs([run_id])
    assert not dispatcher.send_order("studiocart", "1109")
    assert not dispatcher.broker_ok()
    assert time.monotonic() - began < 10


def test_nobody_waits_for_a_dead_broker_when_it_has_just_failed(rig: Rig, redis_server: RedisServer) -> None:
    now = [100.0]
    dispatcher = Dispatcher(rig.runtime.app, rig.ledger, now=lambda: now[0])
    redis_server.stop()
    began = time.monotonic()
    assert not dispatcher.send_sweep()  # the first message of all: no connection was ever open
    assert time.monotonic() - began < 10
    redis_server.start()
    began = time.monotonic()
    assert not any(dispatcher.send_order("studiocart", str(number)) for number in range(1000))
    assert time.monotonic() - began < 10
    now[0] += 1.0
    assert dispatcher.send_sweep()


def test_every_run_is_found_again_when_all_messages_are_lost(rig: Rig, redis_server: RedisServer) -> None:
    rig.runtime.dispatcher = Dispatcher(rig.runtime.app, rig.ledger)
    run_ids = [rig.enrol(7001 + number, email=f"learner-{number}@example.test") for number in range(3)]
    rig.sweep_quietly()
    redis_server.flushall()
    rig.sweep_quietly()
    assert messages(redis_server, "learningcart") == []  # sent lately: perhaps they are only slow
    rig.clock.move(10)
    rig.sweep_quietly()
    assert sorted(message["body"][0][0] for message in messages(redis_server, "learningcart")) == sorted(run_ids)


def test_lost_messages_are_sent_ever_less_often_when_nobody_takes_them(rig: Rig, redis_server: RedisServer) -> None:
    rig.runtime.dispatcher = Dispatcher(rig.runtime.app, rig.ledger)
    rig.enrol()
    redis_server.flushall()
    sent_after = []
    for second in range(120):
        rig.sweep_quietly()
        if messages(redis_server, "learningcart"):
            sent_after.append(second)
            redis_server.flushall()
        rig.clock.move(1)
    assert sent_after == [0, 10, 30, 70, 110]
