from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.unit.worker.ledger.rows import (
    NOW,
    add_attempt,
    add_breaker,
    add_delivery,
    add_event,
    add_order,
    add_pause,
    add_run,
    ledger_in_memory,
    minutes_ago,
)
from worker.errors import NotInLedgerError
from worker.ledger.views import history as story
from worker.ledger.views.history import why
from worker.ledger.views.serializers import to_json


@pytest.fixture
def connection() -> Iterator[Connection]:
    with ledger_in_memory() as opened:
        yield opened


def ask(connection: Connection, subject: str = "jane@example.com") -> dict[str, Any]:
    found: dict[str, Any] = to_json(why(connection, subject, now=NOW))
    return found


def texts(found: dict[str, Any]) -> list[str]:
    return [line["text"] for line in found["timeline"]]


def test_the_whole_story_is_told_in_order_when_access_was_given(connection: Connection) -> None:
    add_order(connection, at=minutes_ago(30))
    add_delivery(connection, "d1", at=minutes_ago(20))
    add_delivery(connection, "d2", at=minutes_ago(19), via="poll", duplicate=True)
    add_delivery(connection, "d3", at=minutes_ago(18), via="webhook", duplicate=True)
    add_event(connection, "order_planned", at=minutes_ago(20), detail={"status": "paid", "state": "planned"})
    run = add_run(
        connection,
        at=minutes_ago(20),
        state="succeeded",
        result_id="9001",
        finished_at=minutes_ago(10),
        next_attempt_at=None,
    )
    add_event(connection, "run_planned", at=minutes_ago(20), run_id=run)
    add_attempt(connection, run, "add_customer", at=minutes_ago(16))
    add_attempt(connection, run, "add_customer_to_group_2", at=minutes_ago(15))
    add_attempt(connection, run, "add_comped_order", 1, at=minutes_ago(14), outcome=None, finished_at=None, error=None)
    add_attempt(connection, run, "add_comped_order", 2, at=minutes_ago(10), kind="lookup", outcome="adopted")
    add_event(
        connection, "run_succeeded", at=minutes_ago(10), run_id=run, detail={"outcome": "adopted", "result_id": "9001"}
    )

    found = ask(connection, "studiocart/1109")

    assert found["tone"] == "good"
    assert found["action"] is None
    assert found["answer"] == (
        "jane@example.com has access to First aid (price 501) since 2025-03-04 11:50 UTC, LearningCart order 9001."
    )
    assert texts(found) == [
        "Order studiocart/1109 was placed by Jane Doe.",
        "A webhook told of order studiocart/1109.",
        "Order studiocart/1109 was planned: status 'paid': paid, every seat is planned.",
        "First aid (price 501): planned.",
        "Order studiocart/1109 arrived again with nothing new (1 × poll, 1 × webhook); refused as duplicates.",
        "First aid (price 501): customer in LearningCart: done.",
        "First aid (price 501): membership of the group: done.",
        "First aid (price 501): comped order: sent, no answer yet.",
        "First aid (price 501): LearningCart was asked for the comped order: found, it had been made before.",
        "First aid (price 501): access was given, LearningCart order 9001 was found.",
    ]
    assert found["timeline"][-1]["tone"] == "good"
    assert found["timeline"][-1]["run_id"] == run
    assert found["timeline"][0] == {
        "at": "2025-03-04T11:30:00Z",
        "text": "Order studiocart/1109 was placed by Jane Doe.",
        "tone": "plain",
        "order": "studiocart/1109",
        "run_id": None,
    }
    for name in (run, "studiocart/1109/1107/buyer/501", "JANE@example.com"):
        assert ask(connection, name)["timeline"] == found["timeline"]


