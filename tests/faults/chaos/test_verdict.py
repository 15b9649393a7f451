"""The judgement of a chaos run: what it calls lost, doubled, explained, told and settled."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.faults.chaos.fleet import Freeze
from tests.faults.chaos.storefront import Sold
from tests.faults.chaos.verdict import ChaosVerdict, Evidence, judge, percentile
from tests.faults.harness.sales import Sale
from tests.faults.judging.ledger import AttemptFact, RunFact
from tests.faults.judging.sold import Seat, comped_orders

SOLD_AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SEAT = Seat("studiocart", "10001", "learner-1@example.test", (501,))
SALE = Sale("webhook", "studiocart", "10001", {}, (SEAT,), webhooks=1)
SOLD = Sold(SALE, SOLD_AT.timestamp(), SOLD_AT.timestamp())
RUN = RunFact(
    id="run-1",
    key="studiocart/10001/1107/buyer/501",
    workflow="enrolment",
    state="succeeded",
    reason=None,
    source="studiocart",
    order_id="10001",
    line_id="1107",
    seat_id="buyer",
    email="learner-1@example.test",
    price_id=501,
    result_id="90001",
    parent_id=None,
    finished_at=SOLD_AT + timedelta(seconds=20),
)
REVOCATION = replace(
    RUN,
    id="run-2",
    key=f"{RUN.key}/revoke",
    workflow="revocation",
    state="review",
    reason="refunded_after_provisioning",
    parent_id="run-1",
)
DUPLICATE = replace(REVOCATION, key=f"{RUN.key}/duplicate/90002", reason="duplicate_effect", result_id="90002")


def comped(order_id: int, *, seconds: float = 3.0, **changed: Any) -> dict[str, Any]:
    """An entry of the sandbox's log."""
    effect = {
        "operation": "addCompOrder",
        "at": (SOLD_AT + timedelta(seconds=seconds)).isoformat(timespec="microseconds"),
        "order_id": order_id,
        "email": SEAT.email,
        "price_id": 501,
        "comments": "cb-aaaaaaaaaaaaaaaaaaaa studiocart order 10001",
    }
    return effect | changed


def attempt(*, seconds: float = 2.0, process_id: int = 77, outcome: str | None = "ok") -> AttemptFact:
    began = SOLD_AT + timedelta(seconds=seconds)
    return AttemptFact("run-1", "call", f"vm:{process_id}:abc", began, began + timedelta(seconds=1), outcome)


def judged(
    *effects: dict[str, Any],
    runs: tuple[RunFact, ...] = (RUN,),
    sold: Sold = SOLD,
    attempts: tuple[AttemptFact, ...] = (),
    **more: Any,
) -> ChaosVerdict:
    evidence = {"findings": (), "freezes": ()} | more
    return judge(Evidence(sold=[sold], made=comped_orders(effects), runs=runs, attempts=attempts, **evidence))


def wrong(verdict: ChaosVerdict) -> set[str]:
    return {name for name, found in verdict.wrong.items() if found}


def test_nothing_is_wrong_when_the_seat_has_its_comped_order() -> None:
    verdict = judged(comped(90001))
    assert wrong(verdict) == set()
    assert (verdict.seats, verdict.comped, verdict.access_seconds) == (1, 1, [3.0])


@pytest.mark.parametrize("runs", [(), (RUN,), (replace(RUN, state="cancelled"),)], ids=["none", "claimed", "cancelled"])
def test_seat_is_lost_when_nothing_was_made_and_nobody_is_asked(runs: tuple[RunFact, ...]) -> None:
    assert wrong(judged(runs=runs)) == {"lost"}


@pytest.mark.parametrize("state", ["review", "failed"])
def test_seat_is_parked_when_a_person_is_asked(state: str) -> None:
    verdict = judged(runs=(replace(RUN, state=state, reason="outcome_unknown", result_id=None),))
    assert wrong(verdict) == set()
    assert verdict.parked.total() == 1
    assert len(verdict.failed) == (state == "failed")


