from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from tasks.notifications import deliver_events
from tasks.runtime import Runtime
from tests.unit.workflows.fakes.storefront import NOW, rows
from worker.broker.app import create_celery
from worker.clients.events import EventsClient
from worker.ledger.outbox import add_event
from worker.ledger.tables.runs import outbox
from worker.settings.notifications import EventsSettings
from worker.settings.settings import Settings

URL = SecretStr("https://hooks.example.test/in")
SECRET = SecretStr("whsec_" + "A" * 40)


EVENTS = EventsSettings(webhook_url=URL, webhook_secret=SECRET)


def deliver(runtime: Runtime) -> None:
    runtime.app.tasks[deliver_events.name].apply(throw=True)


def test_events_are_sent_when_somebody_is_to_be_told(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []

    def hear(client: EventsClient, event_id: str, body: str) -> None:
        heard.append(event_id)

    monkeypatch.setattr(EventsClient, "send", hear)
    with runtime.ledger.write() as connection:
        event_id = add_event(connection, "completion.began", {}, now=NOW)
    deliver(runtime)
    assert heard == []
    runtime.settings = runtime.settings.model_copy(update={"events": EVENTS})
    deliver(runtime)
    assert heard == [event_id]
    assert rows(runtime.ledger, outbox)[0].state == "sent"


def test_beat_sweeps_the_outbox_when_somebody_is_to_be_told_only(settings: Settings) -> None:
    def schedule(**changes: Any) -> Any:
        return create_celery(settings.model_copy(update=changes)).conf.beat_schedule

    assert schedule(events=EVENTS)["deliver_events"]["task"] == deliver_events.name
    assert "deliver_events" not in schedule()
    assert "deliver_events" not in schedule(events=EventsSettings(webhook_url=URL))
