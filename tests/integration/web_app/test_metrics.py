from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert
from structlog.testing import capture_logs

from tests.unit.worker.ledger.rows import add_bare_run, add_list_poll, add_order, add_watch
from tests.unit.worker.web.asking import NOW, SECRET, AppClient, ClientMaker, RecordingDispatcher, post, settings_with
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import attempts, breakers, cursors, deliveries, outbox, pauses
from worker.web.app import create_app
from worker.web.metrics.access_latency import AccessLatency
from worker.web.metrics.ledger_metrics import LedgerCollector

EMAIL = "planted@learner.example"


@pytest.fixture
def client(client_with: ClientMaker) -> AppClient:
    """A client of an app that has counted nothing yet."""
    return client_with()


def samples(client: AppClient) -> dict[tuple[str, tuple[str, ...]], float]:
    """The values, by name and labels; labels come in the order of their names."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def add_run(ledger: Ledger, number: int, state: str, **values: Any) -> None:
    with ledger.write() as connection:
        if number == 1:
            add_order(connection, "1109", NOW, buyer_email=EMAIL, buyer_email_key=EMAIL)
        given = {"state": state, "key": f"studiocart/1109/{number}", "line_id": "1", "email": EMAIL} | values
        add_bare_run(connection, f"run{number}", NOW, **given)


def test_ledger_is_told_when_it_is_scraped(client: AppClient, ledger: Ledger) -> None:
    add_run(ledger, 1, "succeeded")
    add_run(ledger, 2, "waiting", next_attempt_at=NOW - timedelta(seconds=90))
    add_run(ledger, 3, "waiting", next_attempt_at=NOW + timedelta(seconds=90))
    add_run(ledger, 4, "review", workflow="revocation")
    add_run(ledger, 5, "pending", created_at=NOW - timedelta(seconds=30))
    with ledger.write() as connection:
        connection.execute(insert(cursors).values(source="studiocart", position={}, failures=0, last_success_at=NOW))
        connection.execute(insert(cursors).values(source="frontcore", position={}, failures=3))
        add_watch(connection, "studiocart", silent_since=NOW)
        add_list_poll(connection, "learningcart", "completions", last_success_at=NOW)
        add_list_poll(connection, "studiocart", "subscriptions", last_success_at=NOW - timedelta(days=9))
        connection.execute(
            insert(pauses).values(system="learningcart", kind="operator", reason="x", actor=EMAIL, since=NOW)
        )
        connection.execute(
            insert(deliveries).values(
                id="d", source="studiocart", via="poll", actor="source", state="planned", received_at=NOW
            )
        )

    found = samples(client)

    assert found["cartbridge_ledger_up", ()] == 1
    assert found["cartbridge_runs", ("succeeded", "enrolment")] == 1
    assert found["cartbridge_runs", ("waiting", "enrolment")] == 2
    assert found["cartbridge_runs", ("review", "revocation")] == 1
    assert found["cartbridge_deliveries", ("planned",)] == 1
    assert found["cartbridge_oldest_due_run_seconds", ()] == 90
    assert found["cartbridge_last_successful_poll_timestamp_seconds", ("studiocart",)] == NOW.timestamp()
    assert ("cartbridge_last_successful_poll_timestamp_seconds", ("frontcore",)) not in found
    assert found["cartbridge_source_poll_late", ("studiocart",)] == 0
    assert found["cartbridge_source_silent", ("studiocart",)] == 1
    assert found["cartbridge_system_paused", ("operator", "learningcart")] == 1
    assert EMAIL not in client.get("/metrics").text
    assert "1109" not in client.get("/metrics").text


@pytest.mark.parametrize(("state", "value"), [("open", 1), ("closed", None)])
def test_system_is_told_to_be_down_when_its_breaker_is_open(
    client: AppClient, ledger: Ledger, state: str, value: int | None
) -> None:
    row = {"system": "learningcart", "state": state, "allowance": 0, "failures": 5, "failing_run_ids": []}
    with ledger.write() as connection:
        connection.execute(insert(breakers).values(**row))
    assert samples(client).get(("cartbridge_breaker_open", ("learningcart",))) == value


def test_pending_run_is_due_since_it_was_made_when_it_has_no_time(client: AppClient, ledger: Ledger) -> None:
    add_run(ledger, 1, "pending", created_at=NOW - timedelta(seconds=30))
    assert samples(client)["cartbridge_oldest_due_run_seconds", ()] == 30


def test_nothing_is_due_when_the_ledger_is_empty(client: AppClient) -> None:
    assert samples(client)["cartbridge_oldest_due_run_seconds", ()] == 0


def test_webhooks_are_counted_when_they_were_answered(client_with: ClientMaker, ledger: Ledger) -> None:
    client = client_with()
    post(client, {"id": 1})
    post(client, {"event": "lead"})
    post(client, {"id": 1}, headers={})
    post(client, {"id": 1}, source="planted")
    post(client, {"id": "planted"})
    client.post("/webhooks/studiocart", content=b"{", headers={"Content-Type": "application/json", **SECRET})
    found = samples(client)
    counted = {labels: value for (name, labels), value in found.items() if name == "cartbridge_webhooks_total"}
    assert counted == {
        ("accepted", "studiocart"): 1,
        ("ignored", "studiocart"): 1,
        ("unauthenticated", "studiocart"): 1,
        ("unknown_source", "unknown"): 1,
        ("no_order_id", "studiocart"): 1,
        ("malformed", "studiocart"): 1,
    }
    assert "planted" not in client.get("/metrics").text
    names = {name for name, _ in found}
    assert "cartbridge_http_request_duration_seconds_count" in names


def test_refusals_are_counted_when_a_stranger_or_the_ledger_causes_them(client: AppClient, ledger: Ledger) -> None:
    for _ in range(31):
        post(client, {"id": 1}, headers={})
    with ledger.write() as connection:
        connection.exec_driver_sql("DROP TABLE deliveries")
    post(client, {"id": 1})
    text = client.get("/metrics").text
    assert 'cartbridge_webhooks_total{outcome="limited",source="studiocart"} 1.0' in text
    assert 'cartbridge_webhooks_total{outcome="ledger_unavailable",source="studiocart"} 1.0' in text


def test_counters_are_told_when_the_ledger_is_down(tmp_path: Path, dispatcher: RecordingDispatcher) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}")
    client = AppClient(create_app(settings_with(), ledger, dispatcher, clock=lambda: NOW))
    client.get("/livez")
    with capture_logs() as lines:
        found = samples(client)
    assert found["cartbridge_ledger_up", ()] == 0
    assert not any(name == "cartbridge_runs" for name, _ in found)
    assert any(name == "cartbridge_http_request_duration_seconds_count" for name, _ in found)
    assert lines[0]["event"] == "ledger unavailable"
    client.close()
    ledger.close()


def test_ledger_is_read_once_when_it_is_scraped_often(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    now, took, reads = 100.0, 0.0, 0
    collector = LedgerCollector(ledger, clock=lambda: NOW, monotonic=lambda: now)
    read = collector._read

    def count() -> list[Metric]:
        nonlocal reads, now
        reads, now = reads + 1, now + took
        return read()

    monkeypatch.setattr(collector, "_read", count)
    first = list(collector.collect())
    now = 109.0
    assert list(collector.collect()) == first
    assert reads == 1
    now, took = 110.0, 1.0
    list(collector.collect())
    assert reads == 2
    # A ledger that takes long is given rest.
    now = 129.0
    list(collector.collect())
    assert reads == 2
    now = 130.0
    list(collector.collect())
    assert reads == 3


def test_what_needs_a_person_is_told_by_reason_when_runs_wait_for_one(client: AppClient, ledger: Ledger) -> None:
    add_run(ledger, 1, "review", reason="unmapped_product", updated_at=NOW - timedelta(hours=2))
    add_run(ledger, 2, "review", reason="unmapped_product")
    add_run(ledger, 3, "failed", updated_at=NOW - timedelta(seconds=5))
    add_run(ledger, 4, "succeeded")

    found = samples(client)

    counts = {labels: value for (name, labels), value in found.items() if name == "cartbridge_needs_person"}
    ages = {labels: value for (name, labels), value in found.items() if name.endswith("_person_oldest_seconds")}
    assert counts == {("unmapped_product", "review"): 2, ("", "failed"): 1}
    assert ages == {("unmapped_product", "review"): 7200, ("", "failed"): 5}


def test_calls_of_the_last_hour_are_told_by_step_and_outcome_when_they_were_made(
    client: AppClient, ledger: Ledger
) -> None:
    add_run(ledger, 1, "running")
    rows = [
        ("add_customer", 1, "ok", 1),
        ("add_customer_to_group", 1, "ok", 1),
        ("add_customer_to_group_2", 1, "ok", 1),
        ("add_comped_order", 1, "unknown", 61),
        ("add_comped_order", 2, None, 1),
    ]
    with ledger.write() as connection:
        for step, number, outcome, minutes in rows:
            row = {"run_id": "run1", "step": step, "number": number, "kind": "call", "generation": 0, "fence": 1}
            at = NOW - timedelta(minutes=minutes)
            connection.execute(insert(attempts).values(**row, holder="", outcome=outcome, started_at=at))

    found = samples(client)

    assert {labels: value for (name, labels), value in found.items() if name == "cartbridge_calls_last_hour"} == {
        ("ok", "add_customer"): 1,
        ("ok", "add_customer_to_group"): 2,
        ("open", "add_comped_order"): 1,
    }


def test_unsent_events_are_told_when_a_receiver_does_not_take_them(client: AppClient, ledger: Ledger) -> None:
    with ledger.write() as connection:
        for number, state in enumerate(["pending", "pending", "failed", "sent"]):
            at = NOW - timedelta(seconds=10 * number)
            row = {"id": str(number), "kind": "x", "payload": {}, "state": state, "attempts": 1, "created_at": at}
            connection.execute(insert(outbox).values(**row))

    found = samples(client)

    assert found["cartbridge_outbox_events", ("pending",)] == 2
    assert found["cartbridge_outbox_events", ("failed",)] == 1
    assert found["cartbridge_outbox_oldest_pending_seconds", ()] == 10


def test_latency_counts_each_success_once_when_it_was_seen_to_happen(ledger: Ledger) -> None:
    with ledger.write() as connection:
        for number, seconds in enumerate((7, 4000)):
            at = NOW - timedelta(seconds=seconds)
            row = {"id": f"d{number}", "source": "studiocart", "via": "poll", "actor": "source", "state": "planned"}
            connection.execute(insert(deliveries).values(**row, received_at=at))
    done: dict[str, Any] = {"result_id": "7", "finished_at": NOW}
    add_run(ledger, 1, "succeeded", delivery_id="d0", **done)
    latency = AccessLatency()

    def read(after: timedelta) -> dict[str, float]:
        with ledger.read() as connection:
            metric = latency.read(connection, NOW + after)
        return {sample.labels.get("le", sample.name): sample.value for sample in metric.samples}

    assert read(timedelta(0))["+Inf"] == 0  # it was there before this process
    add_run(ledger, 2, "succeeded", delivery_id="d0", **done)
    add_run(ledger, 3, "succeeded", delivery_id="d1", **done)
    add_run(ledger, 4, "succeeded", delivery_id="d0", finished_at=NOW)  # resolved by hand
    for seconds in (10, 20):
        found = read(timedelta(seconds=seconds))
        assert (found["5.0"], found["10.0"], found["3600.0"], found["14400.0"], found["+Inf"]) == (0, 1, 1, 2, 2)
        assert found["cartbridge_order_to_access_seconds_sum"] == 4007


@pytest.mark.parametrize(("depths", "is_up"), [({"control": 0, "learningcart": 3}, 1), (None, 0)])
def test_broker_is_told_when_it_can_be_asked(
    ledger: Ledger, dispatcher: RecordingDispatcher, depths: dict[str, int] | None, is_up: int
) -> None:
    app = create_app(settings_with(), ledger, dispatcher, clock=lambda: NOW, queue_depths=lambda: depths)
    client = AppClient(app)
    found = samples(client)
    client.close()
    assert found["cartbridge_broker_up", ()] == is_up
    assert found.get(("cartbridge_queue_messages", ("learningcart",))) == (3 if depths else None)


def test_apps_do_not_share_their_counters_when_there_are_two(client_with: ClientMaker) -> None:
    first, second = client_with(), client_with()
    post(first, {"id": 1})
    assert "accepted" in first.get("/metrics").text
    assert "accepted" not in second.get("/metrics").text


def test_orders_no_webhook_told_of_are_counted_when_webhooks_are_expected(ledger: Ledger) -> None:
    collector = LedgerCollector(ledger, clock=lambda: NOW, webhook_sources=["studiocart"])
    found = {metric.name: metric.samples for metric in collector.collect()}
    (sample,) = found["cartbridge_orders_missed_by_webhook"]
    assert (sample.labels, sample.value) == ({"source": "studiocart"}, 0)
    without = LedgerCollector(ledger, clock=lambda: NOW)
    assert "cartbridge_orders_missed_by_webhook" not in {metric.name for metric in without.collect()}