def test_seat_is_lost_when_the_review_has_no_reason() -> None:
    assert wrong(judged(runs=(replace(RUN, state="review"),))) == {"lost"}


def test_run_is_stuck_when_it_still_waits() -> None:
    assert wrong(judged(comped(90001), runs=(replace(RUN, state="waiting"),))) == {"stuck"}


def test_order_is_stray_when_it_was_never_sold() -> None:
    elsewhere = comped(90002, comments="cb-aaaaaaaaaaaaaaaaaaaa studiocart order 999")
    assert wrong(judged(comped(90001), elsewhere)) == {"stray"}
    assert wrong(judged(comped(90001), comped(90002, comments=""))) == {"stray"}


def test_seat_is_doubled_when_it_has_two_orders_and_the_ledger_knows_one() -> None:
    assert wrong(judged(comped(90001), comped(90002))) == {"doubled", "undetected"}


def test_double_is_detected_when_a_review_or_a_finding_names_it() -> None:
    assert wrong(judged(comped(90001), comped(90002), runs=(RUN, DUPLICATE))) == {"doubled"}
    finding = {"kind": "duplicate", "cause": "second_effect", "sentence": "", "learningcart_order_ids": ["90002"]}
    assert wrong(judged(comped(90001), comped(90002), findings=[finding])) == {"doubled"}


@pytest.mark.parametrize(
    ("process_id", "thawed_after_seconds", "explained"),
    [(77, 15.0, True), (78, 15.0, False), (77, 30.0, False)],
    ids=["thawed", "another process", "long before the thaw"],
)
def test_double_is_a_thaws_only_when_the_frozen_process_sent_it(
    process_id: int, thawed_after_seconds: float, *, explained: bool
) -> None:
    began = SOLD_AT.timestamp()
    verdict = judged(
        comped(90001, seconds=12.0),
        comped(90002, seconds=16.0),
        runs=(RUN, DUPLICATE),
        attempts=(attempt(), attempt(seconds=11.0, process_id=5)),
        freezes=[Freeze(frozenset({process_id}), began + 2.5, began + thawed_after_seconds)],
    )
    assert wrong(verdict) == (set() if explained else {"doubled"})
    assert len(verdict.by_thaw) == explained


def test_refund_is_unrevoked_when_nobody_is_asked_to_revoke() -> None:
    refunded = replace(SOLD, sale=replace(SALE, is_withdrawn=True), changed_at=SOLD_AT.timestamp() + 30)
    assert wrong(judged(comped(90001), sold=refunded)) == {"unrevoked"}
    assert wrong(judged(comped(90001), sold=refunded, runs=(RUN, REVOCATION))) == set()
    assert wrong(judged(sold=refunded, runs=(replace(RUN, state="cancelled"),))) == set()


def test_books_disagree_when_reconcile_finds_more_than_open_questions() -> None:
    finding = {"kind": "stale", "cause": "revocation_open", "sentence": "", "learningcart_order_ids": ["90001"]}
    assert wrong(judged(comped(90001), findings=[finding])) == set()
    assert wrong(judged(comped(90001), findings=[finding | {"kind": "missing"}])) == {"disagreements"}


def test_recovery_counts_from_the_first_failure_to_the_success() -> None:
    attempts = (attempt(outcome="unknown"), attempt(seconds=8.0, outcome="retryable"), attempt(seconds=19.0))
    assert judged(comped(90001), attempts=attempts).recovery_seconds == [17.0]
    assert judged(comped(90001), attempts=attempts[2:]).recovery_seconds == []
    assert judged(comped(90001), attempts=attempts, skewed=frozenset({77})).recovery_seconds == []


@pytest.mark.parametrize(("percent", "expected"), [(50, 5.0), (99, 10.0), (100, 10.0), (1, 1.0)])
def test_percentile_is_the_value_that_so_many_do_not_exceed(percent: float, expected: float) -> None:
    assert percentile([float(number) for number in range(1, 11)], percent) == expected
    assert percentile([], percent) is None
