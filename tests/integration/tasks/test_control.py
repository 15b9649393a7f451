"""`dispatch_due`: what a sweep finds, what it sends, and that doubling it harms nothing."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from celery.contrib.testing.mocks import TaskMessage

from tasks.control import sweep
from tasks.runtime import Runtime
from tests.unit.workflows.fakes.learningcart import KEY, LEASE_SECONDS, a_run, claimed
from tests.unit.workflows.fakes.storefront import NOW, Clock, rows, run_of
from worker.broker.app import create_celery
from worker.ledger.offers_in_force import offers_in_force_row
from worker.ledger.orders import order_rows
from worker.ledger.periodic.source_watches import watches
from worker.ledger.states import Via
from worker.ledger.tables.runs import orders, pauses, runs
from worker.settings.settings import load_settings

Published = list[tuple[str, tuple[str, ...]]]


def test_nothing_is_sent_when_nothing_is_due(runtime: Runtime, published: Published) -> None:
    runtime.app.tasks["cartbridge.dispatch_due"].apply(throw=True)
    assert published == []


def test_due_run_is_sent_once_when_sweeps_are_doubled(runtime: Runtime, published: Published, clock: Clock) -> None:
    run_id = a_run(runtime.ledger)
    for _ in range(2):
        runtime.app.tasks["cartbridge.dispatch_due"].apply(throw=True)
    assert published == [("cartbridge.enrolment.add_customer", (run_id,))]
    clock.advance(seconds=10)
    sweep(runtime)
    assert len(published) == 2


@pytest.mark.parametrize(("seconds", "is_late"), [(5, False), (11, True)])
def test_message_is_too_late_by_the_clock_that_all_share_and_not_by_a_machines_own(
    runtime: Runtime, clock: Clock, seconds: int, *, is_late: bool
) -> None:
    """This machine's is months ahead of the ledger's. By its own it dropped every sweep, and no retry was made."""
    task = runtime.app.tasks["cartbridge.dispatch_due"]
    message = TaskMessage(task.name)
    message.headers["expires"] = (runtime.app.now() + timedelta(seconds=10)).isoformat()
    clock.advance(seconds=seconds)
    assert bool(task.Request(message, app=runtime.app).revoked()) is is_late


def test_hint_is_sent_when_it_is_due(runtime: Runtime, published: Published, clock: Clock) -> None:
    with runtime.ledger.write() as connection:
        for _ in range(3):
            order_rows.insert_delivery(
                connection, source="studiocart", order_id="1109", via=Via.WEBHOOK, actor="source", now=clock()
            )
    sweep(runtime)
    assert published == [("cartbridge.ingest", ("studiocart", "1109"))]


def test_run_is_taken_over_when_its_lease_has_ended(
    runtime: Runtime, published: Published, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = a_run(runtime.ledger)
    claimed(runtime.executor, run_id)
    clock.advance(seconds=LEASE_SECONDS)
    with caplog.at_level(logging.WARNING):
        sweep(runtime)
    assert published == [("cartbridge.enrolment.add_customer", (run_id,))]
    assert run_of(runtime.ledger, KEY).state == "waiting"
    assert "took over 1 run whose" in caplog.text


def test_nothing_is_sent_to_a_destination_when_it_is_paused(runtime: Runtime, published: Published) -> None:
    a_run(runtime.ledger)
    with runtime.ledger.write() as connection:
        connection.execute(
            pauses.insert().values(system="learningcart", kind="operator", reason="", actor="operator:ann", since=NOW)
        )
    sweep(runtime)
    assert published == []


def put_off(runtime: Runtime) -> None:
    with runtime.ledger.write() as connection:
        connection.execute(orders.update().values(replan_at=NOW))
        connection.execute(runs.update().values(state="cancelled", cancelled_by="source", next_attempt_at=None))


def test_order_is_looked_at_again_when_its_last_plan_left_something(runtime: Runtime, published: Published) -> None:
    run_id = a_run(runtime.ledger)
    put_off(runtime)
    sweep(runtime)
    assert published == [("cartbridge.enrolment.add_customer", (run_id,))]
    (order,) = rows(runtime.ledger, orders)
    assert order.replan_at is None


def test_order_is_planned_again_by_the_last_valid_rules_when_the_offers_file_is_broken(
    runtime: Runtime, published: Published
) -> None:
    sweep(runtime)  # keeps the rules
    run_id = a_run(runtime.ledger)
    put_off(runtime)
    runtime.settings.offers_file.write_text("[[offer]]\nnonsense = 1\n")
    sweep(runtime)
    assert published == [("cartbridge.enrolment.add_customer", (run_id,))]
    (order,) = rows(runtime.ledger, orders)
    assert order.replan_at is None
    with runtime.ledger.read() as connection:
        row = offers_in_force_row(connection)
    assert row is not None
    assert "offers.toml" in (row.problem or "")


def test_nothing_happens_when_an_order_to_look_at_is_gone(
    runtime: Runtime, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_run(runtime.ledger)
    put_off(runtime)
    monkeypatch.setattr(type(runtime.delivery_reader), "replan", lambda *_, **__: None)
    sweep(runtime)
    assert published == []


def test_sources_are_watched_when_they_are_on(runtime: Runtime) -> None:
    for _ in range(2):
        runtime.app.tasks["cartbridge.watch_sources"].apply(throw=True)
    with runtime.ledger.read() as connection:
        assert list(watches(connection)) == ["studiocart"]
    assert runtime.app.conf.beat_schedule["watch_sources"]["task"] == "cartbridge.watch_sources"


def test_nothing_is_watched_when_no_source_is_on() -> None:
    schedule = create_celery(load_settings({}, env_file=None)).conf.beat_schedule
    assert "watch_sources" not in schedule
    assert "backfill" in schedule  # what was asked for of a source that is off by now is to end
