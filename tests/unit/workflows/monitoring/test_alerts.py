"""What of all that is wrong is told, and when."""

from __future__ import annotations

from datetime import timedelta

from tests.unit.workflows.fakes.storefront import NOW
from workflows.monitoring.alerts import Alert, AlertsSent, Problem, judge

HOUR = timedelta(hours=1)
DOWN = Problem("down/learningcart", "learningcart is down", "Runs wait.", path="/systems")


def unmapped(count: int) -> Problem:
    return Problem("review/unmapped_product", f"{count} runs in review", "Add an offer.", "/runs?state=review")


def look(sent: AlertsSent, *found: Problem, after: timedelta = timedelta(0)) -> tuple[Alert | None, AlertsSent]:
    alert, sent = judge(found, sent, now=NOW + after, group=timedelta(minutes=5), repeat=24 * HOUR)
    return alert, AlertsSent.read(sent.document())  # as it comes back from the ledger


def test_problem_is_told_once_when_it_lasts() -> None:
    alert, sent = look(AlertsSent({}), unmapped(2))
    assert alert is not None
    assert alert.title == "Cartbridge: 2 runs in review"
    assert look(sent, unmapped(2), after=HOUR)[0] is None
    again, _ = look(sent, unmapped(2), after=24 * HOUR)
    assert again is not None


def test_problems_are_one_message_when_they_come_together() -> None:
    alert, _ = look(AlertsSent({}), DOWN, unmapped(1))
    assert alert is not None
    assert alert.title == "Cartbridge: learningcart is down, and 1 more"
    assert alert.text("https://bridge.example").split("\n\n") == [
        "learningcart is down\nRuns wait.\nhttps://bridge.example/systems",
        "1 runs in review\nAdd an offer.\nhttps://bridge.example/runs?state=review",
        "The page: https://bridge.example/",
    ]
    assert "http" not in alert.text(None)


def test_second_problem_waits_when_an_alert_was_just_sent() -> None:
    _, sent = look(AlertsSent({}), DOWN)
    early, sent = look(sent, DOWN, unmapped(3), after=timedelta(minutes=4))
    assert early is None
    alert, _ = look(sent, DOWN, unmapped(3), after=timedelta(minutes=5))
    assert alert is not None
    assert alert.new == (unmapped(3),)
    assert "Still so:\n- learningcart is down" in alert.text(None)


def test_nothing_is_waited_for_that_a_clock_noted_which_was_ahead() -> None:
    _, sent = look(AlertsSent({}), DOWN, after=3 * HOUR)
    alert, _ = look(sent, DOWN, unmapped(3))
    assert alert is not None
    assert alert.new == (unmapped(3),)


def test_more_of_the_same_is_left_to_the_summary_when_it_was_told() -> None:
    _, sent = look(AlertsSent({}), unmapped(2))
    assert look(sent, unmapped(9), after=2 * HOUR)[0] is None


def test_reason_is_news_when_it_appears_anew() -> None:
    _, sent = look(AlertsSent({}), unmapped(5))
    alert, sent = look(sent, after=HOUR)
    assert alert is None
    assert look(sent, unmapped(1), after=2 * HOUR)[0] is not None


def test_what_an_older_version_told_is_not_told_again() -> None:
    reported = {"review/unmapped_product": {"title": "2 runs in review", "count": 2, "at": NOW.isoformat()}}
    assert look(AlertsSent.read({"told": reported}), unmapped(3), after=HOUR)[0] is None


def test_nothing_is_told_to_be_over_when_it_has_become_worse() -> None:
    """Of each longer outage of a shop it was said that its failing polls were over."""
    failing, late = Problem("failing/studiocart", "polls fail"), Problem("late/studiocart", "no poll has succeeded")
    behind, paused = Problem("behind", "3 runs are due"), Problem("paused/learningcart", "learningcart is paused")
    _, sent = look(AlertsSent({}), failing, behind)
    alert, sent = look(sent, late, paused, after=HOUR)
    assert alert is not None
    assert (alert.new, alert.over) == ((late, paused), ())
    alert, _ = look(sent, Problem("failing/frontcore", "polls fail"), after=2 * HOUR)
    assert alert is not None
    assert alert.over == (late.title, paused.title)


def test_end_is_told_when_a_condition_is_over_and_not_when_work_is_done() -> None:
    _, sent = look(AlertsSent({}), DOWN, unmapped(1))
    alert, sent = look(sent, after=HOUR)
    assert alert is not None
    assert alert.title == "Cartbridge: over: learningcart is down"
    assert alert.over == ("learningcart is down",)
    assert not sent.reported
    assert look(sent, unmapped(1), after=2 * HOUR)[0] is not None
