"""A ledger that takes no writes, and clocks that jump: each says so clearly, and nothing is lost or done twice."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, OperationalError

from tests.faults.harness.deployment import LEASE_SECONDS, SETTLE_SECONDS
from tests.faults.harness.product import (
    ON_SQLITE,
    HandClock,
    Killed,
    NewRig,
    Rig,
    assert_succeeded_once,
    die,
    let_lease_end,
)
from tests.unit.worker.web.asking import AppClient
from worker.ledger.tables.runs import deliveries
from worker.sandbox import Fault
from worker.web.app import create_app

pytestmark = pytest.mark.faults

HOUR_SECONDS = 3600
CARTBRIDGE = Path(sys.executable).with_name("cartbridge")


class Refusal:
    """What a ledger says to every transaction of a process from `begin` to `end`."""

    def __init__(self, rig: Rig, on: str, off: str | None) -> None:
        self._statement: str | None = None
        self._on, self._off = on, off
        # Before the transaction, which may be refused as well; for the session: a statement alone has no transaction.
        event.listen(rig.ledger.engine, "checkout", self._on_checkout)

    def _on_checkout(self, connection: Any, _record: Any, _proxy: Any) -> None:
        if self._statement is not None:
            connection.execute(self._statement)

    def begin(self) -> None:
        self._statement = self._on

    def end(self) -> None:
        self._statement = self._off


@pytest.fixture
def read_only(rig: Rig) -> Refusal:
    """The ledger can be read and not be written: a read-only file, a database that is a standby now."""
    if rig.ledger.is_sqlite:
        return Refusal(rig, "PRAGMA query_only=ON", "PRAGMA query_only=OFF")
    read_only = "SET default_transaction_read_only = {0}; SET transaction_read_only = {0}"
    return Refusal(rig, read_only.format("on"), read_only.format("off"))


@pytest.fixture
def full_disk(rig: Rig) -> Refusal:
    """The ledger's file cannot grow any more."""
    return Refusal(rig, "PRAGMA max_page_count=1", f"PRAGMA max_page_count={2**30}")


@pytest.fixture
def client(rig: Rig) -> Iterator[AppClient]:
    client = AppClient(create_app(rig.settings, rig.ledger, rig.runtime.dispatcher, clock=rig.clock))
    yield client
    client.close()


def post(client: AppClient, rig: Rig, order_id: int) -> Any:
    secret = rig.settings.studiocart.webhook_secret
    assert secret is not None
    return client.post(
        "/webhooks/studiocart", json={"id": order_id}, headers={"X-Webhook-Secret": secret.get_secret_value()}
    )


def delivered(rig: Rig) -> list[str | None]:
    with rig.ledger.read() as connection:
        return [row.order_id for row in connection.execute(deliveries.select().order_by(deliveries.c.received_at))]


# A ledger that takes no writes


def test_webhook_is_refused_and_sent_again_when_the_ledger_takes_no_writes(
    rig: Rig, client: AppClient, read_only: Refusal
) -> None:
    read_only.begin()
    refused = post(client, rig, 7001)
    assert (refused.status_code, refused.headers["Content-Type"]) == (503, "application/problem+json")
    assert refused.headers["Retry-After"] == "5"
    assert refused.json()["detail"].startswith("The ledger cannot be used at the moment, and nothing was done.")
    assert delivered(rig) == []
    read_only.end()
    assert post(client, rig, 7001).status_code == 202
    assert delivered(rig) == ["7001"]


@ON_SQLITE
def test_every_webhook_is_kept_or_refused_when_the_disk_fills_up(
    rig: Rig, client: AppClient, full_disk: Refusal
) -> None:
    full_disk.begin()
    answers = {order_id: post(client, rig, order_id).status_code for order_id in range(7001, 7101)}
    assert set(answers.values()) == {202, 503}
    accepted = [str(order_id) for order_id, status in answers.items() if status == 202]
    assert sorted(filter(None, delivered(rig))) == accepted
    full_disk.end()
    assert post(client, rig, 7100).status_code == 202


