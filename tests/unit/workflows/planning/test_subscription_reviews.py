"""What is asked of access whose subscription ends and goes on, whatever else becomes of its order: planning alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.workflows.fakes.storefront import NOW, START, an_order, apply, known, offers
from worker.ledger.states import RunState
from worker.reasons import Reason
from worker.sources.order import Payment
from workflows.planning.model import Ended, KnownRun, Role, Situation, Standing
from workflows.planning.planner import plan


def ended(reason: Reason, since: datetime) -> Standing:
    return Standing(Role.FIRST, "1108", is_judged=True, ended=Ended(reason, since, "until then"))


LIVE = Standing(Role.FIRST, "1108", is_judged=True)
ENDS = st.sampled_from([Reason.SUBSCRIPTION_PAUSED, Reason.SUBSCRIPTION_CANCELED, Reason.SUBSCRIPTION_PAST_DUE])
CHANGES = st.one_of(ENDS, st.sampled_from(["live", "resolve", "cancel", "refund", "pay", "unpay"]))


@given(st.lists(CHANGES, max_size=14))
@example([Reason.SUBSCRIPTION_PAUSED, "refund", "resolve", "live", "pay"])
@example([Reason.SUBSCRIPTION_PAUSED, "live", "refund", "resolve", "pay"])
def test_one_question_at_most_is_open_and_a_plan_repeats_nothing_whatever_comes(news: list[Any]) -> None:
    known_runs: list[KnownRun] = [known(state=RunState.SUCCEEDED)]
    standing, payment, before, now = LIVE, Payment.PAID, Payment.PAID, NOW
    for each in news:
        now += timedelta(days=1)
        if isinstance(each, Reason):
            since = standing.ended.since if standing.ended and standing.ended.reason == each else now
            standing = ended(each, since)
        elif each == "live" and standing.ended is not None:
            standing = replace(LIVE, resumed=(standing.ended.since, now))
        elif each in {"resolve", "cancel"}:
            answer = {"state": RunState.SUCCEEDED, "reason": "done_by_hand"}
            if each == "cancel":
                answer = {"state": RunState.CANCELLED, "cancelled_by": "operator"}
            known_runs = [
                replace(run, **answer, finished_at=now) if run.state is RunState.REVIEW else run  # type: ignore[arg-type]
                for run in known_runs
            ]
        else:
            reported = {"refund": Payment.REFUNDED, "pay": Payment.PAID, "unpay": Payment.WAITING}
            payment = reported.get(str(each), payment)
        seen = Situation(True, before is Payment.PAID, start_at=START, standing=standing)
        known_runs = apply(plan(an_order(payment=payment), offers(), known_runs, seen), known_runs)
        before = payment
        again = replace(seen, paid_before=payment is Payment.PAID)
        assert plan(an_order(payment=payment), offers(), known_runs, again).actions == ()
        asked = [run.key for run in known_runs if run.state is RunState.REVIEW and "/revoke" in run.key]
        assert len(asked) <= 1
        open_ends = [run for run in known_runs if run.state is RunState.REVIEW and run.reason in set(Reason)]
        if standing.ended is None and payment is not Payment.REFUNDED:
            assert not any(str(run.reason).startswith("subscription_p") for run in open_ends)


def test_new_end_is_asked_anew_when_the_one_before_was_answered() -> None:
    first, second = (
        ended(Reason.SUBSCRIPTION_PAST_DUE, NOW),
        ended(Reason.SUBSCRIPTION_CANCELED, NOW + timedelta(days=2)),
    )
    run = known(state=RunState.SUCCEEDED)
    seen = Situation(seen_before=True, paid_before=True, start_at=START, standing=first)
    after = apply(plan(an_order(), offers(), [run], seen), [run])
    left = [
        replace(each, state=RunState.CANCELLED, cancelled_by="operator", finished_at=NOW + timedelta(days=1))
        if each.workflow == "revocation"
        else each
        for each in after
    ]
    assert plan(an_order(), offers(), left, seen).actions == ()
    (create,) = plan(an_order(), offers(), left, replace(seen, standing=second)).actions
    assert getattr(create, "key", "").endswith("/revoke-2")
