from __future__ import annotations

import json

import pytest

from tests.integration.cli.conftest import Run
from tests.unit.worker.ledger.rows import add_delivery, add_order, add_run, minutes_ago
from worker.ledger.session import Ledger
from worker.ledger.views import history as story


def test_the_story_ends_in_one_thing_to_do_when_access_is_missing(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection, at=minutes_ago(60 * 24))
        add_delivery(connection, "d1", at=minutes_ago(1))
        add_delivery(connection, "d2", at=minutes_ago(2), via="poll")
        failed = add_run(connection, state="failed", reason="refused", note="no [bold]such[/bold] group\x1b[2J")
    result = run("why", "jane@example.com")
    assert result.exit_code == 0
    assert "✗ jane@example.com has no access" in result.stdout
    assert "To do:" in result.stdout
    assert f"cartbridge replay {failed}" in " ".join(result.stdout.replace("│", " ").split())
    assert "2025-03-03" in result.stdout
    assert "11:59:00 · A webhook told of order studiocart/1109." in result.stdout
    assert "[bold]such[/bold]" in result.stdout
    assert "\x1b[2J" not in result.stdout
    reported = json.loads(run("why", "studiocart/1109", "--json").stdout)
    assert (reported["tone"], reported["omitted"], len(reported["timeline"])) == ("bad", 0, 3)


def test_nothing_is_to_be_done_when_access_was_given(run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "_MOST_LINES", 1)
    with ledger.write() as connection:
        add_order(connection)
        add_delivery(connection, "d1")
        add_run(connection, state="succeeded")
    result = run("why", "studiocart/1109")
    assert "✓ jane@example.com has access" in result.stdout
    assert "To do" not in result.stdout
    assert "1 older line left out" in result.stderr


def test_the_exit_code_is_1_when_nobody_knows_the_name(run: Run, ledger: Ledger) -> None:
    result = run("why", "jane@example.com")
    assert (result.exit_code, "no learner 'jane@example.com'" in result.stderr) == (1, True)
    assert "There is no learner, order or run 'nobody' in the ledger." in run("why", "nobody").stderr
    assert "cartbridge ingest SOURCE ORDER" in run("why", "nobody").stderr
    assert "There is no run 'nobody' in the ledger. See: cartbridge runs list" in run("runs", "show", "nobody").stderr


def test_the_one_that_is_meant_is_answered_for_when_a_part_names_it(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection, buyer_name="Jane Doé", buyer_email="jane@example.com")
        add_run(connection, state="succeeded", result_id="90001", finished_at=minutes_ago(1))
    for part in ("1109", "90001", "doe", "JANE", "jane@exam"):
        result = run("why", part, "--json")
        assert result.exit_code == 0, part
        assert json.loads(result.stdout)["orders"][0]["order_id"] == "1109", part


def test_whom_it_may_be_is_listed_when_a_part_names_several(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection, buyer_name="Jane Doe")
        add_order(connection, "1110", buyer_name="Jane Smith")
    result = run("why", "jane")
    assert result.exit_code == 0
    assert "studiocart/1109" in result.stdout
    assert "studiocart/1110" in result.stdout
    assert "Jane Smith" in result.stdout
    matches = json.loads(run("why", "jane", "--json").stdout)["matches"]
    assert {order["order_id"] for order in matches["orders"]} == {"1109", "1110"}
    assert run("why", "nobody at all").exit_code == 1


def test_times_are_read_and_shown_in_the_operators_zone_when_it_is_set(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARTBRIDGE_TIME_ZONE", "Asia/Kolkata")
    with ledger.write() as connection:
        add_order(connection, at=minutes_ago(60 * 16))
        # 2025-03-03 20:00 UTC, which is the next day in Kolkata.
        run_id = add_run(connection, at=minutes_ago(960), state="succeeded", finished_at=minutes_ago(960))
    story = run("why", "jane@example.com").stdout
    assert "2025-03-04 Asia/Kolkata" in " ".join(story.split())
    assert "01:30:00" in story
    assert "2025-03-04 01:30:00 IST" in run("runs", "show", run_id).stdout
    for since, is_listed in (("2025-03-04T01:30", True), ("2025-03-04T01:31", False), ("2025-03-03T20:01Z", False)):
        assert (run_id in run("runs", "list", "--since", since, "--json").stdout) is is_listed, since
    assert "2025-03-03T20:00:00Z" in run("runs", "show", run_id, "--json").stdout