@pytest.mark.parametrize(
    ("refused_from", "orders_made"),
    [("the claim", 0), ("add_customer", 0), ("add_customer_to_group", 0), ("add_comp_order", 1)],
)
def test_run_is_done_once_when_the_ledger_takes_no_writes_from_some_point_on(
    rig: Rig, read_only: Refusal, refused_from: str, orders_made: int
) -> None:
    run_id = rig.enrol()
    if refused_from == "the claim":
        read_only.begin()
    else:
        rig.after_call(refused_from, read_only.begin)
    with pytest.raises(DBAPIError):
        rig.work(run_id)
    assert len(rig.comped_orders) == orders_made
    let_lease_end(rig)
    with pytest.raises(DBAPIError):
        rig.sweep()
    read_only.end()
    rig.finish()
    assert_succeeded_once(rig, run_id)


@ON_SQLITE
def test_every_run_is_done_once_when_the_disk_fills_up_under_them(rig: Rig, full_disk: Refusal) -> None:
    run_ids = [rig.enrol(number, email=f"learner-{number}@example.test") for number in range(7001, 7021)]
    full_disk.begin()
    refused = 0
    for run_id in run_ids:
        try:
            rig.work(run_id)
        except OperationalError as error:
            assert "full" in str(error.orig)  # noqa: PT017  (how many fail is for the disk to say)
            refused += 1
    assert refused > 0
    full_disk.end()
    let_lease_end(rig)
    rig.finish()
    assert [rig.state(run_id) for run_id in run_ids] == [("succeeded", None)] * 20
    assert len(rig.comped_orders) == 20


def test_sweep_says_so_in_one_line_when_the_ledger_takes_no_writes(
    rig: Rig, read_only: Refusal, caplog: pytest.LogCaptureFixture
) -> None:
    rig.enrol()
    sent_before = list(rig.dispatcher.sent)
    read_only.begin()
    with caplog.at_level(logging.ERROR):
        rig.runtime.app.tasks["cartbridge.dispatch_due"].apply(throw=True)
    (reported,) = caplog.records
    assert reported.message.startswith("cartbridge.dispatch_due: the ledger cannot be used (")
    assert "read" in reported.message
    assert "\n" not in reported.message
    assert reported.exc_info is None
    assert rig.dispatcher.sent == sent_before
    read_only.end()
    assert len(rig.sweep()) == 1


@ON_SQLITE
@pytest.mark.parametrize(
    "command",
    ["status", "ingest studiocart 7001", "pause learningcart", "runs list", "replay --state failed", "check", "up"],
)
def test_command_names_the_next_step_when_nothing_can_be_written_to_the_disk(
    rig: Rig, ledger_url: str, command: str
) -> None:
    rig.sell(7001)
    rig.close()
    environment = rig.sandbox.environment(
        systems=("learningcart", "studiocart"),
        CARTBRIDGE_DATABASE_URL=ledger_url,
        CARTBRIDGE_OFFERS_FILE=str(rig.settings.offers_file),
    )
    # A file may not grow beyond nothing: for SQLite the same as a disk that is full. Coverage would write one too.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    limited = f"ulimit -f 0; exec {shlex.quote(str(CARTBRIDGE))} {command}"
    ended = subprocess.run(
        ["/bin/sh", "-c", limited],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**inherited, **environment},
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, said
    assert "Traceback" not in said
    assert "cartbridge check" in said or command == "check"
    assert str(environment["CARTBRIDGE_LEARNINGCART__PASSWORD"]) not in said


# Clocks that jump


@contextmanager
def jumping(rig: Rig, seconds: float) -> Iterator[None]:
    """The clock is set ahead (or back), and right again afterwards."""
    rig.clock.move(seconds)
    yield
    rig.clock.move(-seconds)


def own_clock(rig: Rig, *, ahead_seconds: float = 0) -> HandClock:
    clock = HandClock()
    clock.move((rig.clock() - clock()).total_seconds() + ahead_seconds)
    return clock


def test_order_is_made_once_when_the_clock_jumps_ahead_during_the_call(rig: Rig) -> None:
    run_id = rig.enrol()

    def jump_and_sweep() -> None:
        rig.clock.move(HOUR_SECONDS)
        assert rig.sweep() == []
        row = rig.run(run_id)
        assert row["state"] == "waiting"
        assert (row["lane_shut_until"] - rig.clock()).total_seconds() == SETTLE_SECONDS

    rig.after_last_check("add_comp_order", jump_and_sweep)
    rig.work(run_id)
    assert rig.count("getOrdersByDate") == 0
    rig.finish()
    assert_succeeded_once(rig, run_id)


