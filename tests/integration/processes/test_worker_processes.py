"""Real processes on a real Redis and PostgreSQL: killed, stopped, and left without a broker."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.harness.waiting import wait_until
from tests.integration.product import ENOUGH_SECONDS, LEASE_SECONDS, Product
from tests.integration.servers import RedisServer
from worker.sandbox import Fault, Sandbox, SandboxConfig

pytestmark = [pytest.mark.integration, pytest.mark.faults]

ORDERS = 12


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(config=SandboxConfig(seeded=False)) as running:
        yield running


@pytest.fixture
def product(sandbox: Sandbox, postgres_url: str, redis_server: RedisServer, tmp_path: Path) -> Iterator[Product]:
    """Processes on PostgreSQL and Redis."""
    with Product(sandbox, postgres_url, tmp_path, CARTBRIDGE_BROKER_URL=redis_server.url) as product:
        yield product


@pytest.fixture
def embedded(sandbox: Sandbox, tmp_path: Path) -> Iterator[Product]:
    """Processes on one SQLite file, each with its own broker in memory."""
    url = f"sqlite:///{tmp_path / 'cartbridge.db'}"
    with Product(sandbox, url, tmp_path) as product:
        yield product


def no_answers(sandbox: Sandbox, *, times: int) -> None:
    """The order is made at once, and is never answered: whoever waits for it can be killed at leisure."""
    sandbox.inject(Fault("learningcart", "addCompOrder", kind="hang", when="after", times=times))


def slow_answers(sandbox: Sandbox, *, times: int | None, seconds: float) -> None:
    """The order is made at once, and its answer comes late: calls are under way when something happens."""
    sandbox.inject(Fault("learningcart", "addCompOrder", kind="slow", when="after", seconds=seconds, times=times))


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_every_order_is_made_once_when_a_worker_is_killed_during_its_calls(product: Product, pool: str) -> None:
    no_answers(product.sandbox, times=4)
    product.sell(ORDERS)
    product.start("beat")
    worker = product.start("worker", CARTBRIDGE_WORKER__POOL=pool)
    product.wait_for_effects(2)
    product.kill(worker)
    assert "running" in product.states()
    product.sandbox.clear_faults()
    product.end_leases()
    product.start("worker", CARTBRIDGE_WORKER__POOL=pool)
    product.wait_until_done(ORDERS)
    assert "adopted" in product.outcomes()


def test_every_order_is_made_once_when_redis_is_emptied(product: Product, redis_server: RedisServer) -> None:
    slow_answers(product.sandbox, times=None, seconds=0.2)
    product.sell(ORDERS)
    product.start("beat")
    product.start("worker", CARTBRIDGE_WORKER__CONCURRENCY="2")
    product.wait_for_effects(2)
    redis_server.flushall()
    product.wait_until_done(ORDERS)


def test_every_order_is_made_once_when_redis_goes_and_comes_back(product: Product, redis_server: RedisServer) -> None:
    """The worker and beat connect again by themselves."""
    slow_answers(product.sandbox, times=None, seconds=0.2)
    product.sell(ORDERS)
    beat = product.start("beat")
    worker = product.start("worker", CARTBRIDGE_WORKER__CONCURRENCY="2")
    product.wait_for_effects(2)
    redis_server.stop()
    product.sell(4, first_id=8001)
    time.sleep(1.5)  # an outage has a length; nothing is waited for here
    redis_server.start()
    product.wait_until_done(ORDERS + 4)
    assert worker.poll() is None
    assert beat.poll() is None


@pytest.mark.parametrize("refusal", [("REPLICAOF", "127.0.0.1", "1"), ("CONFIG", "SET", "maxmemory", "1")])
def test_every_order_is_made_once_when_redis_takes_no_writes_for_a_while(
    product: Product, redis_server: RedisServer, refusal: tuple[str, ...]
) -> None:
    """A replica after a failover, and one without memory: both answer. The worker used to end."""
    product.sell(2)
    beat = product.start("beat")
    worker = product.start("worker")
    product.wait_until_done(2)
    with redis_server.client() as client:
        client.execute_command(*refusal)
        client.execute_command("CLIENT", "KILL", "TYPE", "normal")
    product.sell(2, first_id=8001)
    time.sleep(1.5)  # an outage has a length; nothing is waited for here
    assert worker.poll() is None
    assert beat.poll() is None
    with redis_server.client() as client:
        client.execute_command("REPLICAOF", "NO", "ONE")
        client.execute_command("CONFIG", "SET", "maxmemory", "0")
    product.wait_until_done(4)
    assert worker.poll() is None
    assert "it is dropped" not in product.log_of(worker)


def test_every_order_is_made_once_when_two_workers_and_two_beats_run(product: Product) -> None:
    product.sell(40)
    for command in ("beat", "beat", "worker", "worker"):
        product.start(command)
    product.wait_until_done(40)
    assert set(product.outcomes()) == {"ok"}


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_calls_under_way_end_and_nothing_is_lost_when_a_worker_is_stopped(product: Product, pool: str) -> None:
    slow_answers(product.sandbox, times=4, seconds=1.0)
    product.sell(ORDERS)
    beat = product.start("beat")
    worker = product.start("worker", CARTBRIDGE_WORKER__POOL=pool)
    product.wait_for_effects(2)
    assert product.stop(worker) == 0
    assert product.stop(beat) == 0
    assert "running" not in product.states()
    assert set(product.outcomes()) <= {"ok"}
    product.start("beat")
    product.start("worker")
    product.wait_until_done(ORDERS)
    assert set(product.outcomes()) == {"ok"}


def test_up_takes_over_at_once_when_the_one_before_was_killed(embedded: Product) -> None:
    """Nobody else can be at work on its ledger, so the leases of the dead, however long, hold nobody up."""
    no_answers(embedded.sandbox, times=3)
    embedded.sell(ORDERS)
    first = embedded.start("up")
    embedded.wait_for_effects(2)
    embedded.kill(first)
    assert "running" in embedded.states()
    embedded.sandbox.clear_faults()
    second = embedded.start("up")
    assert LEASE_SECONDS > ENOUGH_SECONDS
    embedded.wait_until_done(ORDERS)
    assert "adopted" in embedded.outcomes()
    assert embedded.stop(second) == 0


def test_second_up_is_refused_when_one_works_on_the_ledger(embedded: Product) -> None:
    first = embedded.start("up")
    embedded.sell(1)
    embedded.wait_until_done(1)
    second = embedded.start("up")
    assert second.wait(ENOUGH_SECONDS) == 2
    assert "Another `cartbridge up`" in embedded.log_of(second)
    assert first.poll() is None
    assert embedded.stop(first) == 0


def test_up_ends_no_lease_when_its_broker_is_shared(
    sandbox: Sandbox, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Workers may live on the same file, which take no lock: what they are about to send must not be asked for yet."""
    url = f"sqlite:///{tmp_path / 'cartbridge.db'}"
    with Product(sandbox, url, tmp_path, CARTBRIDGE_BROKER_URL=redis_server.url) as product:
        no_answers(product.sandbox, times=1)
        product.sell(1)
        product.start("beat")
        product.start("worker")
        product.wait_for_effects(1)
        up = product.start("up")
        product.port_of(up)
        assert product.states() == ["running"]
        assert "took over" not in product.log_of(up)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_up_stops_in_order_when_calls_are_under_way(embedded: Product, number: signal.Signals) -> None:
    slow_answers(embedded.sandbox, times=4, seconds=1.0)
    embedded.sell(ORDERS)
    process = embedded.start("up")
    embedded.wait_for_effects(2)
    process.send_signal(number)
    assert process.wait(ENOUGH_SECONDS) == 0
    assert "running" not in embedded.states()
    assert set(embedded.outcomes()) <= {"ok"}
    embedded.start("up")
    embedded.wait_until_done(ORDERS)


@pytest.mark.parametrize("command", ["worker", "beat"])
def test_process_is_refused_when_the_broker_is_in_memory(embedded: Product, command: str) -> None:
    process = embedded.start(command)
    assert process.wait(ENOUGH_SECONDS) == 2
    assert "cartbridge up" in embedded.log_of(process)


def test_worker_waits_for_the_broker_when_it_is_away_at_the_start(product: Product, redis_server: RedisServer) -> None:
    redis_server.stop()
    product.sell(2)
    worker = product.start("worker")
    beat = product.start("beat")
    wait_until(lambda: "learningcart" in product.log_of(worker) or "offers" in product.log_of(worker))
    redis_server.start()
    product.wait_until_done(2)
    assert worker.poll() is None
    assert beat.poll() is None
