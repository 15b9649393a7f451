"""A run's chain on a real Redis with a real worker: Celery hands the next system's step over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from celery import signals
from celery.contrib.testing.worker import start_worker

from tasks.dispatch import Dispatcher
from tests.faults.harness.follow_on_product import FollowOnRig
from tests.faults.harness.waiting import wait_until
from tests.integration.processes.test_dispatch import messages
from tests.integration.servers import RedisServer
from worker.broker.queues import QUEUES
from worker.ledger.session import Ledger
from worker.sandbox import Sandbox, SandboxConfig
from worker.sandbox.mailbox import Mailbox

pytestmark = pytest.mark.integration

MAIL_QUEUE = "mail"
FIRST, LAST = "cartbridge.follow_on.create_cart", "cartbridge.follow_on.send_follow_on_mail"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox.start() as running:
        yield running


@pytest.fixture
def rig(redis_server: RedisServer, tmp_path: Path, mailbox: Mailbox) -> Iterator[FollowOnRig]:
    """A product whose follow-on run ends at another system than it begins at: the store, then mail."""
    url = f"sqlite:///{tmp_path / 'cartbridge.db'}"
    ledger = Ledger(url)
    ledger.migrate()
    ledger.close()
    unhurried: dict[str, Any] = {"CARTBRIDGE_THREEDCART__READ_TIMEOUT_SECONDS": "60"}
    with Sandbox.start(config=SandboxConfig(seeded=False)) as sandbox:
        variables: dict[str, Any] = dict(mailbox.environment(CARTBRIDGE_BROKER_URL=redis_server.url, **unhurried))
        rig = FollowOnRig(sandbox, url, tmp_path, **variables)
        rig.runtime.dispatcher = Dispatcher(rig.runtime.app, rig.ledger)
        yield rig
        rig.close()


@pytest.fixture
def published() -> Iterator[list[dict[str, Any]]]:
    """The headers of all messages that are sent."""
    sent: list[dict[str, Any]] = []

    def note(headers: dict[str, Any], **_: Any) -> None:
        sent.append(headers)

    signals.before_task_publish.connect(note, weak=False)
    yield sent
    signals.before_task_publish.disconnect(note)


def a_worker(rig: FollowOnRig, *queues: str) -> AbstractContextManager[Any]:
    """Celery's own worker, in this process."""
    worker: AbstractContextManager[Any] = start_worker(
        rig.runtime.app,
        pool="threads",
        concurrency=2,
        queues=",".join(queues),
        perform_ping_check=False,
        loglevel="WARNING",
        shutdown_timeout=30,
    )
    return worker


def work_up_to_the_mail(rig: FollowOnRig) -> str:
    """Let a worker that serves every queue but mail do what it can; the id of the run."""
    run_id = rig.hear()
    with a_worker(rig, *(queue for queue in QUEUES if queue != MAIL_QUEUE)):
        rig.runtime.dispatcher.send_runs([run_id])
        wait_until(lambda: rig.state(run_id)[0] == "waiting")
    return run_id


def test_celery_hands_the_step_of_another_system_over_when_those_before_are_done(
    rig: FollowOnRig, redis_server: RedisServer, published: list[dict[str, Any]], mailbox: Mailbox
) -> None:
    run_id = work_up_to_the_mail(rig)
    (message,) = messages(redis_server, MAIL_QUEUE)
    assert message["body"][0] == [run_id]
    assert not message["body"][2]["chain"]  # the links that were done in place are off
    assert [headers["task"] for headers in published] == [FIRST, LAST]
    assert message["headers"]["parent_id"] == message["headers"]["root_id"] == published[0]["id"]
    with a_worker(rig, MAIL_QUEUE):
        wait_until(lambda: rig.state(run_id) == ("succeeded", None))
    assert len(published) == 2
    assert len(mailbox.received) == 1


def test_sweep_adds_no_message_when_the_next_step_was_just_handed_over(
    rig: FollowOnRig, redis_server: RedisServer
) -> None:
    work_up_to_the_mail(rig)
    rig.sweep_quietly()
    assert len(messages(redis_server, MAIL_QUEUE)) == 1


def test_sweep_begins_a_new_chain_when_the_message_was_lost(rig: FollowOnRig, redis_server: RedisServer) -> None:
    run_id = work_up_to_the_mail(rig)
    redis_server.flushall()
    rig.clock.move(10)
    rig.sweep_quietly()
    (message,) = messages(redis_server, MAIL_QUEUE)
    assert (message["headers"]["task"], message["body"][0]) == (LAST, [run_id])


def test_chain_ends_when_the_next_system_is_paused(
    rig: FollowOnRig, redis_server: RedisServer, published: list[dict[str, Any]], mailbox: Mailbox
) -> None:
    rig.runtime.operations.pause(MAIL_QUEUE, actor="operator:test", reason="maintenance")
    run_id = work_up_to_the_mail(rig)
    rig.sweep_quietly()
    assert messages(redis_server, MAIL_QUEUE) == []
    assert [headers["task"] for headers in published] == [FIRST]
    rig.runtime.operations.resume(MAIL_QUEUE, actor="operator:test", reason="done")
    rig.sweep_quietly()
    with a_worker(rig, MAIL_QUEUE):
        wait_until(lambda: rig.state(run_id) == ("succeeded", None))
    assert [headers["task"] for headers in published] == [FIRST, LAST]
    assert len(mailbox.received) == 1


def test_step_is_done_once_when_its_message_comes_twice(
    rig: FollowOnRig, redis_server: RedisServer, mailbox: Mailbox
) -> None:
    run_id = work_up_to_the_mail(rig)
    with redis_server.client() as client:
        client.lpush(MAIL_QUEUE, client.lrange(MAIL_QUEUE, 0, 0)[0])
    with a_worker(rig, MAIL_QUEUE):
        wait_until(lambda: rig.state(run_id) == ("succeeded", None) and not messages(redis_server, MAIL_QUEUE))
    assert len(mailbox.received) == 1