@pytest.mark.parametrize("seconds", [HOUR_SECONDS, -HOUR_SECONDS])
@pytest.mark.parametrize("method", ["add_customer", "add_customer_to_group", "add_comp_order"])
def test_order_is_made_once_when_one_processs_clock_jumps_between_two_calls(
    rig: Rig, new_rig: NewRig, method: str, seconds: float
) -> None:
    run_id = rig.enrol()
    other = new_rig(clock=own_clock(rig))

    def jump_while_another_looks() -> None:
        rig.clock.move(seconds)
        other.sweep_quietly()

    rig.after_call(method, jump_while_another_looks)
    rig.work(run_id)
    other.go_on()
    other.clock.move(HOUR_SECONDS + LEASE_SECONDS)
    other.finish()
    assert_succeeded_once(other, run_id)


def test_lease_is_not_shortened_for_others_when_its_holders_clock_is_set_back(rig: Rig, new_rig: NewRig) -> None:
    run_id = rig.enrol()
    other = new_rig(clock=own_clock(rig))
    held = rig.claim_before_order(run_id)
    until = held.lease_until
    rig.clock.move(-HOUR_SECONDS)
    looks: list[str] = []

    def look() -> None:
        other.sweep_quietly()
        looks.append(other.run(run_id)["state"])

    rig.after_last_check("add_comp_order", look)
    rig.perform(held)
    assert (looks, held.lease_until) == (["running"], until)
    assert_succeeded_once(rig, run_id)


@ON_SQLITE
def test_nothing_is_sent_when_the_clock_was_set_back_and_the_lease_has_ended_meanwhile(rig: Rig) -> None:
    run_id = rig.enrol()
    held = rig.claim_before_order(run_id)
    executor: Any = rig.executor
    passed: Callable[[], float] = executor._monotonic

    def set_back_and_slow() -> None:
        rig.clock.move(-HOUR_SECONDS)
        executor._monotonic = lambda: passed() + LEASE_SECONDS

    rig.before_call("add_comp_order", set_back_and_slow)
    assert not rig.perform(held)
    assert rig.state(run_id) == ("waiting", "lease_short")
    assert rig.comped_orders == []
    executor._monotonic = passed
    rig.clock.move(HOUR_SECONDS)
    rig.finish()
    assert_succeeded_once(rig, run_id)


def test_run_waits_no_longer_than_the_jump_when_the_clock_was_ahead_for_a_while(rig: Rig) -> None:
    run_id = rig.enrol()
    rig.sandbox.inject(Fault("learningcart", "addCustomer", status=503, when="before"))
    before = rig.clock()
    with jumping(rig, HOUR_SECONDS):
        rig.go_on()
    assert rig.state(run_id) == ("waiting", "retrying")
    assert rig.sweep() == []
    waits = (rig.run(run_id)["next_attempt_at"] - before).total_seconds()
    assert HOUR_SECONDS <= waits <= HOUR_SECONDS + 10
    rig.runtime.operations.replay(run_id, actor="operator:test")  # who does not want to wait
    rig.go_on()
    assert_succeeded_once(rig, run_id)


@ON_SQLITE
def test_message_is_sent_again_when_a_clock_that_was_ahead_had_sent_it_and_it_was_lost(rig: Rig) -> None:
    run_id = rig.enrol()
    with jumping(rig, HOUR_SECONDS):
        assert rig.sweep() == [run_id]
    assert rig.sweep() == [run_id]


def test_vanished_holders_run_waits_for_its_lease_when_the_holders_clock_was_ahead(rig: Rig, new_rig: NewRig) -> None:
    run_id = rig.enrol()
    ahead = new_rig(clock=own_clock(rig, ahead_seconds=HOUR_SECONDS))
    ahead.after_call("add_comp_order", die)
    with pytest.raises(Killed):
        ahead.work(run_id)
    let_lease_end(rig)
    rig.go_on()
    assert rig.run(run_id)["state"] == "running"
    rig.clock.move(HOUR_SECONDS)
    rig.finish()
    assert_succeeded_once(rig, run_id)
    assert rig.outcomes(run_id) == [("call", "unknown"), ("lookup", "adopted")]
