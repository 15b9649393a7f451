"""`workflows.recording.silent_records`: a place that was held stays so until a record says otherwise of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.workflows.fakes.frontcore_orders import CANCELLED_DATE, COURSE_OFFER, ONE, WAITING_LIST, one
from tests.unit.workflows.fakes.storefront import NOW, offers, record, rows
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import orders, runs

RULES = offers(COURSE_OFFER)
NO_SHOW: dict[str, Any] = {"participants": [{"id": 1, "status": 7}]}
CONFIRMED: dict[str, Any] = {
    "participants": [{"id": 1, "status": 1}],
    "course": {"id": 77, "coursedates": [{"id": 9, "status": 2}]},
}
HELD = {"waiting_list": WAITING_LIST, "course_cancelled": CANCELLED_DATE, "unknown_status": NO_SHOW}


class Looks:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.minutes = ledger, 0

    def see(self, **place: Any) -> dict[str, tuple[str, str | None]]:
        self.minutes += 1
        record(self.ledger, one(**place), rules=RULES, now=NOW + timedelta(minutes=self.minutes), polled=True)
        return {row.key.removeprefix("frontcore/1/"): (row.state, row.reason) for row in rows(self.ledger, runs)}


@pytest.mark.parametrize("hold", list(HELD))
def test_a_held_place_stays_held_when_a_record_shows_no_status_of_it(ledger: Ledger, hold: str) -> None:
    looks = Looks(ledger)
    asked = looks.see(**HELD[hold])
    assert asked == {f"{ONE}/held": ("review", hold)}
    for _ in range(2):
        assert looks.see() == asked
    [order] = rows(ledger, orders)
    assert order.version == 1
    assert looks.see(**CONFIRMED) == {f"{ONE}/held": ("cancelled", "superseded"), f"{ONE}/601": ("pending", None)}
    assert looks.see() == looks.see(**CONFIRMED)


def test_a_held_place_is_let_go_of_when_it_is_on_another_date(ledger: Ledger) -> None:
    looks = Looks(ledger)
    looks.see(**CANCELLED_DATE)
    assert looks.see(coursedate_id=10)[f"{ONE}/601"] == ("pending", None)


def test_a_date_that_takes_place_confirms_nobody_on_its_waiting_list(ledger: Ledger) -> None:
    looks = Looks(ledger)
    asked = looks.see(**WAITING_LIST)
    assert looks.see(course=CONFIRMED["course"]) == asked
