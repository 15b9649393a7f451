from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from worker.sandbox.clock import Clock
from worker.sandbox.config import FrontcoreConfig
from worker.sandbox.frontcore import Frontcore
from worker.sandbox.wire import Answer, Request

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Account:
    """A Frontcore with a clock of its own."""

    def __init__(self, *, seeded: bool = True, **settings: Any) -> None:
        self.config = FrontcoreConfig(**settings)
        self.core = Frontcore(self.config, Clock(lambda: NOON), seeded=seeded)

    def send(self, path: str, query: str = "", method: str = "GET", key: str | None = None) -> Answer:
        headers = {"x-api-key": self.config.api_key if key is None else key}
        return self.core.answer(Request(method, path, f"{path}?{query}", query, headers))

    def records(self, query: str = "", path: str = "/orders") -> list[dict[str, Any]]:
        answer = self.send(path, query)
        assert answer.status == 200, answer.body
        records: list[dict[str, Any]] = json.loads(answer.body)
        return records

    def ids(self, query: str = "") -> list[int]:
        return [record["id"] for record in self.records(query)]


@pytest.fixture
def account() -> Account:
    return Account()


def test_the_documents_orders_come_newest_first_when_listed(account: Account) -> None:
    first, second = account.records("user_data=true")
    assert (first["id"], second["id"]) == (27244, 27243)
    assert first["lines"][0]["users"][0]["email"] == "lars@eksemel.ek"
    assert second["first_user"]["firstname"] == "Pål"
    assert (first["is_paid"], second["is_paid"], second["updated_at"]) == (True, False, None)


def test_lines_carry_no_users_when_not_asked_for(account: Account) -> None:
    assert "users" not in account.records()[0]["lines"][0]
    assert "users" not in account.records(path="/orders/27244")[0]["lines"][0]


def test_one_order_comes_in_an_array_when_retrieved(account: Account) -> None:
    record = account.records("user_data=1", "/orders/27243")[0]
    assert record["lines"][0]["database_relations"][0]["participant_id"] == 124918


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=1", [27244]),
        ("limit=1&page=2", [27243]),
        ("page=3", []),
        ("since_id=27243", [27244]),
        ("course_id=22353", [27244, 27243]),
        ("course_id=1", []),
        ("created_at_min=2017-03-31 19:00:00", [27244]),
        ("created_at_max=2017-03-31 19:00:00", [27243]),
        ("created_at_min=2017-04-01", []),
        ("updated_at_min=2026-01-01", [27244]),
        ("updated_at_max=2026-01-01", []),
        ("exported_at_min=2020-01-01", []),
        ("limit=-4", [27244]),
    ],
)
def test_orders_are_filtered_when_asked(account: Account, query: str, expected: list[int]) -> None:
    assert account.ids(query.replace(" ", "%20")) == expected


def test_exported_orders_drop_out_unless_asked_for(account: Account) -> None:
    account.core.update_order(27244, exported_at="2026-02-01T10:00:00+01:00")
    assert account.ids() == [27243]
    assert account.ids("exported=true") == [27244, 27243]
    assert account.ids("exported=1&exported_at_min=2026-01-01&exported_at_max=2026-02-02") == [27244]


def test_a_page_is_capped_when_more_than_250_are_asked_for() -> None:
    account = Account(seeded=False)
    for _ in range(251):
        account.core.add_order({})
    assert len(account.ids("limit=1000")) == 250
    assert len(account.ids()) == 75


def test_more_is_told_when_included(account: Account) -> None:
    query = (
        "include[]=lines.database_relations.course&include[]=lines.database_relations.participants&include[]=campaign"
    )
    record = account.records(query)[0]
    relation = record["lines"][0]["database_relations"][0]
    assert relation["course"] == {"id": 22353, "coursedates": [{"id": 9304757, "status": 1}]}
    assert relation["participants"] == [{"id": 124920, "status": 1}]
    assert record["campaign"] is None
    assert "campaign" not in account.records()[0]


@pytest.mark.parametrize("query", ["limit=x", "created_at_min=soon", "updated_at_max=0001-01-01"])
def test_a_value_is_refused_when_it_cannot_be_read(account: Account, query: str) -> None:
    answer = account.send("/orders", query)
    assert answer.status == 400
    assert "error" in json.loads(answer.body)


def test_errors_have_their_status_or_200_when_set(account: Account) -> None:
    cases = [
        (account.send("/orders", key="wrong"), 401, "Wrong API Key"),
        (account.send("/orders/1"), 404, "Order not found"),
        (account.send("/courses"), 404, "Not found"),
        (account.send("/orders", method="POST"), 405, "Method not allowed"),
    ]
    assert [(answer.status, json.loads(answer.body)) for answer, _, _ in cases] == [
        (status, {"error": message}) for _, status, message in cases
    ]
    account.config.error_status = "200"
    answer = account.send("/orders", key="wrong")
    assert (answer.status, json.loads(answer.body)) == (200, {"error": "Wrong API Key"})


def test_requests_are_refused_when_they_come_too_fast() -> None:
    account = Account(requests_per_second=5.0)
    assert [account.send("/orders").status for _ in range(6)] == [200] * 5 + [429]


def test_an_order_is_completed_when_little_is_said(account: Account) -> None:
    order = account.core.add_order({"is_paid": False})
    assert set(order) == set(account.core.order(27244))
    assert (order["id"], order["is_paid"], order["updated_at"]) == (27245, False, None)
    assert order["created_at"] == "2026-03-01T13:00:00+01:00"
    assert order["lines"][0]["id"] != 31400
    with pytest.raises(ValueError, match="exists"):
        account.core.add_order({"id": 27245})


def test_an_order_is_changed_replaced_or_removed_when_asked(account: Account) -> None:
    assert account.core.update_order(27243, is_paid=True)["updated_at"] == "2026-03-01T13:00:00+01:00"
    assert account.core.replace_order(27243, {"lines": None, "created_at": None})["lines"] is None
    assert account.ids("course_id=22353") == [27244]
    assert account.ids() == [27244, 27243]
    account.core.delete_order(27243)
    assert account.ids() == [27244]
    account.core.reset()
    assert [order["id"] for order in account.core.describe()["orders"]] == [27243, 27244]


def test_orders_come_wrapped_when_set(account: Account) -> None:
    account.config.list_form = "items"
    document = json.loads(account.send("/orders", "limit=1").body)
    assert [record["id"] for record in document["items"]] == [27244]
    assert document["pagination"] == {"next_page": 2}
    assert json.loads(account.send("/orders").body)["pagination"] == {"next_page": None}
    assert [record["id"] for record in account.records(path="/orders/27243")] == [27243]


def test_a_record_is_what_was_said_when_it_is_broken(account: Account) -> None:
    account.core.break_order(27244, '{"id":27244,"total":1e999999999999999999}')
    assert b"1e999999999999999999" in account.send("/orders").body
    assert b"27243" in account.send("/orders").body
    account.core.break_order(27244, None)
    assert account.ids() == [27244, 27243]
