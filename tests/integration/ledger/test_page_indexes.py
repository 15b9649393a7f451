"""No question of the page reads a whole table: what each database makes of them, without a million rows."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import event

from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.views.page.pace import pace
from worker.ledger.views.page.runs import page_of_runs
from worker.ledger.views.page.search import search
from worker.ledger.views.page.systems import systems
from worker.ledger.views.page.today import done_since, needs_person, under_way

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LARGE = ("runs", "orders", "deliveries", "attempts", "events", "learners")
INDEXES = (
    *("runs_needs_reason", "runs_needs", "runs_reason", "runs_other_system", "runs_succeeded_at"),
    *("orders_needs_reason", "deliveries_needs_reason", "orders_updated_at"),
)
WHOLE = re.compile(rf"SCAN ({'|'.join(LARGE)})$|Seq Scan on ({'|'.join(LARGE)})\b")


def test_no_large_table_is_read_whole_when_the_page_asks(ledger: Ledger) -> None:
    plans: dict[str, str] = {}
    with ledger.read() as connection:
        raw = connection.connection.dbapi_connection
        explain = "EXPLAIN QUERY PLAN " if ledger.is_sqlite else "EXPLAIN "

        def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            if statement not in plans and "EXPLAIN" not in statement and raw is not None:
                cursor = raw.cursor()
                cursor.execute(explain + statement, parameters)
                plans[statement] = "\n".join(str(row[-1]) for row in cursor.fetchall())

        if not ledger.is_sqlite:
            # Without rows a whole table is the least to read; what matters is whether there is another way.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        event.listen(ledger.engine, "before_cursor_execute", note)
        needs_person(connection, most_counted=1000)
        under_way(connection, NOW, most_counted=1000)
        done_since(connection, NOW)
        pace(connection, NOW)
        systems(connection, NOW, sources=(), destinations=())
        page_of_runs(connection, size=50)
        for state in RunState:
            page_of_runs(connection, size=50, states=(state,))
        page_of_runs(connection, size=50, states=(RunState.REVIEW,), reason="unnamed_seat")
        page_of_runs(connection, size=50, reason="superseded")
        page_of_runs(connection, size=50, system="threedcart")
        for wanted in ("jane@x.example", "studiocart/1109", "1109", "01abcd", "jane doe"):
            search(connection, wanted)
        event.remove(ledger.engine, "before_cursor_execute", note)
    assert len(plans) > 30
    assert {statement: plan for statement, plan in plans.items() if WHOLE.search(plan)} == {}
    if ledger.is_sqlite:  # PostgreSQL chooses by what is in the tables, which is nothing
        used = " ".join(plans.values())
        assert [index for index in INDEXES if not re.search(rf"\bix_{index}\b", used)] == []
