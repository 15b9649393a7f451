"""Alerts over real HTTP: what the ledger says is wrong reaches a receiver once, and the day is summed up."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from pytest_httpserver import HTTPServer
from sqlalchemy import insert, update
from sqlalchemy.exc import OperationalError
from werkzeug import Request, Response

from tasks.control import watch_sources
from tasks.notifications import alert
from tasks.runtime import Runtime
from tests.unit.workflows.fakes.storefront import NOW, Clock, FakeSource, an_order, record, rows
from worker.broker.app import create_celery
from worker.clients.alerts import AlertsClient
from worker.errors import ApiError, ConfigurationError
from worker.ledger.tables.periodic import alert_states
from worker.ledger.tables.runs import breakers, cursors, pauses, runs
from worker.settings.notifications import AlertsSettings
from worker.settings.settings import Settings
from workflows.monitoring.alerts import problems
from workflows.monitoring.outage_alarm import LEDGER_AWAY_ALARM, OutageAlarm

TOKEN = "planted-token-of-a-chat"


@pytest.fixture
def heard(httpserver: HTTPServer) -> list[dict[str, Any]]:
    """What a receiver at `/{TOKEN}` is told."""
    messages: list[dict[str, Any]] = []

    def take(request: Request) -> Response:
        messages.append(request.get_json())
        return Response("ok")

    httpserver.expect_request(f"/{TOKEN}", method="POST").respond_with_handler(take)
    return messages


@pytest.fixture
def alerting(runtime: Runtime, httpserver: HTTPServer) -> Runtime:
    """A runtime that tells the receiver."""
    url = f"json://127.0.0.1:{httpserver.port}/{TOKEN}"
    options = AlertsSettings(urls=SecretStr(url), page_url="https://bridge.example")
    runtime.settings = runtime.settings.model_copy(update={"alerts": options})
    return runtime


def look(runtime: Runtime) -> None:
    runtime.app.tasks[alert.name].apply(throw=True)


def trouble(runtime: Runtime) -> None:
    """A review, credentials that are refused, and a destination that is down."""
    with runtime.ledger.write() as connection:
        down = {"state": "open", "allowance": 0, "failures": 5, "failing_run_ids": []}
        connection.execute(insert(breakers).values(system="learningcart", opened_at=NOW - timedelta(hours=1), **down))
        connection.execute(
            insert(pauses).values(system="threedcart", kind="authentication", reason="401", actor="engine", since=NOW)
        )
    record(runtime.ledger, an_order())
    with runtime.ledger.write() as connection:
        connection.execute(update(runs).values(state="review", reason="unmapped_product"))


def test_trouble_is_told_once_when_it_lasts(alerting: Runtime, heard: list[dict[str, Any]], clock: Clock) -> None:
    look(alerting)
    assert heard == []
    trouble(alerting)
    look(alerting)
    clock.advance(seconds=600)
    look(alerting)
    (message,) = heard
    assert message["title"] == ("Cartbridge: threedcart refuses our credentials: nothing is sent to it, and 2 more")
    assert "learningcart is down since" in message["message"]
    assert "https://bridge.example/runs?state=review&reason=unmapped_product" in message["message"]
    assert "@" not in message["message"]


def test_a_source_that_nobody_asks_any_more_has_no_failing_polls(runtime: Runtime, source: FakeSource) -> None:
    """One that was paused or taken out of the settings while its polls failed was told of day by day."""

    def failing() -> list[str]:
        runtime.app.tasks[watch_sources.name].apply(throw=True)
        with runtime.ledger.read() as connection:
            return [problem.key for problem in problems(connection, NOW)]

    source.put(an_order())
    source.broken = ApiError("the site is down", system="studiocart", operation="list", status=503, retryable=True)
    for _ in range(3):
        runtime.poller("studiocart").poll()
    with runtime.ledger.write() as connection:
        connection.execute(insert(cursors).values(source="frontcore", position={}, failures=3, last_error="HTTP 503"))
    assert failing() == ["failing/studiocart"]
    runtime.operations.pause("studiocart", actor="operator:ann")
    assert failing() == []


def test_alert_is_told_later_when_nobody_took_it(
    alerting: Runtime, heard: list[dict[str, Any]], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    trouble(alerting)
    options = alerting.settings.alerts
    away = AlertsSettings(urls=SecretStr(f"json://127.0.0.1:9/{TOKEN}"))
    alerting.settings = alerting.settings.model_copy(update={"alerts": away})
    look(alerting)
    assert "no receiver took the alert: 1 (json)" in caplog.text
    assert TOKEN not in caplog.text
    alerting.settings = alerting.settings.model_copy(update={"alerts": options})
    clock.advance(seconds=60)
    look(alerting)
    assert len(heard) == 1


def test_day_is_summed_up_once_when_its_hour_has_come(
    alerting: Runtime, heard: list[dict[str, Any]], clock: Clock
) -> None:
    look(alerting)  # begins to count the days
    record(alerting.ledger, an_order())
    with alerting.ledger.write() as connection:
        connection.execute(update(runs).values(state="succeeded", result_id="7", finished_at=NOW))
    seven = datetime(2026, 10, 4, 7, 1, tzinfo=NOW.tzinfo)
    clock.advance(seconds=(seven - clock()).total_seconds() % 86_400)
    look(alerting)
    look(alerting)
    (message,) = heard
    assert message["title"] == "Cartbridge: 1 enrolled, nothing needs you"
    assert message["message"].splitlines()[:3] == ["The last 24 hours:", "- 1 new order", "- 1 enrolment succeeded"]


def test_nobody_is_told_when_another_process_tells(alerting: Runtime, heard: list[dict[str, Any]]) -> None:
    trouble(alerting)
    with alerting.ledger.write() as connection:
        row = {"name": "operator", "document": {}, "lease_holder": "another"}
        connection.execute(insert(alert_states).values(**row, lease_until=NOW + timedelta(seconds=10)))
    look(alerting)
    assert heard == []
    assert rows(alerting.ledger, alert_states)[0].lease_holder == "another"


def test_beat_looks_when_there_is_somebody_to_tell_only(settings: Settings) -> None:
    options = AlertsSettings(urls=SecretStr("json://127.0.0.1:9/"))
    on = create_celery(settings.model_copy(update={"alerts": options})).conf.beat_schedule
    assert on["alert"]["task"] == alert.name
    assert "alert" not in create_celery(settings).conf.beat_schedule


def test_message_reaches_the_others_when_one_receiver_is_away(
    httpserver: HTTPServer, heard: list[dict[str, Any]]
) -> None:
    client = AlertsClient([f"json://127.0.0.1:9/{TOKEN}", f"json://127.0.0.1:{httpserver.port}/{TOKEN}"])
    assert client.send("title", "text") == ["1 (json)"]
    assert heard[0]["title"] == "title"
    assert TOKEN not in repr(client)


def test_message_is_refused_when_nobody_takes_it(httpserver: HTTPServer) -> None:
    httpserver.expect_request(f"/{TOKEN}").respond_with_data("no", status=500)
    client = AlertsClient([f"json://127.0.0.1:{httpserver.port}/{TOKEN}"])
    with pytest.raises(ApiError, match=r"1 \(json\)") as refused:
        client.send("title", "text")
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("addresses", [[], ["nonsense"], ["json://127.0.0.1:9/", f"no-such://{TOKEN}"]])
def test_address_is_refused_when_it_is_none(addresses: list[str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        AlertsClient(addresses)
    assert TOKEN not in str(refused.value)


def test_addresses_are_read_one_by_one_when_they_are_set_together() -> None:
    text = " mailto://a:b,c@host?to=x@y,z@y, slack://A/B/C  json://h "
    assert AlertsSettings(urls=SecretStr(text)).addresses == [
        "mailto://a:b,c@host?to=x@y,z@y",
        "slack://A/B/C",
        "json://h",
    ]
    assert AlertsSettings().addresses == []


def test_ledger_that_cannot_be_used_is_told_and_so_is_its_end(
    alerting: Runtime, heard: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk at night: nothing that is noted in the ledger could tell of it."""
    seconds = [0.0]
    alarm = OutageAlarm(LEDGER_AWAY_ALARM, repeat_seconds=86_400, clock=alerting.clock, seconds=lambda: seconds[0])
    monkeypatch.setattr(alerting, "ledger_alarm", alarm)

    def full(**_: Any) -> None:
        raise OperationalError(None, None, sqlite3.OperationalError("database or disk is full"))

    with monkeypatch.context() as night:
        night.setattr(alerting.ledger, "write", full)
        for _ in range(60):
            look(alerting)
            seconds[0] += 60.0
    (message,) = heard
    assert "the ledger cannot be used" in message["title"]
    assert "cartbridge check" in message["message"]
    look(alerting)
    look(alerting)
    assert [each["title"] for each in heard[1:]] == ["Cartbridge: over: the ledger cannot be used"]
