from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, insert

from tests.unit.worker.ledger.rows import NOW, add_order, ledger_in_memory
from worker.ledger.orders.versions import MOST_DIFFERENCES, MOST_VERSIONS, compared_versions, value_text
from worker.ledger.tables.runs import order_versions
from worker.ledger.views.serializers import to_json


def add_versions(connection: Connection, *raws: dict[str, Any]) -> None:
    add_order(connection)
    for number, raw in enumerate(raws, start=1):
        row = {"source": "studiocart", "order_id": "1109", "content_hash": "", "seen_at": NOW}
        connection.execute(insert(order_versions).values(number=number, raw=raw, **row))


def test_versions_are_compared_with_the_one_before_when_there_are_several() -> None:
    with ledger_in_memory() as connection:
        first = {"status": "pending", "items": [{"name": "A"}, {"name": "B"}], "tags": ["x"]}
        second = {"status": "paid", "items": [{"name": "A"}, {"name": "C"}, {"name": "D"}], "tags": ["x", "y"]}
        add_versions(connection, first, second)
        newest, oldest = map(to_json, compared_versions(connection, "studiocart", "1109"))
    assert newest["differences"] == [
        {"path": "items[2].name", "before": "B", "after": "C"},
        {"path": "items[3]", "before": None, "after": '{"id": "3", "name": "D"}'},
        {"path": "status", "before": "pending", "after": "paid"},
        {"path": "tags", "before": '["x"]', "after": '["x", "y"]'},
    ]
    assert (oldest["number"], oldest["is_first"], oldest["differences"]) == (1, True, [])


def test_nothing_is_compared_when_the_learner_was_forgotten() -> None:
    with ledger_in_memory() as connection:
        add_versions(connection, {"forgotten": True}, {"email": "jane@example.com"}, {"email": "j@example.com"})
        newest, middle, _ = map(to_json, compared_versions(connection, "studiocart", "1109"))
    assert (newest["is_forgotten"], len(newest["differences"])) == (False, 1)
    assert (middle["is_forgotten"], middle["differences"]) == (True, [])


def test_the_newest_are_shown_and_the_rest_is_counted_when_there_is_much() -> None:
    with ledger_in_memory() as connection:
        wide = {f"field_{number:02}": number for number in range(MOST_DIFFERENCES + 5)}
        add_versions(connection, *({"n": number} for number in range(MOST_VERSIONS)), wide)
        shown = to_json(compared_versions(connection, "studiocart", "1109"))
    assert len(shown) == MOST_VERSIONS
    assert (shown[0]["number"], shown[0]["left_out"]) == (MOST_VERSIONS + 1, 6)
    assert (shown[-1]["is_first"], len(shown[-1]["differences"])) == (False, 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, None), ("ö", "ö"), (True, "true"), ({"a": ["ö"]}, '{"a": ["ö"]}'), ("x" * 301, "x" * 300 + "…")],
)
def test_value_is_text_for_people_when_it_is_shown(value: object, text: str | None) -> None:
    assert value_text(value) == text
