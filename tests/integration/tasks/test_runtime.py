"""The runtime: what it is made of, and ingesting one order by name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC

import pytest
from pydantic import SecretStr

from tasks.runtime import Runtime
from tests.unit.workflows.fakes.storefront import FakeSource, an_order, rows
from worker.errors import ApiTimeoutError, ConfigurationError
from worker.ledger.clock import utc_now
from worker.ledger.tables.runs import deliveries, orders, runs
from worker.settings.settings import Settings, load_settings
from worker.sources.frontcore import FrontcoreSource
from worker.sources.order import Payment
from worker.sources.source import SubscriptionFoundError

ME = "operator:ann"


def test_clock_is_aware_and_utc_when_nothing_else_is_asked_for() -> None:
    assert utc_now().tzinfo is UTC


def test_systems_are_off_when_they_are_not_configured() -> None:
    runtime = Runtime(load_settings({}, env_file=None))
    assert (runtime.clients, runtime.sources) == ({}, {})
    with pytest.raises(ConfigurationError, match="studiocart is not configured"):
        runtime.poller("studiocart")
    with pytest.raises(ConfigurationError, match="studiocart is not configured"):
        runtime.ingest("studiocart", "1109", actor=ME)
    runtime.close()


def test_systems_are_on_when_they_are_configured(new_runtime: Callable[[], Runtime]) -> None:
    runtime = new_runtime()
    assert sorted(runtime.clients) == ["learningcart", "studiocart"]
    assert list(runtime.sources) == ["studiocart"]
    assert runtime.poller("studiocart") is not runtime.poller("studiocart")


def test_frontcore_is_a_source_when_it_is_configured(settings: Settings) -> None:
    account = settings.frontcore.model_copy(
        update={"api_key": SecretStr("not-a-key"), "provision_when": "created", "baseline_days": 7}
    )
    runtime = Runtime(settings.model_copy(update={"frontcore": account}))
    try:
        source = runtime.sources["frontcore"]
        assert isinstance(source, FrontcoreSource)
        assert source.from_body({"id": 1, "lines": [{"id": 2}]}).payment is Payment.PAID
        assert runtime.policies["frontcore"].baseline_days == 7
        assert runtime.poller("frontcore") is not runtime.poller("frontcore")
    finally:
        runtime.close()


def test_holders_differ_when_processes_do(new_runtime: Callable[[], Runtime]) -> None:
    assert new_runtime().holder != new_runtime().holder


def test_deadline_is_both_timeouts_together_when_a_call_is_made(runtime: Runtime, settings: Settings) -> None:
    learningcart = settings.learningcart
    expected = learningcart.connect_timeout_seconds + learningcart.read_timeout_seconds
    assert runtime.executor._timing.deadline_seconds("learningcart") == expected


def test_order_is_planned_and_sent_when_it_is_ingested(
    runtime: Runtime, source: FakeSource, published: list[tuple[str, tuple[str, ...]]]
) -> None:
    source.put(an_order())
    result = runtime.ingest("studiocart", "1109", actor=ME)
    assert (result.ok, result.state, result.order_id) == (True, "planned", "1109")
    (run,) = rows(runtime.ledger, runs)
    assert result.created == (run.id,)
    assert published == [("cartbridge.enrolment.add_customer", (run.id,))]
    (delivery,) = rows(runtime.ledger, deliveries)
    assert (delivery.id, delivery.via, delivery.actor) == (result.delivery_id, "manual", ME)
    assert result.plan_lines[0].startswith("give ")


def test_nothing_new_is_sent_when_an_order_is_ingested_again(
    runtime: Runtime, source: FakeSource, published: list[tuple[str, tuple[str, ...]]]
) -> None:
    source.put(an_order())
    runtime.ingest("studiocart", "1109", actor=ME)
    published.clear()
    again = runtime.ingest("studiocart", "1109", actor=ME)
    assert (again.ok, again.created, again.plan_lines) == (True, (), ())
    assert published == []


def test_nothing_is_written_when_it_is_a_dry_run(
    runtime: Runtime, source: FakeSource, published: list[tuple[str, tuple[str, ...]]]
) -> None:
    source.put(an_order())
    result = runtime.ingest("studiocart", "1109", actor=ME, dry_run=True)
    assert (result.ok, result.state, result.delivery_id) == (True, "planned", None)
    assert result.plan_lines
    assert rows(runtime.ledger, deliveries) == rows(runtime.ledger, orders) == []
    assert published == []


def test_unpaid_order_waits_for_news_when_it_is_ingested(runtime: Runtime, source: FakeSource) -> None:
    source.put(an_order(payment=Payment.WAITING))
    result = runtime.ingest("studiocart", "1109", actor=ME)
    assert (result.ok, result.state, result.reason) == (True, "waiting", "awaiting_payment")


def test_delivery_waits_with_a_reason_when_the_source_is_down(runtime: Runtime, source: FakeSource) -> None:
    source.broken = ApiTimeoutError("no answer in time", system="studiocart", operation="order")
    result = runtime.ingest("studiocart", "1109", actor=ME)
    assert (result.ok, result.state, result.reason) == (False, "waiting", "source_unreachable")
    assert "no answer in time" in (result.note or "")


def test_delivery_is_ignored_by_name_when_the_source_knows_no_such_order(runtime: Runtime) -> None:
    result = runtime.ingest("studiocart", "4711", actor=ME)
    assert (result.ok, result.state, result.reason) == (False, "ignored", "order_not_found")


def test_delivery_shares_the_answer_when_another_process_reads_the_order(runtime: Runtime, source: FakeSource) -> None:
    source.put(an_order())
    inner = []

    def meanwhile(order_id: str) -> None:
        source.during_fetch = lambda _: None
        inner.append(runtime.ingest("studiocart", order_id, actor="operator:bob"))

    source.during_fetch = meanwhile
    assert runtime.ingest("studiocart", "1109", actor=ME).ok
    (shared,) = inner
    assert shared.ok
    assert len(rows(runtime.ledger, runs)) == 1


def test_parts_are_let_go_when_it_is_closed(new_runtime: Callable[[], Runtime]) -> None:
    runtime = new_runtime()
    closed = []
    for name, client in runtime.clients.items():
        client.close = lambda name=name: closed.append(name)
    runtime.close()
    assert sorted(closed) == ["learningcart", "studiocart"]


def test_every_task_is_there_before_a_thread_is_started(runtime: Runtime) -> None:
    """Celery finalizes an application on first use; two threads at once could leave it without its tasks."""
    assert runtime.app.finalized
    names = {name for name in runtime.app.tasks if name.startswith("cartbridge.")}
    assert {"cartbridge.dispatch_due", "cartbridge.ingest", "cartbridge.poll"} <= names


def test_a_dry_run_says_what_the_look_says_when_the_number_is_a_subscriptions(
    runtime: Runtime, source: FakeSource
) -> None:
    """It said that the source does not know the order, and to check the number."""

    def is_subscription(order_id: str) -> None:
        raise SubscriptionFoundError(f"{order_id} is a subscription, not an order")

    source.during_fetch = is_subscription
    dry, done = (runtime.ingest("studiocart", "1108", actor=ME, dry_run=dry_run) for dry_run in (True, False))
    assert (
        (dry.state, dry.ok, dry.reason) == (done.state, done.ok, done.reason) == ("ignored", False, "subscription_news")
    )
    assert (dry.note, dry.delivery_id) == (done.note, None)
