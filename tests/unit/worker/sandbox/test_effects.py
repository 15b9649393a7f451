from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from worker.sandbox.effects import EffectLog

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_effects_are_numbered_in_their_order_when_recorded() -> None:
    log = EffectLog(lambda: NOON)
    log.record("learningcart", "addCustomer", customer_id=5001)
    log.record("learningcart", "addCompOrder", order_id=90001)
    log.record("threedcart", "create_cart", order_key="k")
    assert [effect.number for effect in log.effects()] == [1, 2, 3]
    assert [effect.number for effect in log.effects(after=1)] == [2, 3]
    assert [effect.operation for effect in log.effects("learningcart")] == ["addCustomer", "addCompOrder"]
    assert log.effects("learningcart", "addCompOrder")[0].facts == {"order_id": 90001}
    assert log.effects(operation="create_cart")[0].to_json() == {
        "number": 3,
        "at": "2026-03-01T12:00:00+00:00",
        "system": "threedcart",
        "operation": "create_cart",
        "order_key": "k",
    }


def test_requests_are_counted_by_operation_when_they_arrive() -> None:
    log = EffectLog(lambda: NOON)
    for operation in ("requestToken", "addCompOrder", "addCompOrder"):
        log.count_request("learningcart", operation)
    log.count_request("studiocart", "list_orders")
    assert log.requests() == 4
    assert log.requests("learningcart") == 3
    assert log.requests("learningcart", "addCompOrder") == 2
    assert log.requests("frontcore") == 0
    assert log.request_counts() == {
        "learningcart": {"addCompOrder": 2, "requestToken": 1},
        "studiocart": {"list_orders": 1},
    }


def test_another_process_can_read_the_effects_when_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "effects.jsonl"
    log = EffectLog(lambda: NOON, path)
    log.record("learningcart", "addCustomer", email="bjørn@example.test")
    log.record("learningcart", "addCompOrder", order_id=90001)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["number"] for line in lines] == [1, 2]
    assert lines[0]["email"] == "bjørn@example.test"


def test_numbering_begins_again_when_cleared() -> None:
    log = EffectLog(lambda: NOON)
    log.record("learningcart", "addCustomer")
    log.count_request("learningcart", "addCustomer")
    log.clear()
    assert log.effects() == []
    assert log.requests() == 0
    assert log.record("learningcart", "addCustomer").number == 1
