from __future__ import annotations

import json

import pytest

from tests.integration.cli.conftest import Run
from tests.unit.worker.ledger.rows import (
    NOW,
    add_breaker,
    add_cursor,
    add_delivery,
    add_order,
    add_pause,
    add_run,
    add_watch,
    minutes_ago,
)
from worker.ledger.session import Ledger
from worker.ledger.views.page.today import under_way
from workflows.monitoring.alerts import problems


def test_status_is_calm_when_there_is_nothing_to_do(run: Run, ledger: Ledger) -> None:
    result = run("status")
    assert result.exit_code == 0
    assert "Nothing needs a person." in result.stdout
    assert "none" in result.stdout
    assert json.loads(run("status", "--json").stdout)["runs"]["succeeded"] == 0


def test_status_says_what_needs_a_person_when_something_does(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        add_run(connection, state="review", reason="unmapped_product", next_attempt_at=None)
        add_run(connection, seat="seat-2", state="failed", reason=None, next_attempt_at=None)
        add_run(connection, seat="seat-3", at=minutes_ago(90))
        add_delivery(connection, "d1", state="waiting", next_attempt_at=minutes_ago(1))
        add_pause(connection, reason="maintenance", system="frontcore")
        add_cursor(connection, last_error="boom", failures=3, last_success_at=minutes_ago(5))
        add_cursor(connection, source="frontcore")
    result = run("status")
    for text in (
        "review: unmapped_product",
        "failed: no reason",
        "No offer and no ignore",
        "runs: 1, the oldest for",
        "deliveries: 1",
        "is a worker running?",
        "frontcore is paused since",
        "maintenance",
        "cartbridge resume frontcore",
        "boom",
        "never",
    ):
        assert text in result.stdout


def test_status_says_when_polls_are_late_and_orders_stay_away(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_cursor(connection)
        add_watch(connection, "studiocart", late_since=minutes_ago(90), silent_since=minutes_ago(90))
    shown = run("status").stdout
    assert "No poll of studiocart has succeeded since" in shown
    assert "No new order from studiocart since" in shown


def test_webhooks_that_nobody_looks_at_are_due(run: Run, ledger: Ledger) -> None:
    """As they come: received, and without a time. For hours without a worker they were told as nothing."""
    with ledger.write() as connection:
        add_delivery(connection, "d1", state="received", next_attempt_at=None, received_at=minutes_ago(90))
        assert [problem.key for problem in problems(connection, NOW)] == ["behind/deliveries"]
    shown = " ".join(run("status").stdout.split())
    assert "deliveries: 1, the oldest for" in shown
    assert "is a worker running?" in shown


def test_status_says_that_nobody_asks_a_source_any_more(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beat, whose task calls a source late, may be what stands still."""
    monkeypatch.setenv("CARTBRIDGE_STUDIOCART__BASE_URL", "https://shop.example.test/wp-json/sc/v1")
    monkeypatch.setenv("CARTBRIDGE_STUDIOCART__API_KEY", "planted-key")
    with ledger.write() as connection:
        add_cursor(connection, last_success_at=minutes_ago(90), last_attempt_at=minutes_ago(90))
    assert "Nobody has asked studiocart since" in run("status").stdout
    with ledger.write() as connection:
        add_pause(connection, system="studiocart")
    assert "Nobody has asked" not in run("status").stdout


def test_status_says_since_when_a_destination_is_down_and_blames_no_worker(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        add_run(connection, at=minutes_ago(90))
        add_breaker(connection)
    shown = " ".join(run("status").stdout.split())
    assert "learningcart is down since 2025-03-04 11:30 UTC" in shown
    assert "it is asked at once by: cartbridge resume learningcart" in shown
    assert "is a worker running?" not in shown
    (found,) = json.loads(run("status", "--json").stdout)["breakers"]
    assert (found["system"], found["state"], found["since"]) == ("learningcart", "open", "2025-03-04T11:30:00Z")
    assert found["sentence"].startswith("learningcart is down since")


def test_no_worker_is_blamed_when_a_destination_is_paused(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        add_run(connection, at=minutes_ago(90))
        assert under_way(connection, NOW, most_counted=10).late == 1
        assert [problem.key for problem in problems(connection, NOW)] == ["behind"]
        add_pause(connection, reason="maintenance")
        assert under_way(connection, NOW, most_counted=10).late == 0
        assert problems(connection, NOW) == []
    assert "is a worker running?" not in run("status").stdout


def test_what_needs_a_person_has_the_whole_width_when_the_terminal_has_80_columns(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.cli.output.PIPED_WIDTH", 80)
    with ledger.write() as connection:
        add_order(connection)
        add_cursor(connection, last_error="ServerError: studiocart answered HTTP 503", failures=3)
        for seat in ("seat-2", "seat-3"):
            add_run(connection, seat=seat, state="review", reason="unnamed_seat", next_attempt_at=None)
    lines = run("status").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "      The seat was bought, but the order names nobody for it." in [line.rstrip() for line in lines]
    assert any(line.startswith("   2  review: unnamed_seat, of 1 order, oldest ") for line in lines)
    assert "studiocart, last error: studiocart answered HTTP 503" in lines
