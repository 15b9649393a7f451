from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, update

from tests.unit.worker.ledger.rows import (
    NOW,
    add_attempt,
    add_cursor,
    add_delivery,
    add_event,
    add_order,
    add_pause,
    add_run,
    add_watch,
    ledger_in_memory,
    minutes_ago,
)
from worker.errors import NotInLedgerError
from worker.ledger.orders.catalog import write_names
from worker.ledger.tables.runs import order_versions, steps
from worker.ledger.views import paging
from worker.ledger.views.details import show_delivery, show_order, show_run
from worker.ledger.views.listing import list_deliveries, list_orders, list_runs
from worker.ledger.views.overview import status
from worker.ledger.views.serializers import to_json


@pytest.fixture
def connection() -> Iterator[Connection]:
    with ledger_in_memory() as opened:
        yield opened


def shown_runs(connection: Connection, **filters: Any) -> Iterator[dict[str, Any]]:
    return map(to_json, list_runs(connection, **filters))


def shown_orders(connection: Connection, **filters: Any) -> Iterator[dict[str, Any]]:
    return map(to_json, list_orders(connection, **filters))


def shown_deliveries(connection: Connection, **filters: Any) -> Iterator[dict[str, Any]]:
    return map(to_json, list_deliveries(connection, **filters))


def shown_run(connection: Connection, run_id: str) -> Any:
    return to_json(show_run(connection, run_id))


def shown_order(connection: Connection, source: str, order_id: str) -> Any:
    return to_json(show_order(connection, source, order_id))


def shown_delivery(connection: Connection, delivery_id: str) -> Any:
    return to_json(show_delivery(connection, delivery_id))


def shown_status(connection: Connection, **given: Any) -> Any:
    return to_json(status(connection, NOW, **given))


def run_ids(rows: object) -> list[str]:
    return [row["id"] for row in rows]  # type: ignore[attr-defined]


def test_runs_come_newest_first_with_every_promised_member_when_listed(connection: Connection) -> None:
    add_order(connection)
    old = add_run(connection, at=minutes_ago(10), seat="seat-2", state="review", reason="unmapped_product")
    new = add_run(connection, at=minutes_ago(1), result_id="9001", note="n")
    add_attempt(connection, new, "add_customer", 1, outcome="retryable")
    add_attempt(connection, new, "add_customer", 2)

    first, second = shown_runs(connection)

    assert (first["id"], second["id"]) == (new, old)
    promised = "id workflow key state reason source order_id email attempts next_attempt_at created_at finished_at"
    assert set(promised.split()) <= set(first)
    assert first["attempts"] == 2
    assert first["created_at"] == "2025-03-04T11:59:00Z"
    assert first["next_attempt_at"] == "2025-03-04T11:59:00Z"
    assert first["finished_at"] is None
    assert (first["advice"], first["action"], first["result_id"], first["note"]) == (None, None, "9001", "n")
    assert "No offer" in second["advice"]
    assert f"cartbridge replay {old}" in second["action"]
    assert first["actions"] == []
    assert second["actions"] == [
        {"kind": "check_offers", "arguments": {}, "command": "cartbridge offers check"},
        {"kind": "replay", "arguments": {"run_id": old}, "command": f"cartbridge replay {old}"},
    ]


def test_runs_are_narrowed_when_filters_are_given(connection: Connection) -> None:
    add_order(connection)
    add_order(connection, "1110")
    add_order(connection, "1109", source="frontcore")
    one = add_run(connection, at=minutes_ago(30), state="failed", reason="refused")
    two = add_run(connection, "1110", at=minutes_ago(20), state="succeeded", email="bo@example.com")
    three = add_run(connection, source="frontcore", at=minutes_ago(10), state="review", reason="refused")

    def found(**filters: object) -> list[str]:
        return run_ids(shown_runs(connection, **filters))

    assert found(states=["failed", "review"]) == [three, one]
    assert found(states=["succeeded"]) == [two]
    assert found(source="studiocart") == [two, one]
    assert found(order_id="1109") == [three, one]
    assert found(order_id="1109", source="frontcore") == [three]
    assert found(email=" BO@example.com ") == [two]
    assert found(reason="refused") == [three, one]
    assert found(since=minutes_ago(20)) == [three, two]
    assert found(until=minutes_ago(20)) == [one]
    assert found(limit=2) == [three, two]
    assert found(limit=0) == []


