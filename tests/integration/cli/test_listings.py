"""The read side and the operator's commands on both databases, through the real command line."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from tests.unit.worker.ledger.rows import (
    add_attempt,
    add_cursor,
    add_delivery,
    add_event,
    add_order,
    add_run,
    minutes_ago,
)
from worker.cli.app import app
from worker.ledger.session import Ledger
from worker.ledger.views.listing import list_deliveries, list_orders, list_runs
from worker.ledger.views.lookup import find_runs, suggestions


@pytest.fixture
def ledger(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    monkeypatch.setenv("CARTBRIDGE_DATABASE_URL", database_url)
    opened = Ledger(database_url)
    opened.migrate()
    yield opened
    opened.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_every_listing_pages_without_gaps_when_rows_share_a_moment(ledger: Ledger) -> None:
    with ledger.write() as connection:
        for number in range(7):
            add_order(connection, str(number), at=minutes_ago(number // 3))
            add_run(connection, str(number), at=minutes_ago(number // 3))
            add_delivery(connection, f"d{number}", at=minutes_ago(number // 3))
    with ledger.read() as connection:
        whole_runs = [row.id for row in list_runs(connection)]
        whole_orders = [row.name for row in list_orders(connection)]
        whole_deliveries = [row.id for row in list_deliveries(connection)]
        for place in range(7):
            runs = list_runs(connection, after=whole_runs[place], limit=2)
            assert [row.id for row in runs] == whole_runs[place + 1 : place + 3]
            orders = list_orders(connection, after=whole_orders[place])
            assert [row.name for row in orders] == whole_orders[place + 1 :]
            deliveries = list_deliveries(connection, after=whole_deliveries[place])
            assert [row.id for row in deliveries] == whole_deliveries[place + 1 :]
        assert find_runs(connection, whole_runs[0][:12]) != []
        assert suggestions(connection, "jnae@example.com") == ["jane@example.com"]
    assert len(set(whole_runs)) == len(set(whole_orders)) == len(set(whole_deliveries)) == 7


def test_the_operator_finds_and_mends_a_failed_run_when_the_phone_rings(ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        add_delivery(connection, "delivery-1")
        add_cursor(connection, last_success_at=minutes_ago(1))
        failed = add_run(
            connection, state="failed", reason="refused", note="InvalidRequestError: no group 12", next_attempt_at=None
        )
        add_attempt(connection, failed, "add_customer_to_group", outcome="final", http_status=200, error="no group 12")
        add_event(connection, "run_failed", run_id=failed, reason="refused")

    assert json.loads(run("status", "--json").stdout)["failures"][0]["reason"] == "refused"
    story = json.loads(run("why", "jane@example.com", "--json").stdout)
    assert (story["tone"], f"cartbridge replay {failed}" in story["action"]) == ("bad", True)
    shown = json.loads(run("runs", "show", failed[:14], "--json").stdout)
    assert shown["steps"][1]["attempts"][0]["error"] == "no group 12"
    for table in (
        ("why", "studiocart/1109"),
        ("status",),
        ("runs", "list"),
        ("runs", "show", failed),
        ("orders", "list"),
        ("orders", "show", "studiocart/1109"),
        ("deliveries", "list"),
        ("deliveries", "show", "delivery-1"),
    ):
        assert run(*table).exit_code == 0, table

    assert run("replay", "--state", "failed", "--dry-run").exit_code == 0
    assert run("replay", "--state", "failed").exit_code == 2
    assert run("replay", "--state", "failed", "--yes", "--reason", "group made").exit_code == 0
    assert json.loads(run("runs", "show", failed, "--json").stdout)["state"] == "pending"
    assert run("pause", "learningcart", "--reason", "maintenance").exit_code == 0
    assert "paused by" in json.loads(run("why", failed, "--json").stdout)["answer"]
    assert run("resume", "learningcart").exit_code == 0
    assert run("runs", "resolve", failed, "--note", "by hand", "--order-id", "9001").exit_code == 0
    resolved = json.loads(run("runs", "list", "--json").stdout)[0]
    assert (resolved["state"], resolved["result_id"], resolved["reason"]) == ("succeeded", "9001", "done_by_hand")
    assert "by hand" in json.loads(run("why", "studiocart/1109", "--json").stdout)["answer"]