@pytest.mark.parametrize(
    ("values", "tone", "answer", "action"),
    [
        (
            {"state": "review", "reason": "unmapped_product", "next_attempt_at": None},
            "bad",
            "has no access to First aid (price 501) yet. No offer",
            "cartbridge replay",
        ),
        (
            {"state": "failed", "reason": "refused", "note": "InvalidRequestError: no"},
            "bad",
            "it failed. The destination refused the call, and would refuse it again. (no)",
            "cartbridge replay",
        ),
        ({"state": "running"}, "wait", "is being given access to First aid (price 501) right now.", None),
        (
            {"state": "cancelled", "reason": "refunded_by_source"},
            "plain",
            "gets no access to First aid (price 501): cancelled. The order was refunded",
            "Nothing",
        ),
        (
            {"state": "waiting", "reason": "retrying", "note": "ServerError: 503", "next_attempt_at": minutes_ago(-5)},
            "wait",
            (
                "the next try is at 2025-03-04 12:05 UTC. The last attempt failed and is tried again "
                "at the time shown. (503)"
            ),
            "Nothing",
        ),
        ({"state": "pending", "next_attempt_at": minutes_ago(9)}, "bad", "and no worker took it", "cartbridge up"),
        ({"state": "pending", "next_attempt_at": NOW}, "wait", "it is due now", None),
        ({"state": "pending", "next_attempt_at": None}, "wait", "it is due now", None),
        (
            {"state": "succeeded", "reason": "done_by_hand", "note": "ann did it", "finished_at": NOW},
            "good",
            "by hand: ann did it (2025-03-04 12:00 UTC)",
            None,
        ),
        ({"state": "succeeded", "finished_at": None}, "good", "since an unknown time.", None),
    ],
)
def test_the_answer_names_the_cause_when_a_run_is_in_a_state(
    connection: Connection, values: dict[str, Any], tone: str, answer: str, action: str | None
) -> None:
    add_order(connection)
    add_run(connection, **values)
    found = ask(connection)
    assert found["tone"] == tone
    assert answer in found["answer"]
    assert found["action"] is None if action is None else action in found["action"]


def test_an_outage_is_the_answer_when_it_is_what_keeps_a_run(connection: Connection) -> None:
    add_order(connection)
    add_run(connection, at=minutes_ago(20))
    add_breaker(connection)
    found = ask(connection)
    assert "learningcart is down since 2025-03-04 11:30 UTC (learningcart addCustomer" in found["answer"]
    assert "asks it again at 12:00:20 UTC" in found["answer"]
    assert "cartbridge resume learningcart" in found["action"]
    assert [(each["kind"], each["arguments"]) for each in found["actions"]] == [("resume", {"system": "learningcart"})]


def test_an_outage_is_no_answer_when_calls_only_failed_now_and_then(connection: Connection) -> None:
    add_order(connection)
    add_run(connection)
    add_breaker(connection, state="closed")
    assert "starts within seconds" in ask(connection)["answer"]


@pytest.mark.parametrize(
    ("kind", "action"), [("operator", "`cartbridge resume learningcart`"), ("authentication", "Correct its")]
)
def test_the_pause_is_named_when_the_destination_is_paused(connection: Connection, kind: str, action: str) -> None:
    add_order(connection)
    add_run(connection)
    add_pause(connection, kind=kind, reason="maintenance" if kind == "operator" else "")
    found = ask(connection)
    assert "learningcart is paused by ann" in found["answer"]
    assert ("maintenance" in found["answer"]) == (kind == "operator")
    assert found["action"].startswith(action)
    assert "cartbridge resume learningcart" in found["action"]


def test_the_run_ahead_is_named_when_the_lane_is_taken(connection: Connection) -> None:
    add_order(connection)
    ahead = add_run(connection, seat="seat-2", state="running")
    add_run(connection, state="pending", next_attempt_at=minutes_ago(9))
    assert f"another run of the same learner ({ahead}) is first" in ask(connection)["answer"]


def test_the_worst_is_told_and_the_others_counted_when_several_need_a_person(connection: Connection) -> None:
    add_order(connection)
    add_run(connection, state="succeeded")
    add_run(connection, seat="seat-2", state="failed", reason="refused")
    add_run(connection, seat="seat-3", state="review", reason="made_up")
    found = ask(connection)
    assert found["answer"].startswith(
        "jane@example.com has no access to First aid (price 501), seat-3 yet. (1 more below.) "
        "jane@example.com has access to First aid (price 501) since "
    )
    assert found["action"] is None


def test_the_others_are_counted_when_several_were_given_access(connection: Connection) -> None:
    add_order(connection)
    for seat in ("buyer", "seat-2", "seat-3"):
        add_run(connection, seat=seat, state="succeeded")
    assert ask(connection)["answer"].endswith(" (2 more like it.)")


