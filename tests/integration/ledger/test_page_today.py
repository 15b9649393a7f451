from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.integration.web.filling import add_delivery, add_order, add_run
from worker.ledger.session import Ledger
from worker.ledger.views.page.today import done_since, needs_person, under_way
from worker.ledger.views.serializers import to_json

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def ago(**length: float) -> datetime:
    return NOW - timedelta(**length)


def test_groups_are_by_reason_with_the_longest_waiting_first_when_things_need_a_person(ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection, "1109", ago(days=2))
        add_order(connection, "1110", ago(days=5), state="review", reason="unknown_status")
        for number, (state, reason, days) in enumerate(
            [
                ("review", "unmapped_product", 3),
                ("review", "unmapped_product", 1),
                ("review", "unnamed_seat", 4),
                ("failed", "refused", 2),
                ("failed", None, 6),
                ("succeeded", None, 9),
                ("waiting", "retrying", 9),
                ("cancelled", "superseded", 9),
            ]
        ):
            add_run(connection, f"r{number}", ago(days=days), state=state, reason=reason)
        add_delivery(connection, "d1", ago(hours=1), state="review", reason="order_not_found")
    with ledger.read() as connection:
        groups = needs_person(connection, most_counted=1)
    assert [(group.what, group.state, group.reason, group.count) for group in groups] == [
        ("runs", "failed", None, 1),
        ("orders", "review", "unknown_status", 1),
        ("runs", "review", "unnamed_seat", 1),
        ("runs", "review", "unmapped_product", 2),  # more than one: the count goes no further
        ("runs", "failed", "refused", 1),
        ("deliveries", "review", "order_not_found", 1),
    ]
    assert groups[3].oldest_at == datetime(2026, 3, 1, 5, 6, 7, tzinfo=UTC)
    assert "[[offer]]" in str(groups[3].action)
    assert groups[0].advice is None


def test_nothing_needs_a_person_when_the_ledger_is_empty(ledger: Ledger) -> None:
    with ledger.read() as connection:
        assert needs_person(connection, most_counted=1000) == []
        assert to_json(under_way(connection, NOW, most_counted=1000)) == {
            "pending": 0,
            "running": 0,
            "waiting": 0,
            "deliveries": 0,
            "late": 0,
            "next_due_at": None,
            "late_since": None,
        }


def test_next_and_late_are_told_when_runs_are_under_way(ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection, "1109", NOW)
        for number, (state, due_at) in enumerate(
            [
                ("pending", ago(seconds=10)),  # not late yet
                ("pending", ago(minutes=3)),
                ("waiting", ago(minutes=2)),
                ("waiting", NOW + timedelta(minutes=9)),
                ("waiting", NOW + timedelta(minutes=4)),
                ("running", None),
            ]
        ):
            add_run(connection, f"r{number}", NOW, state=state, next_attempt_at=due_at)
        add_delivery(connection, "d1", NOW, state="received")
        add_delivery(connection, "d2", NOW, state="waiting")
    with ledger.read() as connection:
        found = to_json(under_way(connection, NOW, most_counted=2))
    assert found == {
        "pending": 2,
        "running": 1,
        "waiting": 3,
        "deliveries": 2,
        "late": 2,
        "next_due_at": "2026-03-04T05:10:07Z",
        "late_since": "2026-03-04T05:03:07Z",
    }


def test_done_counts_the_last_day_when_runs_have_succeeded(ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection, "1109", NOW)
        for number, (state, hours) in enumerate([("succeeded", 1), ("succeeded", 25), ("failed", 1)]):
            add_run(connection, f"r{number}", ago(hours=hours), state=state, finished_at=ago(hours=hours))
    with ledger.read() as connection:
        assert done_since(connection, NOW) == 1
