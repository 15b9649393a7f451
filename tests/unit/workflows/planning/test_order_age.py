from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.unit.workflows.fakes.storefront import START
from workflows.planning.order_age import Age, Sighting, Start, StartDecision, age_of, decide, misdated

HOURS = timedelta(hours=1)
DATES = Start(START)
MARKED = Start(START, mark=100)
SWEPT = Start(START, mark=100, is_swept=True)


@pytest.mark.parametrize(
    ("start", "order_id", "hours", "expected"),
    [
        (Start(), "1", -9999, Age.NEW),
        (DATES, "1", -0.1, Age.OLDER),
        (DATES, "1", 0, Age.NEW),
        (DATES, "1", None, Age.UNDATED),
        # Above the mark: a shifted date says nothing, one of long ago is an import's.
        (MARKED, "101", -47, Age.NEW),
        (MARKED, "101", -48, Age.NEW),
        (MARKED, "101", -49, Age.CONTRADICTED),
        (SWEPT, "101", None, Age.NEW),
        # Ids of before the mark, while the first sweep goes on: by date.
        (MARKED, "100", 5, Age.NEW),
        (MARKED, "100", -5, Age.OLDER),
        (MARKED, "100", None, Age.UNDATED),
        # … and afterwards: by id, unless no shift can explain the date.
        (SWEPT, "100", -5, Age.OLDER),
        (SWEPT, "100", 5, Age.CONTRADICTED),
        (SWEPT, "100", 48, Age.NEW),
        (SWEPT, "100", None, Age.CONTRADICTED),
        (SWEPT, "no number", 5, Age.NEW),
        (Start(START, mark=0, is_swept=True), "1", -20, Age.NEW),
    ],
)
def test_age_goes_by_id_and_date(start: Start, order_id: str, hours: float | None, expected: Age) -> None:
    created_at: datetime | None = None if hours is None else START + hours * HOURS
    assert age_of(order_id, created_at, start) is expected


def test_order_is_misdated_when_a_lower_id_is_dated_since_the_start() -> None:
    dates = {"9": -60, "10": -5, "11": 1, "12": -5, "13": 2, "14": -60}
    found = misdated([(order_id, START + hours * HOURS) for order_id, hours in dates.items()], START)
    assert found == {"12"}
    assert misdated([("1", None), ("x", START), ("2", START - HOURS)], START) == frozenset()


@pytest.mark.parametrize("age", list(Age))
def test_decision_stays_when_the_order_shows_another_age(age: Age) -> None:
    decided = Sighting(is_decided=True, seen_before=True)
    assert decide(age, decided) is StartDecision.IGNORE
    for question in (
        Sighting(is_decided=True, is_manual=True),
        Sighting(is_decided=True, is_in_hand=True),
        Sighting(is_decided=True, is_another_buyers=True),
    ):
        assert decide(age, question) is StartDecision.HOLD


@pytest.mark.parametrize(
    ("age", "when_swept", "when_hinted", "when_named"),
    [
        (Age.NEW, StartDecision.PLAN, StartDecision.PLAN, StartDecision.PLAN),
        (Age.OLDER, StartDecision.IGNORE, StartDecision.HOLD, StartDecision.HOLD),
        (Age.UNDATED, StartDecision.HOLD, StartDecision.PLAN, StartDecision.PLAN),
        (Age.CONTRADICTED, StartDecision.HOLD, StartDecision.HOLD, StartDecision.HOLD),
    ],
)
def test_order_never_seen_before_is_judged_by_its_age(
    age: Age, when_swept: StartDecision, when_hinted: StartDecision, when_named: StartDecision
) -> None:
    assert decide(age, Sighting(is_sweep=True)) is when_swept
    assert decide(age, Sighting()) is when_hinted
    assert decide(age, Sighting(is_manual=True)) is when_named
    assert decide(age, Sighting(seen_before=True)) is StartDecision.PLAN
