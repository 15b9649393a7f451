"""Completions from LearningCart's report over HTTP to a receiver whose webhook fails twice before it takes anything."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from standardwebhooks.webhooks import Webhook
from werkzeug import Request, Response

from tasks.follow_on import poll_completions
from tasks.notifications import deliver_events
from tests.faults.harness.product import HandClock, Rig
from worker.ledger.follow_on.completions import list_completions
from worker.ledger.session import Ledger
from worker.sandbox import Fault, Sandbox
from workflows.monitoring.event_delivery import LONGEST_WAIT_SECONDS

SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"


class Receiver:
    """Verifies what it is sent, and fails as often as it is told to before it takes anything."""

    def __init__(self) -> None:
        self.failures = 2
        self.asked: list[tuple[str, bytes]] = []
        self.taken: dict[str, dict[str, object]] = {}

    def __call__(self, request: Request) -> Response:
        body = request.get_data()
        event = Webhook(SECRET).verify(body, dict(request.headers))
        event_id = request.headers["webhook-id"]
        self.asked.append((event_id, body))
        if len(self.asked) <= self.failures:
            return Response("not now", 503)
        self.taken[event_id] = event
        return Response(status=204)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


NewRig = Callable[[], Rig]


@pytest.fixture
def new_rig(database_url: str, tmp_path: Path, httpserver: HTTPServer, receiver: Receiver) -> Iterator[NewRig]:
    """Makes processes on one ledger and one sandbox, whose events go to the receiver."""
    httpserver.expect_request("/in", method="POST").respond_with_handler(receiver)
    ledger = Ledger(database_url)
    ledger.migrate()
    ledger.close()
    opened: list[Rig] = []
    clock = HandClock()
    with Sandbox.start() as sandbox:

        def make() -> Rig:
            rig = Rig(
                sandbox,
                database_url,
                tmp_path,
                clock=clock,
                CARTBRIDGE_EVENTS__WEBHOOK_URL=httpserver.url_for("/in"),
                CARTBRIDGE_EVENTS__WEBHOOK_SECRET=SECRET,
            )
            opened.append(rig)
            return rig

        yield make
        for rig in opened:
            rig.close()


def poll(rig: Rig) -> None:
    """One poll, when beat asks an interval after the last."""
    rig.clock.move(rig.settings.learningcart.poll_seconds)
    rig.runtime.app.tasks[poll_completions.name].apply(throw=True)


def deliver(rig: Rig) -> None:
    """One sweep of the outbox, when every wait is over."""
    rig.clock.move(LONGEST_WAIT_SECONDS)
    rig.runtime.app.tasks[deliver_events.name].apply(throw=True)


def listed(rig: Rig) -> list[tuple[str, str, str, int | None]]:
    with rig.ledger.read() as connection:
        rows = list(list_completions(connection))
    return [(row.email, row.course_id, row.state, row.score) for row in rows]


def test_each_fact_reaches_the_receiver_once_when_a_learner_begins_and_completes(
    new_rig: NewRig, receiver: Receiver
) -> None:
    rig = new_rig()
    site = rig.sandbox.learningcart
    began_at = datetime.now(UTC) - timedelta(hours=3)
    jane = site.add_customer("Jane@Example.test", FirstName="Jane", LastName="Doe")
    site.add_completion(jane.id, 77, started_at=began_at)
    poll(rig)
    assert listed(rig) == [("Jane@Example.test", "77", "began", None)]
    site.add_completion(jane.id, 77, started_at=began_at, completed_at=began_at + timedelta(hours=2), score=95)
    for _ in range(3):
        poll(rig)
    assert listed(rig) == [("Jane@Example.test", "77", "completed", 95)]
    other = new_rig()
    for _ in range(4):
        deliver(rig)
        deliver(other)
    assert len(receiver.asked) == 4
    assert {len({body for event_id, body in receiver.asked if event_id == each}) for each in receiver.taken} == {1}
    reported = sorted((event["type"], event["data"]) for event in receiver.taken.values())
    assert [kind for kind, _ in reported] == ["completion.began", "completion.completed"]
    data = reported[1][1]
    assert isinstance(data, dict)
    assert (data["email"], data["customer_id"], data["course_id"], data["score"]) == (
        "Jane@Example.test",
        str(jane.id),
        "77",
        95,
    )
    trail = [row for row in rig.rows("events") if row["kind"].startswith("completion_")]
    assert [row["kind"] for row in trail] == ["completion_began", "completion_completed"]
    assert "example.test" not in str(trail).casefold()
    assert SECRET not in rig.everything_stored()


@pytest.mark.parametrize(("form", "keys", "dates"), [("xml", "joined", "wcf_offset"), ("json", "spaced", "iso")])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_each_fact_is_one_when_the_site_writes_otherwise(new_rig: NewRig, form: str, keys: str, dates: str) -> None:
    rig = new_rig()
    config = rig.sandbox.config.learningcart
    config.form, config.keys, config.dates = form, keys, dates  # type: ignore[assignment]
    site = rig.sandbox.learningcart
    began_at = datetime.now(UTC) - timedelta(days=3)
    jane = site.add_customer("jane@example.test")
    site.add_completion(jane.id, 77, started_at=began_at)
    site.add_completion(jane.id, 77, started_at=began_at, completed_at=began_at + timedelta(days=1), score=95)
    site.add_completion(jane.id, 77, started_at=began_at + timedelta(days=1))
    poll(rig)
    assert sorted(state for _, _, state, _ in listed(rig)) == ["began", "completed"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_completions_are_found_when_the_site_is_back(new_rig: NewRig) -> None:
    rig = new_rig()
    jane = rig.sandbox.learningcart.add_customer("jane@example.test")
    rig.sandbox.learningcart.add_completion(jane.id, 77)
    rig.sandbox.inject(Fault("learningcart", "getCompletions", kind="status", status=503, times=None))
    poll(rig)
    asked = rig.count("getCompletions")
    assert (asked, listed(rig)) == (1, [])
    rig.sandbox.clear_faults()
    poll(rig)
    assert len(listed(rig)) == 1
