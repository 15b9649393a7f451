from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tasks.follow_on import poll_completions
from tasks.runtime import Runtime
from tests.unit.workflows.fakes.storefront import Clock, rows
from worker.broker.app import create_celery
from worker.clients.learningcart.models import CourseCompletionInfo
from worker.ledger.tables.follow_on import completions
from worker.settings.settings import Settings, load_settings


class Report:
    """LearningCart's report of one learner who began a course."""

    def __init__(self) -> None:
        self.asked = 0

    def get_completions(self, begin_at: object, end_at: object) -> list[CourseCompletionInfo]:
        self.asked += 1
        record = {"Status": 0, "Course": {"Course ID": 77}, "Customer": {"Customer ID": 5001}}
        return [CourseCompletionInfo.model_validate(record)]

    def close(self) -> None:
        pass


@pytest.fixture
def report(runtime: Runtime) -> Report:
    report = Report()
    runtime.clients["learningcart"] = report
    return report


def poll(runtime: Runtime) -> None:
    runtime.app.tasks[poll_completions.name].apply(throw=True)


def test_completions_are_read_once_an_interval_when_beat_asks_often(
    runtime: Runtime, report: Report, clock: Clock
) -> None:
    poll(runtime)
    first = report.asked
    assert first > 0
    for _ in range(14):
        clock.advance(minutes=1)
        poll(runtime)
    assert report.asked == first
    clock.advance(minutes=1)
    poll(runtime)
    assert report.asked == first + 1
    assert [row.customer_id for row in rows(runtime.ledger, completions)] == ["5001"]


def test_nothing_is_read_when_learningcart_is_off(runtime: Runtime) -> None:
    runtime.clients.clear()
    poll(runtime)
    assert rows(runtime.ledger, completions) == []


def schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = create_celery(settings).conf.beat_schedule
    return found


def test_beat_asks_for_completions_when_they_are_polled_only(settings: Settings) -> None:
    entry = schedule(settings)["poll_completions"]
    assert (entry["task"], entry["schedule"]) == (poll_completions.name, timedelta(seconds=60))
    assert "poll_completions" not in schedule(load_settings({}, env_file=None))
    never = settings.model_copy(update={"learningcart": settings.learningcart.model_copy(update={"poll_seconds": 0})})
    assert "poll_completions" not in schedule(never)
