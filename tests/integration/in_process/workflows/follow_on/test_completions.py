from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any, cast

import pytest

from tests.unit.workflows.fakes.storefront import NOW, Clock, rows
from worker.clients.learningcart.models import CourseCompletionInfo
from worker.errors import (
    ApiError,
    ApiTimeoutError,
    AuthenticationError,
    InvalidRequestError,
    ServerError,
    UnexpectedResponseError,
)
from worker.ledger.follow_on import completions as completion_rows
from worker.ledger.follow_on.completions import CompletionState
from worker.ledger.session import Ledger
from worker.ledger.tables.follow_on import completions
from worker.ledger.tables.periodic import list_polls
from worker.ledger.tables.runs import cursors, events, outbox, pauses
from worker.ledger.views.serializers import to_json
from workflows.follow_on.completion_progress import Progress, advance
from workflows.follow_on.completions import SHORTEST_SPAN, CompletionsPoller, is_refusal_of_window

BEGAN_AT = NOW - timedelta(hours=5)
DAY = timedelta(days=1)


def info(
    *,
    customer: int = 5001,
    course: int | None = 77,
    began_at: datetime | None = BEGAN_AT,
    completed_at: datetime | None = None,
    score: int | None = None,
    **more: Any,
) -> CourseCompletionInfo:
    """A row of the report: completed if it has a date for that, else begun."""
    record = {
        "Start Date": began_at,
        "Completed Date": completed_at,
        "Status": 0 if completed_at is None else 1,
        "Score": score,
        "Course": {"Course ID": course, "Course Name": "First aid"},
        "Customer": {"Customer ID": customer, "Email": "Jane@Example.test", "First Name": "Jane", "Last Name": "Doe"},
    }
    return CourseCompletionInfo.model_validate(record | more)


def completed(**more: Any) -> CourseCompletionInfo:
    more = {"completed_at": NOW - timedelta(hours=1), "score": 95, **more}
    return info(**more)


def progress(reported: CourseCompletionInfo) -> Progress:
    found = Progress.reported(reported)
    assert found is not None
    return found


