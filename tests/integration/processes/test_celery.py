"""The whole of a worker in this process: Celery's own, on the broker in memory, with the tasks as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import signals
from celery.contrib.testing.worker import start_worker
from kombu.transport.memory import Channel

from tasks.dispatch import Dispatcher
from tests.faults.harness.product import Rig
from tests.faults.harness.waiting import wait_until
from worker.broker.queues import QUEUES
from worker.ledger.orders import order_rows
from worker.ledger.session import Ledger
from worker.ledger.states import Via
from worker.sandbox import Fault, Sandbox, SandboxConfig

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One process for all tests here: Celery's worker takes seconds to end. Each test sells orders of its own."""
    folder = tmp_path_factory.mktemp("celery")
    url = f"sqlite:///{folder / 'cartbridge.db'}"
    # The broker in memory is the whole process's: what other tests left in it is not for this worker.
    for queue in Channel.queues.values():
        queue.queue.clear()
    ledger = Ledger(url)
    ledger.migrate()
    ledger.close()
    with Sandbox.start(config=SandboxConfig(seeded=False)) as sandbox:
        rig = Rig(sandbox, url, folder, CARTBRIDGE_LEARNINGCART__READ_TIMEOUT_SECONDS="60")
        rig.runtime.dispatcher = Dispatcher(rig.runtime.app, rig.ledger)
        with start_worker(
            rig.runtime.app,
            pool="threads",
            concurrency=4,
            queues=",".join(QUEUES),
            perform_ping_check=False,
            loglevel="WARNING",
            shutdown_timeout=30,
        ):
            yield rig
        rig.close()


def states_of(rig: Rig, order_id: int) -> list[str]:
    return [row["state"] for row in rig.rows("runs") if row["order_id"] == str(order_id)]


def orders_made_for(rig: Rig, order_id: int) -> int:
    return len([effect for effect in rig.comped_orders if effect.facts["comments"].endswith(f" {order_id}")])


@pytest.fixture
def published() -> Iterator[list[str]]:
    """The names of the tasks of all messages that are sent."""
    names: list[str] = []

    def note(sender: str, **_: Any) -> None:
        names.append(sender)

    signals.before_task_publish.connect(note, weak=False)
    yield names
    signals.before_task_publish.disconnect(note)


def test_one_message_does_it_when_an_order_is_ingested(rig: Rig, published: list[str]) -> None:
    run_id = rig.enrol(7001)
    wait_until(lambda: rig.state(run_id) == ("succeeded", None))
    assert published == ["cartbridge.enrolment.add_customer"]
    assert orders_made_for(rig, 7001) == 1


def test_bundle_is_worked_by_two_messages_and_no_sweep_when_it_is_one_learners(rig: Rig, published: list[str]) -> None:
    rig.sell(7002, product_id="1130")
    run_ids = rig.ingest(7002)
    wait_until(lambda: [rig.state(run_id) for run_id in run_ids] == [("succeeded", None)] * 2)
    assert "cartbridge.dispatch_due" not in published
    assert orders_made_for(rig, 7002) == 2


def test_run_goes_on_by_a_sweep_when_its_time_has_come(rig: Rig, published: list[str]) -> None:
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut"))
    run_id = rig.enrol(7003)
    wait_until(lambda: rig.state(run_id) == ("waiting", "settling"))
    rig.clock.move(60)
    rig.runtime.dispatcher.send_sweep()
    wait_until(lambda: rig.state(run_id) == ("succeeded", None))
    assert published[1:] == ["cartbridge.dispatch_due", "cartbridge.enrolment.add_comped_order"]
    assert rig.outcomes(run_id)[-1] == ("lookup", "adopted")


def test_hint_is_fetched_and_its_run_worked_when_an_order_is_sent(rig: Rig) -> None:
    rig.sell(7004)
    with rig.ledger.write() as connection:
        order_rows.insert_delivery(
            connection, source="studiocart", order_id="7004", via=Via.WEBHOOK, actor="source", now=rig.clock()
        )
    rig.runtime.dispatcher.send_order("studiocart", "7004")
    wait_until(lambda: states_of(rig, 7004) == ["succeeded"])


def test_orders_are_found_and_worked_when_a_poll_is_rung_twice(rig: Rig) -> None:
    rig.sell(7005)
    for _ in range(2):
        rig.runtime.dispatcher.send_poll("studiocart")
    rig.runtime.dispatcher.send_poll("frontcore")  # not configured: nothing happens
    wait_until(lambda: states_of(rig, 7005) == ["succeeded"])
    assert orders_made_for(rig, 7005) == 1


def test_task_is_not_told_to_run_again_when_its_run_is_gone(rig: Rig, published: list[str]) -> None:
    rig.runtime.app.signature(
        "cartbridge.enrolment.add_comped_order", args=("no-such-run",), queue="learningcart"
    ).apply_async()
    run_id = rig.enrol(7006)
    wait_until(lambda: rig.state(run_id) == ("succeeded", None))
    assert published == ["cartbridge.enrolment.add_comped_order", "cartbridge.enrolment.add_customer"]
