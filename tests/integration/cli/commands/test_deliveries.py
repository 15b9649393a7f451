from __future__ import annotations

import json

from tests.integration.cli.conftest import Run
from tests.unit.worker.ledger.rows import add_delivery, add_event, add_order, add_run, minutes_ago
from worker.ledger.session import Ledger


def test_deliveries_are_listed_for_people_and_programs_when_there_are_some(run: Run, ledger: Ledger) -> None:
    assert run("deliveries", "list").stdout == "No deliveries.\n"
    with ledger.write() as connection:
        add_delivery(connection, "d1", at=minutes_ago(1), duplicate=True)
        add_delivery(connection, "d2", via="poll", state="review", reason="order_not_found", order_id=None)
    rows = json.loads(run("deliveries", "list", "--json").stdout)
    assert [row["id"] for row in rows] == ["d2", "d1"]
    assert [row["id"] for row in json.loads(run("deliveries", "list", "--json", "--via", "poll").stdout)] == ["d2"]
    result = run("deliveries", "list")
    assert "nothing new" in result.stdout
    assert "studiocart/-" in result.stdout
    assert "there are more" in run("deliveries", "list", "--limit", "1").stderr


def test_a_delivery_is_shown_with_what_came_of_it_when_named(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        add_delivery(connection, "delivery-1")
        add_delivery(connection, "empty-1", order_id=None, source="frontcore", duplicate=True)
        caused = add_run(connection, delivery_id="delivery-1")
        add_event(connection, "order_planned", delivery_id="delivery-1")
    assert json.loads(run("deliveries", "show", "deli", "--json").stdout)["run_ids"] == [caused]
    result = run("deliveries", "show", "delivery-1")
    for text in (caused, "order_planned", "the order is now", "webhook, by source"):
        assert text in result.stdout
    assert "nothing new" in run("deliveries", "show", "empty-1").stdout
    assert run("deliveries", "show", "nothing").exit_code == 1
