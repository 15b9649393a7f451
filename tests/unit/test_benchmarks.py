"""What the benchmark makes of what it measured: rates, verdicts, and a picture that can be read."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from benchmarks.plot import plot
from benchmarks.report import GOALS, lines
from benchmarks.target import CALLS, Report

THROUGHPUT = {
    "per_second": {"bare loop": 900.0, "celery chain": 200.0, "dbos": 60.0, "distributed": 100.0, "embedded": 130.0},
    "rounds": {name: [1.0, 2.0] for name in ("bare loop", "celery chain", "dbos", "distributed", "embedded")},
}


def test_rate_is_of_whole_workflows_when_calls_come_in_any_order() -> None:
    moments = [number / 30 for number in range(300)]
    in_turn = {call: moments[place::3] for place, call in enumerate(CALLS)}
    in_blocks = {call: moments[100 * place : 100 * place + 100] for place, call in enumerate(CALLS)}
    rates = [Report(calls, {}, 100).per_second() for calls in (in_turn, in_blocks)]
    assert rates == pytest.approx([10, 10])


def test_verdict_is_by_the_side_of_the_aim_when_more_or_less_is_better() -> None:
    found = {goal.name: verdict for goal, _, verdict in lines({"throughput": THROUGHPUT, "slow": {"share": 0.97}})}
    assert found == {
        "distributed ÷ Celery chain": "MISSED",
        "distributed ÷ DBOS": "MISSED",
        "embedded ÷ DBOS": "aim",
        "300 ms a call, 32 slots: share of the ideal rate": "ok",
    }


def test_count_meets_its_goal_when_only_the_clock_adds_to_it() -> None:
    results = {"costs": {"round_trips": 8.01, "transactions": 3.01, "messages": 1.2}}
    assert [verdict for _, _, verdict in lines(results)] == ["ok", "aim", "MISSED"]
    assert all(goal.at_least > 0 for goal in GOALS)


def test_plot_is_well_formed_when_rounds_differ() -> None:
    picture = ET.fromstring(plot(THROUGHPUT))  # noqa: S314  (our own)
    bars = [each for each in picture.iter() if each.tag.endswith("rect")]
    assert len(bars) == 4