def test_a_question_about_access_given_is_told_when_it_was_refunded(connection: Connection) -> None:
    add_order(connection)
    done = add_run(connection, state="succeeded", result_id="9001")
    revoke = add_run(
        connection,
        workflow="revocation",
        state="review",
        reason="refunded_after_provisioning",
        parent_id=done,
        note="n",
    )
    found = ask(connection)
    assert found["answer"].startswith("jane@example.com has access to First aid (price 501) (LearningCart order 9001, ")
    assert "; order studiocart/1109, which paid for it, was refunded after that (n)." in found["answer"]
    assert revoke in found["action"]
    (resolve,) = found["actions"]
    assert (resolve["kind"], resolve["arguments"]) == ("resolve", {"run_id": revoke, "note": None})
    add_event(connection, "run_succeeded", run_id=revoke)
    assert texts(ask(connection))[-1] == "First aid (price 501): done."


def test_settled_questions_and_replaced_placeholders_do_not_hide_the_access_when_it_was_given(
    connection: Connection,
) -> None:
    add_order(connection)
    add_run(connection, price=None, state="cancelled", reason="superseded")
    add_run(connection, workflow="revocation", state="succeeded")
    add_run(connection, state="succeeded", result_id="9001")
    assert ask(connection)["tone"] == "good"


@pytest.mark.parametrize(
    ("values", "tone", "answer"),
    [
        ({"state": "waiting", "reason": "awaiting_payment", "status": "pending-payment"}, "wait", "is not paid yet"),
        ({"state": "planned", "status": ""}, "plain", "has no seat to give access for."),
        ({"state": "review", "reason": "unknown_status"}, "bad", "needs a person"),
        ({"state": "cancelled", "reason": "refunded_by_source"}, "plain", "is cancelled or refunded"),
        ({"state": "ignored", "reason": "before_start"}, "plain", "gives nothing by rule. The order was paid before"),
        ({"state": "ignored", "reason": None}, "plain", "gives nothing by rule."),
    ],
)
def test_the_order_itself_answers_when_it_has_no_run(
    connection: Connection, values: dict[str, Any], tone: str, answer: str
) -> None:
    add_order(connection, **values)
    found = ask(connection)
    assert (found["tone"], found["runs"]) == (tone, [])
    assert answer in found["answer"]


@pytest.mark.parametrize(
    ("values", "tone", "answer", "line"),
    [
        (
            {"state": "review", "reason": "order_not_found", "note": "HTTP 404"},
            "bad",
            "could not be read. The source does not know this order. (HTTP 404)",
            "it could not be read (HTTP 404).",
        ),
        (
            {"state": "waiting", "reason": "source_unreachable", "next_attempt_at": minutes_ago(-5)},
            "wait",
            "the next try is at 2025-03-04 12:05 UTC",
            "not read yet. Next try 2025-03-04 12:05 UTC.",
        ),
        ({"state": "received", "via": "manual", "actor": "operator:ann"}, "wait", "within seconds", "ann asked for"),
    ],
)
def test_the_delivery_answers_when_the_order_was_never_read(
    connection: Connection, values: dict[str, Any], tone: str, answer: str, line: str
) -> None:
    add_delivery(connection, "d1", **values)
    found = ask(connection, "studiocart/1109")
    assert found["tone"] == tone
    assert answer in found["answer"]
    assert line in texts(found)[0]


def test_unread_news_counts_less_when_the_order_waits_already(connection: Connection) -> None:
    add_order(connection, state="waiting", reason="awaiting_payment")
    add_delivery(connection, "d1", state="ignored", reason="lead")
    add_delivery(connection, "d2", state="review", reason="source_refused")
    assert "not paid yet" in ask(connection)["answer"]


def test_the_buyers_story_holds_the_nameless_seats_when_asked_by_email(connection: Connection) -> None:
    add_order(connection)
    add_run(connection, state="succeeded")
    add_run(connection, seat="seat-2", email=None, price=None, state="review", reason="unnamed_seat")
    found = ask(connection)
    assert found["answer"].startswith("The learner has no access to First aid, seat-2 yet.")
    assert len(found["runs"]) == 2


