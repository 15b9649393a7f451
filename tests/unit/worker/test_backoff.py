from __future__ import annotations

from random import Random
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.backoff import LONGEST_REQUESTED_WAIT_SECONDS, backoff_seconds


class Highest(Random):
    """Always draws the upper end."""

    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.mark.parametrize(
    ("failures", "expected"), [(0, 2), (1, 2), (2, 4), (3, 8), (11, 2048), (12, 3600), (10_000, 3600)]
)
def test_ceiling_doubles_with_each_failure_up_to_the_longest(failures: int, expected: float) -> None:
    assert backoff_seconds(failures, base_seconds=2, max_seconds=3600, rng=Highest()) == expected


def test_wait_is_spread_over_the_whole_range_when_many_failed_together() -> None:
    rng = Random(7)
    drawn = [backoff_seconds(4, base_seconds=2, max_seconds=3600, rng=rng) for _ in range(2000)]
    assert min(drawn) < 0.1
    assert max(drawn) > 15.9
    assert 7.5 < mean(drawn) < 8.5


@settings(max_examples=50, deadline=None)
@given(
    st.integers(min_value=-5, max_value=10**9),
    st.floats(min_value=0, max_value=1e6),
    st.floats(min_value=0, max_value=1e6),
    st.none() | st.floats(min_value=-10, max_value=1e12),
    st.integers(),
)
def test_wait_is_between_the_servers_wish_and_the_ceiling(
    failures: int, base: float, longest: float, requested: float | None, seed: int
) -> None:
    wait = backoff_seconds(
        failures, base_seconds=base, max_seconds=longest, rng=Random(seed), retry_after_seconds=requested
    )
    least = min(requested or 0.0, LONGEST_REQUESTED_WAIT_SECONDS)
    assert max(least, 0.0) <= wait <= max(longest, least)


@pytest.mark.parametrize(
    ("requested", "expected"),
    [(None, 2), (0, 2), (1, 2), (600, 600), (7200, 7200), (10**9, LONGEST_REQUESTED_WAIT_SECONDS)],
)
def test_server_is_given_the_time_it_wishes_but_never_more_than_a_day(requested: float | None, expected: float) -> None:
    wait = backoff_seconds(1, base_seconds=2, max_seconds=3600, rng=Highest(), retry_after_seconds=requested)
    assert wait == expected
