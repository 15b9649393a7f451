"""The doorbell: chains from the ledger's position, and peace when nobody hears it. A real Redis is in `integration`."""

from __future__ import annotations

import logging

import pytest

from tasks.dispatch import Doorbell
from tasks.runtime import Runtime
from tests.unit.workflows.fakes.learningcart import a_run, before_the_order, work
from tests.unit.workflows.fakes.storefront import an_order, record, run_of

Published = list[tuple[str, tuple[str, ...]]]


@pytest.fixture
def broken(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The broker is away; a word for each time somebody tried to reach it."""
    tried: list[str] = []

    def refuse(*_: object, **__: object) -> None:
        tried.append("tried")
        raise ConnectionRefusedError("redis://:secret@broker.example/0")

    monkeypatch.setattr(runtime.app, "connection_for_write", refuse)
    return tried


def test_each_rings_its_own_task_when_asked(runtime: Runtime, published: Published) -> None:
    doorbell = Doorbell(runtime.app, runtime.ledger)
    assert doorbell.ring_order("studiocart", "1109")
    assert doorbell.ring_poll("studiocart")
    assert doorbell.ring_sweep()
    assert published == [
        ("cartbridge.ingest", ("studiocart", "1109")),
        ("cartbridge.poll", ("studiocart",)),
        ("cartbridge.dispatch_due", ()),
    ]
    assert doorbell.broker_ok()


def test_one_message_a_run_is_sent_in_the_order_given(runtime: Runtime, published: Published) -> None:
    first = a_run(runtime.ledger)
    record(runtime.ledger, an_order("1110"))
    second = run_of(runtime.ledger, "1110/1107/buyer/501").id
    assert Doorbell(runtime.app, runtime.ledger).ring_runs([second, first])
    assert published == [
        ("cartbridge.enrolment.add_customer", (second,)),
        ("cartbridge.enrolment.add_customer", (first,)),
    ]


def test_chain_begins_at_the_first_open_step_when_some_are_done(runtime: Runtime, published: Published) -> None:
    run_id = a_run(runtime.ledger)
    runtime.executor.let_go(before_the_order(runtime.executor, run_id))
    assert Doorbell(runtime.app, runtime.ledger).ring_runs([run_id])
    assert published == [("cartbridge.enrolment.add_comped_order", (run_id,))]


def test_nothing_is_sent_when_nothing_is_left_to_do(runtime: Runtime, published: Published) -> None:
    run_id = a_run(runtime.ledger)
    work(runtime.executor, run_id)
    doorbell = Doorbell(runtime.app, runtime.ledger)
    assert doorbell.ring_runs([run_id, "no-such-run"])
    assert doorbell.ring_runs([])
    assert published == []


def test_ring_is_lost_in_peace_when_the_broker_is_away(
    runtime: Runtime, broken: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    run_id = a_run(runtime.ledger)
    doorbell = Doorbell(runtime.app, runtime.ledger)
    with caplog.at_level(logging.WARNING):
        assert not doorbell.ring_runs([run_id])
    assert len(broken) == 1
    assert not doorbell.broker_ok()
    assert "ConnectionRefusedError" in caplog.text
    assert "secret" not in caplog.text


def test_nobody_waits_for_a_dead_broker_when_it_has_just_failed(runtime: Runtime, broken: list[str]) -> None:
    now = [100.0]
    doorbell = Doorbell(runtime.app, runtime.ledger, now=lambda: now[0])
    assert not any(doorbell.ring_sweep() for _ in range(5))
    assert len(broken) == 1
    now[0] += 1.0
    assert not doorbell.ring_sweep()
    assert len(broken) == 2


def test_every_other_run_is_tried_when_one_ring_was_lost(
    runtime: Runtime, broken: list[str], published: Published
) -> None:
    first = a_run(runtime.ledger)
    times = iter([0.0, 0.0, 10.0, 10.0])
    doorbell = Doorbell(runtime.app, runtime.ledger, now=lambda: next(times))
    record(runtime.ledger, an_order("1110"))
    assert not doorbell.ring_runs([first, run_of(runtime.ledger, "1110/1107/buyer/501").id])
    assert len(broken) == 2