class Site:
    """LearningCart's report, in a zone of its own, which refuses windows that are too wide for its API user."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.rows: list[CourseCompletionInfo] = []
        self.windows: list[tuple[datetime, datetime]] = []
        self.widest: timedelta | None = None
        self.zone_hours = 0
        self.broken: list[ApiError] = []

    def get_completions(self, begin_at: datetime, end_at: datetime) -> list[CourseCompletionInfo]:
        self.windows.append((begin_at, end_at))
        if self.broken:
            raise self.broken.pop(0)
        if self.widest is not None and end_at - begin_at > self.widest:
            raise InvalidRequestError("too many days")
        shift = timedelta(hours=self.zone_hours)
        moments = [(row, row.completed_at or row.started_at) for row in self.rows]
        return [row for row, at in moments if at and begin_at - shift <= at <= min(end_at - shift, self.clock())]


@pytest.fixture
def site(clock: Clock) -> Site:
    return Site(clock)


NewPoller = Callable[..., CompletionsPoller]


@pytest.fixture
def new_poller(ledger: Ledger, site: Site, clock: Clock) -> NewPoller:
    def make(holder: str = "one", **options: Any) -> CompletionsPoller:
        return CompletionsPoller(ledger, site, holder=holder, clock=clock, **{"lease_seconds": 120.0, **options})

    return make


def kinds(ledger: Ledger) -> list[str]:
    return [row.kind for row in rows(ledger, events)]


def covered_until(ledger: Ledger) -> datetime:
    (row,) = rows(ledger, list_polls)
    return datetime.fromisoformat(row.position["covered_until"])


# What becomes of one learner's course


def test_progress_never_goes_back_when_news_come_in_any_order() -> None:
    changes = [
        progress(info(score=10)),
        progress(completed(score=80)),
        progress(completed(score=95, completed_at=NOW)),
        progress(info()),
    ]
    for order in permutations(changes):
        after, reached = advance(None, [])
        for each in order:
            after, more = advance(after, [each, each])
            reached += more
        assert after is not None
        assert (after.state, after.score, after.completed_at) == ("completed", 95, NOW - timedelta(hours=1))
        assert reached in ([CompletionState.BEGAN, CompletionState.COMPLETED], [CompletionState.COMPLETED])


def test_both_states_are_reached_when_one_answer_tells_both() -> None:
    _, reached = advance(None, [progress(completed()), progress(info())])
    assert reached == ["began", "completed"]


def test_learner_follows_the_news_when_they_are_a_step_forward_only() -> None:
    begun, done = progress(info()), replace(progress(completed()), email="jane.roe@example.test", name="")
    forward, _ = advance(begun, [done])
    assert forward is not None
    assert (forward.email, forward.name) == ("jane.roe@example.test", "Jane Doe")
    assert advance(forward, [begun]) == (forward, [])


def test_row_is_read_either_way_when_its_status_is_missing() -> None:
    assert progress(completed(Status=None)).state == "completed"
    assert progress(info(Status=None)).state == "began"
    assert progress(info(began_at=None)).key == "5001/77/-"
    assert progress(completed(score=2**40, Course={"Course ID": 77, "Course Name": "a\0b"})).score is None


@pytest.mark.parametrize("more", [{"Customer": None}, {"Course": None}, {"course": None}, {"Status": 7}])
def test_row_is_left_out_when_it_names_nobody_nothing_or_no_status(more: dict[str, Any]) -> None:
    assert Progress.reported(info(**more)) is None


@pytest.mark.parametrize(
    ("error", "is_refusal"),
    [
        (InvalidRequestError("", status=400), True),
        (UnexpectedResponseError("", status=200), True),
        (ServerError("", status=500), True),
        (ServerError("", status=503), False),
        (AuthenticationError("", status=401), False),
        (ApiTimeoutError(""), False),
    ],
)
def test_window_is_refused_when_the_error_may_say_so(error: ApiError, is_refusal: bool) -> None:
    assert is_refusal_of_window(error) is is_refusal


# Polls


def test_each_fact_is_kept_and_told_once_when_it_is_reported_again_and_again(
    ledger: Ledger, site: Site, new_poller: NewPoller, clock: Clock
) -> None:
    site.rows = [info(), info(customer=5002, began_at=NOW - timedelta(hours=2)), info(Customer=None)]
    polled = new_poller(sends_events=True).poll()
    assert (polled.rows, polled.changed, polled.unreadable, polled.error) == (3, 2, 1, None)
    clock.advance(minutes=15)
    assert new_poller(sends_events=True).poll().changed == 0
    clock.advance(hours=2)
    site.rows = [completed(completed_at=clock(), score=95), *site.rows]
    for _ in range(2):
        new_poller(sends_events=True).poll()
        clock.advance(minutes=15)
    first, second = sorted(rows(ledger, completions), key=lambda row: row.customer_id)
    assert (first.state, first.score, first.email_key, first.name) == ("completed", 95, "jane@example.test", "Jane Doe")
    assert (second.state, second.score, second.completed_at) == ("began", None, None)
    assert kinds(ledger) == ["completion_began", "completion_began", "completion_completed"]
    reported = rows(ledger, outbox)
    assert [row.kind for row in reported] == ["completion.began", "completion.began", "completion.completed"]
    data = reported[2].payload["data"]
    assert (data["email"], data["course_id"], data["score"]) == ("Jane@Example.test", "77", 95)
    assert "example.test" not in str([row.detail for row in rows(ledger, events)]).casefold()


def test_nothing_is_put_into_the_outbox_when_nobody_is_to_be_told(
    ledger: Ledger, site: Site, new_poller: NewPoller
) -> None:
    site.rows = [completed()]
    assert new_poller().poll().changed == 1
    assert rows(ledger, outbox) == []
    assert kinds(ledger) == ["completion_completed"]


def test_first_poll_looks_back_and_later_ones_overlap_when_they_ask(
    ledger: Ledger, site: Site, new_poller: NewPoller, clock: Clock
) -> None:
    new_poller().poll()
    assert (site.windows[0][0], site.windows[-1][1]) == (NOW - 31 * DAY, NOW + DAY)
    assert all(end - begin <= 7 * DAY for begin, end in site.windows)
    assert all(one[1] == next_[0] for one, next_ in zip(site.windows, site.windows[1:], strict=False))
    assert covered_until(ledger) == NOW
    site.windows.clear()
    later = clock.advance(minutes=15)
    new_poller().poll()
    assert site.windows == [(NOW - 2 * DAY, later + DAY)]


def test_nothing_is_missed_when_the_clock_was_ahead_and_is_right_again(
    ledger: Ledger, site: Site, new_poller: NewPoller, clock: Clock
) -> None:
    clock.advance(days=400)
    new_poller().poll()
    clock.advance(days=-399)
    site.rows.append(completed(completed_at=clock.now - timedelta(hours=1)))
    for _ in range(2):
        new_poller().poll()
        assert len(rows(ledger, completions)) == 1
        assert covered_until(ledger) == clock.now


@pytest.mark.parametrize("zone_hours", [-12, 0, 14])
def test_nothing_is_missed_when_the_site_reads_dates_in_another_zone(
    ledger: Ledger, site: Site, new_poller: NewPoller, clock: Clock, zone_hours: int
) -> None:
    site.zone_hours = zone_hours
    for number in range(24):
        site.rows.append(completed(customer=6000 + number, completed_at=clock.advance(hours=1)))
        if number % 7 == 0:
            new_poller().poll()
    clock.advance(minutes=15)
    new_poller().poll()
    assert len(rows(ledger, completions)) == 24


def test_window_is_halved_when_the_site_refuses_it(
    ledger: Ledger, site: Site, new_poller: NewPoller, clock: Clock
) -> None:
    site.widest = DAY
    site.rows = [completed(customer=6000 + days, completed_at=NOW - days * DAY) for days in range(0, 30, 4)]
    polled = new_poller().poll()
    assert (polled.error, polled.changed) == (None, 8)
    site.widest = SHORTEST_SPAN / 2
    failed = new_poller().poll()
    assert failed.error == "InvalidRequestError: too many days"
    assert rows(ledger, list_polls)[0].failures == 1


def test_poll_goes_on_where_it_stood_when_it_failed_midway(
    ledger: Ledger, site: Site, new_poller: NewPoller, clock: Clock
) -> None:
    site.rows = [completed(completed_at=NOW - 29 * DAY), completed(customer=5002, completed_at=NOW - DAY)]
    stopping = new_poller(should_stop=lambda: len(site.windows) == 2)
    assert stopping.poll().error == "ApiError: stopped: the process ends"
    assert covered_until(ledger) == NOW - 17 * DAY
    assert len(rows(ledger, completions)) == 1
    site.broken = [ApiTimeoutError("too slow")]
    assert new_poller().poll().error == "ApiTimeoutError: too slow"
    (cursor,) = rows(ledger, list_polls)
    assert (cursor.failures, cursor.last_success_at, cursor.lease_holder) == (2, None, None)
    site.windows.clear()
    assert new_poller().poll().error is None
    assert site.windows[0][0] == NOW - 19 * DAY
    assert (len(rows(ledger, completions)), covered_until(ledger)) == (2, NOW)


def test_second_poll_leaves_it_when_one_is_under_way(
    ledger: Ledger, site: Site, new_poller: NewPoller, clock: Clock
) -> None:
    site.rows = [completed()]

    def meanwhile() -> bool:
        if len(site.windows) == 1:
            assert new_poller("two").poll().is_left_out
        return False

    assert new_poller(should_stop=meanwhile).poll().changed == 1
    assert len(rows(ledger, completions)) == 1


def test_poll_writes_nothing_more_when_another_took_over(
    ledger: Ledger, site: Site, new_poller: NewPoller, clock: Clock
) -> None:
    site.rows = [completed()]

    def lose() -> bool:
        with ledger.write() as connection:
            connection.execute(list_polls.update().values(lease_holder="two"))
        return False

    assert new_poller(should_stop=lose).poll().error == "ApiError: another poll took over"
    assert rows(ledger, completions) == []
    assert rows(ledger, list_polls)[0].lease_holder == "two"


def test_nothing_is_asked_when_learningcart_is_paused(ledger: Ledger, site: Site, new_poller: NewPoller) -> None:
    with ledger.write() as connection:
        paused = {"system": "learningcart", "kind": "operator", "reason": "", "actor": "operator:ann", "since": NOW}
        connection.execute(pauses.insert().values(paused))
    assert new_poller().poll().is_left_out
    assert site.windows == []


def test_poll_is_nobodys_source_when_it_is_made(ledger: Ledger) -> None:
    with ledger.write() as connection:
        assert completion_rows.completions_poll(connection) is None
        assert completion_rows.take_poll(connection, holder="one", now=NOW, lease_seconds=60) is not None
        assert to_json(completion_rows.completions_poll(connection)) == {
            "last_attempt_at": "2026-03-10T12:00:00Z",
            "last_success_at": None,
            "covered_until": None,
            "unreadable": 0,
            "failures": 0,
            "last_error": None,
        }
        assert completion_rows.last_poll_at(connection) == NOW
    assert rows(ledger, cursors) == []


# One broken row


def test_all_others_are_kept_when_one_row_cannot_be_read(
    ledger: Ledger, site: Site, new_poller: NewPoller, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.rows = [info(customer=1), info(customer=2), info(customer=3)]
    understand = Progress.reported.__func__  # type: ignore[attr-defined]

    def reported(cls: type[Progress], each: CourseCompletionInfo) -> Progress | None:
        if each.customer and each.customer.customer_id == 2:
            raise OverflowError
        return cast("Progress | None", understand(cls, each))

    monkeypatch.setattr(Progress, "reported", classmethod(reported))
    for _ in range(2):
        polled = new_poller().poll()
        assert (polled.error, list(polled.set_aside)) == (None, ["2/77"])
    assert {row.customer_id for row in rows(ledger, completions)} == {"1", "3"}
    assert [row.detail["completion"] for row in rows(ledger, events, events.c.kind == "completion_set_aside")] == [
        "2/77"
    ]
    [cursor] = rows(ledger, list_polls)
    assert "2/77: OverflowError" in cursor.last_error
    assert (cursor.failures, cursor.lease_until) == (0, None)
    monkeypatch.undo()
    new_poller().poll()
    assert {row.customer_id for row in rows(ledger, completions)} == {"1", "2", "3"}
    [cursor] = rows(ledger, list_polls)
    assert cursor.last_error is None


def test_all_others_are_kept_when_one_cannot_be_recorded(
    ledger: Ledger, site: Site, new_poller: NewPoller, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.rows = [info(customer=1), info(customer=2), info(customer=3)]
    add = completion_rows.add_completion

    def failing(connection: Any, values: dict[str, Any], *, now: datetime) -> str:
        if values["customer_id"] == "2":
            raise ValueError
        return add(connection, values, now=now)

    monkeypatch.setattr(completion_rows, "add_completion", failing)
    polled = new_poller().poll()
    assert {row.customer_id for row in rows(ledger, completions)} == {"1", "3"}
    assert [key.partition("/")[0] for key in polled.set_aside] == ["2"]


def test_the_cursor_is_let_go_of_when_anything_is_raised(ledger: Ledger, site: Site, new_poller: NewPoller) -> None:
    site.broken = [ValueError("jane@example.test")]  # type: ignore[list-item]
    polled = new_poller().poll()
    [cursor] = rows(ledger, list_polls)
    assert (cursor.failures, cursor.lease_until, cursor.last_error) == (1, None, polled.error)
    assert "ValueError" in (polled.error or "")
    assert "jane" not in (polled.error or "")
