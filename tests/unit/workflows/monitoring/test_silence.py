from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.workflows.fakes.storefront import NOW
from workflows.monitoring.source_health import FACTOR, LEAST_ORDERS, SHORTEST_SILENCE, alarm_after, longest_usual_gap

HOUR = timedelta(hours=1)


def office_hours(weeks: int = 4) -> list[timedelta]:
    """An order every hour from nine to five, Monday to Friday."""
    days = [timedelta(days=7 * week + day) for week in range(weeks) for day in range(5)]
    return [day + hour * HOUR for day in days for hour in range(9, 17)]


def test_weekend_is_usual_when_a_shop_sells_on_weekdays() -> None:
    usual = longest_usual_gap(NOW + offset for offset in office_hours())
    assert usual == timedelta(days=2, hours=17)
    assert alarm_after(usual) == FACTOR * usual


def test_one_outage_does_not_count_when_it_is_the_longest_gap() -> None:
    with_outage = [offset + timedelta(days=5) * (offset > timedelta(days=9)) for offset in office_hours()]
    assert longest_usual_gap(NOW + offset for offset in with_outage) == timedelta(days=2, hours=17)


def test_nothing_is_usual_when_there_is_too_little_history() -> None:
    assert longest_usual_gap([]) is None
    few = [NOW + timedelta(days=day) for day in range(LEAST_ORDERS - 1)]
    assert longest_usual_gap(few) is None
    assert longest_usual_gap([*few, few[-1] + timedelta(days=1)]) == timedelta(days=1)
    assert longest_usual_gap(NOW + minute * timedelta(minutes=1) for minute in range(1000)) is None


def test_alarm_waits_an_hour_when_orders_come_every_minute() -> None:
    assert alarm_after(timedelta(minutes=1)) == SHORTEST_SILENCE


@given(st.lists(st.integers(min_value=0, max_value=28 * 24 * 60), max_size=60))
def test_verdict_does_not_depend_on_the_order_they_are_told_in(minutes: list[int]) -> None:
    moments = [NOW + timedelta(minutes=each) for each in minutes]
    usual = longest_usual_gap(moments)
    assert usual == longest_usual_gap(reversed(moments))
    assert usual is None or timedelta() <= usual <= timedelta(days=28)
