from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from worker.ledger.states import RunState
from worker.ledger.views.serializers import to_json

EAST = timezone(timedelta(hours=5, minutes=30))


@dataclass(frozen=True, slots=True)
class Seen:
    at: datetime
    state: str
    grant: dict[str, Any] | None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (datetime(2026, 3, 4, 5, 6, tzinfo=EAST), "2026-03-03T23:36:00Z"),
        (datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=EAST), "2026-03-03T23:36:07.000089Z"),
        (RunState.REVIEW, "review"),
        ((1, 2.5, None, True), [1, 2.5, None, True]),
        (
            {"price_id": 501, "group_ids": [12, "13"], "count": 2},
            {"price_id": "501", "group_ids": ["12", "13"], "count": 2},
        ),
        ({"id": 7, "order_id": None, "paid_id": True}, {"id": "7", "order_id": None, "paid_id": True}),
        ({"calls": [{"customer_id": 5001}]}, {"calls": [{"customer_id": "5001"}]}),
    ],
)
def test_value_is_plain_json_when_it_is_serialized(value: Any, shown: Any) -> None:
    assert to_json(value) == shown


def test_record_has_its_members_in_their_order_when_it_is_serialized() -> None:
    record = Seen(datetime(2026, 3, 4, tzinfo=EAST), RunState.WAITING, {"price_id": 501})
    assert list(to_json(record).items()) == [
        ("at", "2026-03-03T18:30:00Z"),
        ("state", "waiting"),
        ("grant", {"price_id": "501"}),
    ]


def test_what_has_no_form_in_json_is_refused_when_it_is_serialized() -> None:
    with pytest.raises(TypeError, match="set has no form"):
        to_json({1, 2})