def test_pages_neither_overlap_nor_skip_when_rows_share_a_moment(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_order(connection)
    added = {add_run(connection, seat=f"seat-{number}", at=minutes_ago(number // 3)) for number in range(10)}
    whole = run_ids(shown_runs(connection))

    monkeypatch.setattr(paging, "PAGE_ROWS", 2)
    assert run_ids(shown_runs(connection)) == whole
    pages = []
    after = None
    while page := run_ids(shown_runs(connection, limit=3, after=after)):
        pages += page
        after = page[-1]

    assert set(whole) == added
    assert pages == whole


def test_going_on_after_an_unknown_row_is_refused_when_listing(connection: Connection) -> None:
    for rows in (
        shown_runs(connection, after="nobody"),
        shown_orders(connection, after="studiocart/1"),
        shown_deliveries(connection, after="nobody"),
    ):
        with pytest.raises(NotInLedgerError, match="to go on after"):
            next(rows)


def test_listing_walks_by_time_and_not_through_all_rows_when_a_common_state_is_asked_for(
    connection: Connection,
) -> None:
    statements: list[str] = []
    event.listen(connection, "before_cursor_execute", lambda *args: statements.append(args[2]))
    list(shown_runs(connection, states=["succeeded"], source="studiocart", limit=5))
    list(shown_runs(connection, states=["review"], limit=5))

    def plan(statement: str) -> str:
        values = tuple("x" if "LIMIT" not in part else 5 for part in statement.split("?")[:-1])
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", tuple(map(str, values))).all()
        return " ".join(str(row[3]) for row in rows)

    common, rare = (text for text in statements if "FROM runs" in text)
    assert "ix_runs_created_at" in plan(common)
    assert "ix_runs_due" in plan(rare)


def test_a_run_is_shown_with_its_steps_attempts_and_events_when_asked_for(connection: Connection) -> None:
    add_order(connection)
    run = add_run(connection, lease_holder="host:1", lease_until=NOW)
    connection.execute(
        update(steps)
        .where(steps.c.run_id == run, steps.c.position == 0)
        .values(state="done", output={"customer_id": 7})
    )
    add_attempt(connection, run, "add_customer")
    add_attempt(connection, run, "add_comped_order", 1, outcome="unknown", http_status=500, error="e", reference="cb-x")
    add_attempt(connection, run, "add_comped_order", 2, kind="lookup", outcome="absent")
    add_attempt(connection, run, "add_customer_to_group_2", 1, outcome="final")
    add_event(connection, "run_planned", run_id=run)
    add_event(connection, "run_waiting", run_id=run, reason="settling", detail={"a": 1})

    found = shown_run(connection, run)

    assert [(step["name"], step["state"]) for step in found["steps"]] == [
        ("add_customer", "done"),
        ("add_customer_to_group", "pending"),
        ("add_comped_order", "pending"),
        ("add_customer_to_group_2", "removed"),
    ]
    assert found["steps"][0]["output"] == {"customer_id": "7"}
    unknown, absent = found["steps"][2]["attempts"]
    assert (unknown["number"], unknown["kind"], unknown["outcome"]) == (1, "call", "unknown")
    assert (unknown["http_status"], unknown["error"], unknown["reference"]) == (500, "e", "cb-x")
    assert unknown["started_at"] == unknown["finished_at"] == "2025-03-04T12:00:00Z"
    assert (absent["number"], absent["kind"], absent["outcome"]) == (2, "lookup", "absent")
    assert found["attempts"] == 4
    assert [(line["kind"], line["actor"], line["reason"]) for line in found["events"]] == [
        ("run_planned", "engine", None),
        ("run_waiting", "engine", "settling"),
    ]
    assert found["events"][1]["detail"] == {"a": 1}
    assert (found["lease_holder"], found["lease_until"]) == ("host:1", "2025-03-04T12:00:00Z")


def test_what_is_not_there_is_refused_by_name_when_shown(connection: Connection) -> None:
    with pytest.raises(NotInLedgerError, match="no run nobody"):
        shown_run(connection, "nobody")
    with pytest.raises(NotInLedgerError, match="no order studiocart/1"):
        shown_order(connection, "studiocart", "1")
    with pytest.raises(NotInLedgerError, match="no delivery nothing"):
        shown_delivery(connection, "nothing")


def test_orders_come_with_the_latest_news_first_when_listed(connection: Connection) -> None:
    add_order(connection, "1", at=minutes_ago(3), state="waiting", reason="awaiting_payment", total_minor_units=None)
    add_order(connection, "2", at=minutes_ago(2), buyer_email_key="bo@example.com")
    add_order(connection, "3", at=minutes_ago(1), source="frontcore")

    def found(**filters: object) -> list[str]:
        rows = shown_orders(connection, **filters)
        return [f"{row['source']}/{row['order_id']}" for row in rows]

    assert found() == ["frontcore/3", "studiocart/2", "studiocart/1"]
    assert found(after="studiocart/2") == ["studiocart/1"]
    assert found(states=["waiting"]) == ["studiocart/1"]
    assert found(reason="awaiting_payment") == ["studiocart/1"]
    assert found(source="studiocart", states=["planned"]) == ["studiocart/2"]
    assert found(email="Bo@example.com") == ["studiocart/2"]
    assert found(since=minutes_ago(2), until=minutes_ago(1)) == ["studiocart/2"]
    two, one = shown_orders(connection, source="studiocart")
    assert two["total"] == {"minor_units": 4900, "currency": "USD"}
    assert one["total"] is None
    assert "not paid" in one["advice"]


def test_orders_of_one_moment_are_paged_by_their_names_when_listed(connection: Connection) -> None:
    for source, order_id in (("studiocart", "1"), ("studiocart", "2"), ("frontcore", "9")):
        add_order(connection, order_id, source=source)
    names = [f"{row['source']}/{row['order_id']}" for row in shown_orders(connection)]
    assert names == ["studiocart/2", "studiocart/1", "frontcore/9"]
    for place, name in enumerate(names):
        rest = shown_orders(connection, after=name)
        assert [f"{row['source']}/{row['order_id']}" for row in rest] == names[place + 1 :]


def test_product_is_named_when_its_source_sends_a_number_alone(connection: Connection) -> None:
    numbered = {"id": "1", "title": "", "product": {"product_id": "1107"}, "seats": []}
    others = [{"id": "2", "title": "Its own name", "product": {"product_id": "1107"}}, {"id": "3", "title": ""}]
    add_order(connection, document={"lines": [numbered, *others]})
    write_names(connection, "studiocart", {"1107": "First aid"}, now=NOW)
    found = shown_order(connection, "studiocart", "1109")
    assert [line["title"] for line in found["lines"]] == ["First aid", "Its own name", ""]
    assert found["subscription"] is None


def test_an_order_is_shown_with_all_that_hangs_on_it_when_asked_for(connection: Connection) -> None:
    lines = [{"id": "1107", "title": "First aid", "product": {"product_id": "1107"}, "seats": []}]
    add_order(connection, document={"lines": lines})
    connection.execute(
        insert(order_versions).values(
            source="studiocart",
            order_id="1109",
            number=1,
            content_hash="h",
            raw={"secret": "x"},
            delivery_id="d1",
            seen_at=NOW,
        )
    )
    add_delivery(connection, "d1")
    run = add_run(connection)
    add_event(connection, "order_planned")
    add_event(connection, "order_planned", order_id="other")

    found = shown_order(connection, "studiocart", "1109")

    assert found["lines"] == lines
    assert found["versions"] == [
        {"number": 1, "content_hash": "h", "delivery_id": "d1", "seen_at": "2025-03-04T12:00:00Z", "changes": []}
    ]
    assert run_ids(found["runs"]) == [run]
    assert run_ids(found["deliveries"]) == ["d1"]
    assert [line["kind"] for line in found["events"]] == ["order_planned"]


def test_deliveries_come_newest_first_when_listed(connection: Connection) -> None:
    add_delivery(connection, "d1", at=minutes_ago(3), state="review", reason="order_not_found", note="n")
    add_delivery(connection, "d2", at=minutes_ago(2), via="poll", duplicate=True)
    add_delivery(connection, "d3", at=minutes_ago(1), source="frontcore", order_id=None, state="ignored", reason="lead")

    def found(**filters: object) -> list[str]:
        return run_ids(shown_deliveries(connection, **filters))

    assert found() == ["d3", "d2", "d1"]
    assert found(after="d3", limit=1) == ["d2"]
    assert found(states=["review"]) == ["d1"]
    assert found(states=["planned", "ignored"]) == ["d3", "d2"]
    assert found(source="frontcore") == ["d3"]
    assert found(order_id="1109") == ["d2", "d1"]
    assert found(order_id="1109", source="frontcore") == []
    assert found(via="poll") == ["d2"]
    assert found(reason="lead") == ["d3"]
    assert found(since=minutes_ago(2), until=minutes_ago(1)) == ["d2"]
    first, *_, last = shown_deliveries(connection)
    assert first["order_id"] is None
    assert "cartbridge ingest studiocart 1109" in last["action"]


def test_a_delivery_is_shown_with_what_came_of_it_when_asked_for(connection: Connection) -> None:
    add_order(connection)
    add_delivery(connection, "d1")
    add_delivery(connection, "d2", order_id="77", state="waiting")
    run = add_run(connection, delivery_id="d1")
    add_run(connection, seat="seat-2", delivery_id="d0")
    add_event(connection, "order_planned", delivery_id="d1")

    found = shown_delivery(connection, "d1")
    unread = shown_delivery(connection, "d2")

    assert found["order"]["state"] == "planned"
    assert found["run_ids"] == [run]
    assert [line["kind"] for line in found["events"]] == ["order_planned"]
    assert (unread["order"], unread["run_ids"]) == (None, [])


def test_status_counts_and_explains_everything_when_there_is_something(connection: Connection) -> None:
    add_order(connection)
    add_run(connection, seat="a", at=minutes_ago(9), state="review", reason="unmapped_product", next_attempt_at=None)
    add_run(connection, seat="b", at=minutes_ago(8), state="review", reason="unmapped_product", next_attempt_at=None)
    add_run(connection, seat="c", state="review", reason="made_up", next_attempt_at=None)
    add_run(connection, seat="d", state="failed", reason="refused", next_attempt_at=None)
    add_run(connection, seat="e", at=minutes_ago(2))
    add_run(connection, seat="f", state="waiting", next_attempt_at=minutes_ago(-5))
    add_delivery(connection, "d1", state="review", reason="order_not_found")
    add_delivery(connection, "d2", state="waiting", next_attempt_at=minutes_ago(1))
    add_pause(connection, reason="maintenance")
    add_cursor(connection, last_success_at=minutes_ago(3), failures=2, last_error="boom")
    add_cursor(connection, source="frontcore")
    add_watch(connection, "frontcore", silent_since=minutes_ago(60))

    found = shown_status(connection)

    assert found["runs"] == {
        "pending": 1,
        "running": 0,
        "waiting": 1,
        "succeeded": 0,
        "failed": 1,
        "review": 3,
        "cancelled": 0,
    }
    assert found["orders"]["planned"] == 1
    assert found["deliveries"]["review"] == 1
    unmapped, made_up = found["reviews"]
    assert (unmapped["reason"], unmapped["count"]) == ("unmapped_product", 2)
    assert unmapped["oldest_at"] == "2025-03-04T11:51:00Z"
    assert "No offer" in unmapped["advice"]
    assert (made_up["count"], made_up["advice"], made_up["action"]) == (1, None, None)
    assert [row["reason"] for row in found["failures"]] == ["refused"]
    assert [row["reason"] for row in found["delivery_reviews"]] == ["order_not_found"]
    assert found["due"] == {"count": 1, "oldest_at": "2025-03-04T11:58:00Z", "oldest_age_seconds": 120.0}
    assert found["due_deliveries"]["count"] == 1
    assert found["pauses"][0]["system"] == "learningcart"
    frontcore, studiocart = found["sources"]
    assert (frontcore["lag_seconds"], frontcore["last_success_at"]) == (None, None)
    assert (frontcore["late_since"], frontcore["silent_since"]) == (None, "2025-03-04T11:00:00Z")
    assert (studiocart["late_since"], studiocart["silent_since"]) == (None, None)
    assert (studiocart["lag_seconds"], studiocart["failures"], studiocart["last_error"]) == (180.0, 2, "boom")


def test_status_is_zeros_when_the_ledger_is_empty(connection: Connection) -> None:
    found = shown_status(connection)
    assert set(found["runs"].values()) == {0}
    assert found["due"] == {"count": 0, "oldest_at": None, "oldest_age_seconds": None}
    assert found["reviews"] == found["pauses"] == found["sources"] == []
