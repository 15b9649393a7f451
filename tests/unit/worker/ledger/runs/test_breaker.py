"""The breaker's arithmetic, which needs no ledger, and its sentences."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.worker.ledger.rows import NOW
from worker.ledger.runs.breaker import Breaker, BreakerState

LATER = NOW + timedelta(minutes=10)
DOWN = Breaker("learningcart", BreakerState.OPEN, opened_at=NOW, probe_at=NOW + timedelta(seconds=60))


def failed(found: Breaker, *run_ids: str) -> Breaker:
    for run_id in run_ids:
        found = found.after_failure(run_id, error="ServerError: no", now=LATER, probe_seconds=60)
    return found


@pytest.mark.parametrize("run_ids", ["abcd", "aaaaaaaaaaaa", "ababababab"])
def test_breaker_stays_closed_when_failures_or_runs_are_few(run_ids: str) -> None:
    found = failed(Breaker("learningcart"), *run_ids)
    assert (found.state, found.failures) == (BreakerState.CLOSED, len(run_ids))


@pytest.mark.parametrize("run_ids", ["abcde", "aaabc", "abababc"])
def test_breaker_opens_when_failures_in_a_row_are_of_several_runs(run_ids: str) -> None:
    found = failed(Breaker("learningcart"), *run_ids)
    assert found.state is BreakerState.OPEN
    assert (found.opened_at, found.probe_at) == (LATER, LATER + timedelta(seconds=60))
    assert found.last_error == "ServerError: no"


def test_breaker_opens_by_one_runs_word_when_no_connection_can_be_had() -> None:
    found = Breaker("learningcart")
    for _ in range(5):
        assert found.state is BreakerState.CLOSED
        found = found.after_failure("a", error="not sent", now=LATER, probe_seconds=60, unreachable=True)
    assert found.state is BreakerState.OPEN


def test_probe_is_over_and_the_next_keeps_its_time_when_it_fails() -> None:
    probing = Breaker("learningcart", BreakerState.OPEN, opened_at=NOW, probe_at=LATER, probe_run_id="a")
    assert failed(probing, "b").probe_run_id == "a"
    after = failed(probing, "a")
    assert (after.state, after.probe_run_id, after.probe_at) == (BreakerState.OPEN, None, LATER)


def test_only_the_last_failing_runs_are_remembered() -> None:
    after = failed(DOWN, *(str(number) for number in range(30)), "15")
    assert after.failing_run_ids == (*(str(number) for number in range(10, 15)), *map(str, range(16, 30)), "15")


@pytest.mark.parametrize(
    ("seconds", "is_due"), [(0, True), (-1, True), (1, False), (60, False), (61, True), (3600, True)]
)
def test_probe_is_due_when_its_time_has_come_or_cannot_be_right(seconds: float, *, is_due: bool) -> None:
    found = Breaker("learningcart", BreakerState.OPEN, probe_at=NOW + timedelta(seconds=seconds))
    assert found.probe_is_due(NOW, 60) is is_due
    assert not Breaker("learningcart", probe_at=NOW).probe_is_due(NOW, 60)


def test_sentence_says_since_when_it_is_down_why_and_what_comes_next() -> None:
    assert failed(DOWN, "a").sentence(NOW) == (
        "learningcart is down since 2025-03-04 12:00 UTC (no). "
        "Its runs wait; one of them asks it again at 12:01:00 UTC."
    )
    assert DOWN.sentence(LATER).endswith("the next of them that is due asks it again.")