def test_a_learners_own_seat_is_told_when_somebody_else_bought_it(connection: Connection) -> None:
    add_order(connection)
    add_run(connection, seat="participant-1", email="kim@example.com", state="succeeded")
    add_run(connection, state="failed", reason="refused")
    found = ask(connection, "kim@example.com")
    assert found["tone"] == "good"
    assert [order["order_id"] for order in found["orders"]] == ["1109"]


@pytest.mark.parametrize(
    ("kind", "values", "text", "tone"),
    [
        ("run_planned", {"reason": "unmapped_product", "actor": "operator:ann"}, "needs a person: No offer", "bad"),
        ("run_waiting", {"reason": "settling"}, "waits: The last attempt's outcome is unknown", "wait"),
        ("run_failed", {"reason": "refused"}, "failed: The destination refused", "bad"),
        ("run_replayed", {"actor": "operator:ann", "reason": "phone call"}, "replayed by ann: phone call", "plain"),
        ("run_resolved", {"actor": "operator:ann", "reason": "did it"}, "done by hand by ann: did it", "good"),
        ("run_succeeded", {"detail": {"outcome": "ok", "result_id": "9"}}, "LearningCart order 9 was made.", "good"),
        ("run_succeeded", {}, "access was given.", "good"),
        ("something_new", {}, "something new.", "plain"),
    ],
)
def test_an_event_is_told_in_plain_words_when_it_is_of_a_kind(
    connection: Connection, kind: str, values: dict[str, Any], text: str, tone: str
) -> None:
    add_order(connection, at=minutes_ago(1))
    run = add_run(connection)
    add_event(connection, kind, run_id=run, **values)
    line = ask(connection)["timeline"][-1]
    assert line["text"].startswith("First aid (price 501): ")
    assert text in line["text"]
    assert line["tone"] == tone


@pytest.mark.parametrize(
    ("kind", "values", "text"),
    [
        ("order_planned", {"detail": {"state": "waiting"}, "reason": "awaiting_payment"}, "was planned: not paid yet"),
        ("order_planned", {"detail": {"state": "ignored"}, "reason": "before_start"}, "nothing to do. The order was"),
        ("order_planned", {"detail": {"state": "unheard-of"}}, "order planned."),
        ("order_ingested", {"actor": "operator:ann", "reason": "phone"}, "ann asked for order studiocart/1109: phone"),
    ],
)
def test_an_orders_event_is_told_when_it_is_of_a_kind(
    connection: Connection, kind: str, values: dict[str, Any], text: str
) -> None:
    add_order(connection, at=minutes_ago(1), buyer_name="", buyer_email="", created_at=None)
    add_event(connection, kind, **values)
    found = ask(connection, "studiocart/1109")
    assert texts(found)[0] == "Order studiocart/1109 was placed by somebody."
    assert text in texts(found)[-1]


def test_a_death_is_told_when_a_worker_vanished_before_its_call(connection: Connection) -> None:
    add_order(connection)
    run = add_run(connection)
    add_attempt(connection, run, "add_customer", kind="death", outcome="retryable", error="gone")
    assert "First aid (price 501): customer in LearningCart: the worker vanished before the call (gone)." in texts(
        ask(connection)
    )


def test_the_oldest_lines_are_left_out_and_counted_when_there_are_too_many(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story, "_MOST_LINES", 2)
    add_order(connection, at=minutes_ago(9))
    add_delivery(connection, "d1", at=minutes_ago(8))
    add_delivery(connection, "d2", at=minutes_ago(7), via="reconcile")
    found = ask(connection, "studiocart/1109")
    assert texts(found) == [
        "A webhook told of order studiocart/1109.",
        "A reconciliation looked at order studiocart/1109.",
    ]
    assert found["omitted"] == 1


@pytest.mark.parametrize("subject", ["jane@exmaple.com", "studiocart/1190", "1109"])
def test_what_may_be_meant_is_offered_when_the_ledger_does_not_know_the_name(
    connection: Connection, subject: str
) -> None:
    add_order(connection)
    add_run(connection)
    with pytest.raises(NotInLedgerError, match=r"Did you mean (jane@example.com|studiocart/1109)"):
        ask(connection, subject)
