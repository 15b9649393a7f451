from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.cli.conftest import Run
from tests.unit.worker.ledger.rows import add_delivery, add_order, add_run, minutes_ago
from tests.unit.workflows.fakes.storefront import an_order, record
from worker.ledger.session import Ledger
from worker.sources.order import Payment

SEATS = [
    {"id": "buyer", "learner": {"email": "jane@example.com"}, "hold": None, "note": "", "course_date_id": None},
    {"id": "seat-2", "learner": None, "hold": "unnamed_seat", "note": "", "course_date_id": None},
]


def test_orders_are_listed_for_people_and_programs_when_there_are_some(run: Run, ledger: Ledger) -> None:
    assert run("orders", "list").stdout == "No orders.\n"
    with ledger.write() as connection:
        add_order(connection, "1", at=minutes_ago(1), state="waiting", total_minor_units=None)
        add_order(connection, "2")
    rows = json.loads(run("orders", "list", "--json").stdout)
    assert [row["order_id"] for row in rows] == ["2", "1"]
    assert [row["order_id"] for row in json.loads(run("orders", "list", "--json", "--state", "waiting").stdout)] == [
        "1"
    ]
    result = run("orders", "list", "--limit", "1")
    assert "studiocart/2" in result.stdout
    assert "49.00 USD" in result.stdout
    assert "studiocart/1" not in result.stdout
    assert "there are more" in result.stderr


def test_an_order_is_shown_with_seats_runs_and_deliveries_when_named(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection, document={"lines": [{"id": "1107", "title": "First aid", "seats": SEATS}]}, renewal=True)
        shown = add_run(connection)
        add_delivery(connection, "d1")
    assert json.loads(run("orders", "show", "studiocart/1109", "--json").stdout)["lines"][0]["seats"] == SEATS
    result = run("orders", "show", "studiocart/1109")
    assert result.exit_code == 0
    for text in ("seat-2", "unnamed_seat", shown, "d1", "Jane Doe Jane@Example.com", "49.00 USD", "renewal"):
        assert text in result.stdout


def test_an_order_without_anything_is_shown_when_named(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection, created_at=None)
    result = run("orders", "show", "studiocart/1109")
    assert result.exit_code == 0
    for absent in ("Runs", "Deliveries", "Lines and seats", "placed"):
        assert absent not in result.stdout


def test_the_nearest_is_offered_when_an_order_is_not_there(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
    result = run("orders", "show", "1108")
    assert result.exit_code == 1
    assert "There is no order '1108' in the ledger. See: cartbridge orders list" in result.stderr
    assert run("orders", "show", "frontcore/1109").stderr.strip().endswith("Did you mean studiocart/1109?")


def test_an_order_is_shown_by_its_number_when_no_other_source_has_it(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
    assert "studiocart/1109" in run("orders", "show", "1109").stdout
    with ledger.write() as connection:
        add_order(connection, source="frontcore")
    result = run("orders", "show", "1109")
    assert (result.exit_code, "Give the source too" in result.stderr) == (1, True)


def test_versions_tell_what_changed_when_an_order_was_seen_twice(run: Run, ledger: Ledger) -> None:
    record(ledger, an_order(payment=Payment.WAITING))
    record(ledger, an_order())
    result = run("orders", "show", "studiocart/1109")
    assert "Versions" in result.stdout
    assert "payment" in result.stdout
    assert [
        each["changes"] for each in json.loads(run("orders", "show", "studiocart/1109", "--json").stdout)["versions"]
    ] == [
        [],
        ["payment", "status"],
    ]


def test_nothing_that_tells_an_order_from_another_is_cut_when_the_terminal_has_80_columns(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.cli.output.PIPED_WIDTH", 80)
    with ledger.write() as connection:
        whole: dict[str, Any] = {"state": "cancelled", "reason": "refunded_after_provisioning", "status": "refunded"}
        add_order(connection, buyer_email="jane.doe@training-company.example", **whole)
    shown = run("orders", "list").stdout
    assert max(map(len, shown.splitlines())) <= 80
    for text in ("studiocart/1109", "jane.doe@training-company.example", *whole.values()):
        assert text in shown
    assert "…" not in shown
