from __future__ import annotations

import csv
import io
import json

import pytest

from tests.integration.cli.conftest import Run
from tests.unit.worker.ledger.rows import NOW, add_delivery, add_order, add_run
from worker.ledger.session import Ledger


@pytest.mark.parametrize("kind", ["runs", "orders", "deliveries"])
def test_a_list_has_the_same_rows_when_csv_is_asked_for(run: Run, ledger: Ledger, kind: str) -> None:
    with ledger.write() as connection:
        add_order(connection, buyer_name="=1+1")
        add_run(connection, state="review", reason="read_anew")
        add_run(connection, seat="seat-2")
        add_delivery(connection, "d1")
    rows = json.loads(run(kind, "list", "--json").stdout)
    table = list(csv.DictReader(io.StringIO(run(kind, "list", "--csv").stdout)))
    assert len(table) == len(rows)
    for row, line in zip(rows, table, strict=True):
        for name in ("id", "source", "order_id", "state", "reason", "advice"):
            assert line.get(name, "") == (row.get(name) or "")
    assert set(rows[0]) <= {name.partition(".")[0] for name in table[0]} | {"actions"}
    if kind == "orders":
        assert table[0]["buyer_name"] == "'=1+1"
    assert run(kind, "list", "--csv", "--json").exit_code == 2
    assert len(run(kind, "list", "--csv", "--limit", "1").stdout.splitlines()) == 2
    assert len(run(kind, "list", "--csv", "--source", "frontcore").stdout.splitlines()) == 1


def test_a_month_is_told_as_a_table_and_for_programs_when_it_is_asked_for(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection, buyer_name="=Jane")
        add_run(connection, state="succeeded", finished_at=NOW)
    month = f"{NOW:%Y-%m}"
    shown = run("report", "--month", month).stdout
    assert "March 2025" in shown
    assert "First aid" in shown
    [line] = json.loads(run("report", "--month", month, "--json").stdout)
    counts = {"granted": 1, "refunded": 0, "in_question": 0}
    reported = {"month": month, "course": "First aid", "source": "studiocart", "customer": "=Jane"}
    assert line == reported | counts
    [row] = csv.DictReader(io.StringIO(run("report", "--month", month, "--csv").stdout))
    assert row == {name: str(value) for name, value in (reported | counts | {"customer": "'=Jane"}).items()}
    assert "Nothing in" in run("report").stdout
    assert run("report", "--json").stdout == "[]\n"
    assert run("report", "--month", "2025-13").exit_code == 2
    assert run("report", "--csv", "--json").exit_code == 2
