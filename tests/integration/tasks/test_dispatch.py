"""The dispatcher: chains from the position in the ledger, and peace when the broker is away."""

from __future__ import annotations

import logging

import pytest

from tasks.dispatch import Dispatcher
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


def test_each_sends_its_own_task_when_asked(runtime: Runtime, published: Published) -> None:
    dispatcher = Dispatcher(runtime.app, runtime.ledger)
    assert dispatcher.send_order("studiocart", "1109")
    assert dispatcher.send_poll("studiocart")
    assert dispatcher.send_sweep()
    assert published == [
        ("cartbridge.ingest", ("studiocart", "1109")),
        ("cartbridge.poll", ("studiocart",)),
        ("cartbridge.dispatch_due", ()),
    ]
    assert dispatcher.broker_ok()


def test_one_message_a_run_is_sent_in_the_order_given(runtime: Runtime, published: Published) -> None:
    first = a_run(runtime.ledger)
    record(runtime.ledger, an_order("1110"))
    second = run_of(runtime.ledger, "1110/1107/buyer/501").id
    assert Dispatcher(runtime.app, runtime.ledger).send_runs([second, first])
    assert published == [
        ("cartbridge.enrolment.add_customer", (second,)),
        ("cartbridge.enrolment.add_customer", (first,)),
    ]


def test_chain_begins_at_the_first_open_step_when_some_are_done(runtime: Runtime, published: Published) -> None:
    run_id = a_run(runtime.ledger)
    runtime.executor.let_go(before_the_order(runtime.executor, run_id))
    assert Dispatcher(runtime.app, runtime.ledger).send_runs([run_id])
    assert published == [("cartbridge.enrolment.add_comped_order", (run_id,))]


def test_nothing_is_sent_when_nothing_is_left_to_do(runtime: Runtime, published: Published) -> None:
    run_id = a_run(runtime.ledger)
    work(runtime.executor, run_id)
    dispatcher = Dispatcher(runtime.app, runtime.ledger)
    assert dispatcher.send_runs([run_id, "no-such-run"])
    assert dispatcher.send_runs([])
    assert published == []


def test_message_is_lost_in_peace_when_the_broker_is_away(
    runtime: Runtime, broken: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    run_id = a_run(runtime.ledger)
    dispatcher = Dispatcher(runtime.app, runtime.ledger)
    with caplog.at_level(logging.WARNING):
        assert not dispatcher.send_runs([run_id])
    assert len(broken) == 1
    assert not dispatcher.broker_ok()
    assert "ConnectionRefusedError" in caplog.text
    assert "secret" not in caplog.text


def test_nobody_waits_for_a_dead_broker_when_it_has_just_failed(runtime: Runtime, broken: list[str]) -> None:
    now = [100.0]
    dispatcher = Dispatcher(runtime.app, runtime.ledger, now=lambda: now[0])
    assert not any(dispatcher.send_sweep() for _ in range(5))
    assert len(broken) == 1
    now[0] += 1.0
    assert not dispatcher.send_sweep()
    assert len(broken) == 2


def test_every_other_run_is_tried_when_one_message_was_lost(
    runtime: Runtime, broken: list[str], published: Published
) -> None:
    first = a_run(runtime.ledger)
    times = iter([0.0, 0.0, 10.0, 10.0])
    dispatcher = Dispatcher(runtime.app, runtime.ledger, now=lambda: next(times))
    record(runtime.ledger, an_order("1110"))
    assert not dispatcher.send_runs([first, run_of(runtime.ledger, "1110/1107/buyer/501").id])
    assert len(broken) == 2
