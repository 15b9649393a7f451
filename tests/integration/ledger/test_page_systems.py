from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert

from tests.integration.web.filling import add_attempt, add_delivery, add_order, add_run
from tests.unit.worker.ledger.rows import add_list_poll, add_watch
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import breakers, cursors, pauses
from worker.ledger.views.page.systems import systems
from worker.ledger.views.serializers import to_json

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def ago(**length: float) -> datetime:
    return NOW - timedelta(**length)


def shown(ledger: Ledger) -> dict[str, dict[str, Any]]:
    with ledger.read() as connection:
        found = to_json(systems(connection, NOW, sources=["studiocart", "frontcore"], destinations=["learningcart"]))
    assert [each["system"] for each in found] == sorted(each["system"] for each in found)
    return {each["system"]: each for each in found}


def test_systems_are_well_and_never_met_when_nothing_has_happened(ledger: Ledger) -> None:
    found = shown(ledger)
    assert list(found) == ["frontcore", "learningcart", "studiocart"]
    assert found["frontcore"] == {
        "system": "frontcore",
        "is_source": True,
        "is_destination": False,
        "state": "well",
        "last_contact_at": None,
        "asked": 0,
        "failed": 0,
        "error_rate": None,
        "last_error": None,
        "pause": None,
        "breaker": None,
        "late_since": None,
        "silent_since": None,
    }


def test_errors_of_the_last_hour_are_counted_when_calls_were_made(ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection, "1109", NOW)
        add_run(connection, "r1", NOW, system="learningcart")
        add_run(connection, "r2", NOW, system=None)
        add_attempt(connection, "r2", 1, ago(minutes=1), outcome="final")  # of no system
        add_attempt(connection, "r1", 1, ago(hours=2), outcome="final")
        add_attempt(connection, "r1", 2, ago(minutes=40))
        add_attempt(connection, "r1", 3, ago(minutes=30), outcome="retryable", http_status=503)
        add_attempt(connection, "r1", 4, ago(minutes=20), outcome="absent", kind="lookup")
        add_attempt(connection, "r1", 5, ago(minutes=10), outcome="unknown", http_status=None)
        add_attempt(connection, "r1", 6, ago(minutes=9), outcome="retryable", kind="death", http_status=None)
    found = shown(ledger)["learningcart"]
    assert (found["asked"], found["failed"], found["error_rate"]) == (4, 2, 0.5)
    assert found["last_contact_at"] == "2026-03-04T04:46:07Z"


def test_sources_tell_of_polls_and_webhooks_when_there_were_some(ledger: Ledger) -> None:
    with ledger.write() as connection:
        for row in (
            {"source": "studiocart", "position": {}, "failures": 0, "last_success_at": ago(hours=3)},
            {"source": "frontcore", "position": {}, "failures": 4, "last_error": "no answer", "last_success_at": None},
        ):
            connection.execute(insert(cursors).values(row))
        add_watch(connection, "frontcore", late_since=ago(hours=1))
        add_watch(connection, "studiocart", silent_since=ago(days=1))
        completions = {"failures": 1, "last_error": "a refusal", "last_success_at": ago(minutes=7)}
        add_list_poll(connection, "learningcart", "completions", **completions)
        add_delivery(connection, "d1", ago(minutes=5))
        add_delivery(connection, "d2", ago(minutes=4), via="poll", state="waiting")
        add_delivery(connection, "d3", ago(hours=4), via="webhook", state="review")
    found = shown(ledger)
    assert found["studiocart"]["last_contact_at"] == "2026-03-04T05:01:07Z"
    assert (found["studiocart"]["asked"], found["studiocart"]["failed"]) == (2, 1)
    assert (found["studiocart"]["state"], found["studiocart"]["silent_since"]) == ("quiet", "2026-03-03T05:06:07Z")
    assert (found["frontcore"]["state"], found["frontcore"]["last_error"]) == ("late", "no answer")
    assert found["learningcart"]["last_contact_at"] == "2026-03-04T04:59:07Z"
    assert found["learningcart"]["last_error"] == "a refusal"


def test_worst_state_is_shown_when_a_system_is_paused_or_down(ledger: Ledger) -> None:
    row = {"probe_at": NOW, "allowance": 0, "failures": 5, "failing_run_ids": [], "last_error": "no answer"}
    with ledger.write() as connection:
        for system in ("learningcart", "threedcart"):
            connection.execute(insert(breakers).values({**row, "system": system, "state": "open", "opened_at": NOW}))
        pause = {"kind": "operator", "reason": "moving", "actor": "operator:Ann", "since": NOW}
        connection.execute(insert(pauses).values(system="threedcart", **pause))
    found = shown(ledger)
    assert {name: each["state"] for name, each in found.items()} == {
        "frontcore": "well",
        "learningcart": "down",
        "studiocart": "well",
        "threedcart": "paused",
    }
    assert "learningcart is down since 2026-03-04 05:06 UTC (no answer)" in found["learningcart"]["breaker"]
    assert found["threedcart"]["pause"]["reason"] == "moving"
    assert not found["threedcart"]["is_destination"]
