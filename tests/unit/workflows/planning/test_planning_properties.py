from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.workflows.fakes.storefront import JANE, JOHN, START, an_order, apply, offers
from worker.ledger.states import RunState
from worker.sources.order import Learner, Line, Order, Payment, Product, Seat
from workflows.planning.model import Cancel, Create, KnownRun, Plan, RequestCancel, Situation, WithdrawCancel
from workflows.planning.offers import Ignore, Offers
from workflows.planning.planner import plan

ANN = Learner(email="ann@example.test", first_name="Ann")
LEARNERS = (JANE, JOHN, ANN, Learner(email="JANE@example.test"))
PRODUCTS = ("1107", "1130", "1200")


def rules(text: str) -> Offers:
    return offers(text)


OFFERS = (
    Offers(),
    rules('[[offer]]\nsource="studiocart"\nproduct_id="1107"\ngrants=[{price_id=501,group_ids=[12]}]'),
    rules('[[offer]]\nsource="studiocart"\nproduct_id="1107"\ngrants=[{price_id=501,group_ids=[13]},{price_id=502}]'),
    rules(
        '[[offer]]\nsource="studiocart"\nproduct_id="1107"\ngrants=[{price_id=777}]\nrenewals="grant"\n'
        '[[offer]]\nsource="studiocart"\nproduct_id="1130"\ngrants=[{price_id=601}]\nrenewals="ignore"\n'
        '[[ignore]]\nsource="studiocart"\nproduct_id="1200"'
    ),
    rules('[[ignore]]\nsource="studiocart"\nproduct_id="1107"'),
)


@st.composite
def seats(draw: st.DrawFn) -> tuple[Seat, ...]:
    names = draw(st.lists(st.sampled_from(["buyer", "seat-2", "seat-3"]), unique=True, max_size=3))
    holds = st.sampled_from(["unnamed_seat", "missing_email", "invalid_email", "invalid_quantity"])
    return tuple(
        Seat(id=name, learner=draw(st.sampled_from(LEARNERS)))
        if draw(st.booleans())
        else Seat(id=name, hold=draw(st.none() | holds))
        for name in names
    )


@st.composite
def orders(draw: st.DrawFn) -> Order:
    products = draw(st.lists(st.sampled_from(PRODUCTS), unique=True, max_size=3))
    days = draw(st.sampled_from([-200, -2, 2, None]))
    return an_order(
        payment=draw(st.sampled_from([Payment.PAID, Payment.PAID, *Payment])),
        created_at=START + timedelta(days=days) if days is not None else None,
        lines=[Line(id=each, title=each, product=Product(product_id=each), seats=draw(seats())) for each in products],
        lines_known=draw(st.sampled_from([True, True, False])),
        renewal=draw(st.sampled_from([False, False, True])),
    )


looks = st.tuples(
    orders(),
    st.sampled_from(OFFERS),
    st.fixed_dictionaries({"baseline": st.booleans(), "manual": st.booleans(), "replan": st.booleans()}),
)
fates = st.lists(st.integers(min_value=0, max_value=7), min_size=4, max_size=4)


def happen(run: KnownRun, fate: int) -> KnownRun:
    """What the engine or the operator may have done to a run since the last look."""
    if run.grant is not None and run.workflow == "enrolment" and run.state is RunState.PENDING:
        return (
            run,
            replace(run, state=RunState.SUCCEEDED, fence=1),
            replace(run, state=RunState.RUNNING, fence=1),
            replace(run, state=RunState.WAITING, effect_open=True, fence=1),
            replace(run, state=RunState.FAILED, reason="refused", fence=1),
            replace(run, state=RunState.REVIEW, reason="outcome_unprovable", effect_open=True, fence=1),
            replace(run, state=RunState.CANCELLED, cancelled_by="operator"),
            replace(run, state=RunState.WAITING, reason="retrying", fence=1),
        )[fate]
    if run.state is RunState.RUNNING or run.effect_open:
        if run.cancel_requested and fate < 3:
            return replace(run, state=RunState.CANCELLED, effect_open=False, cancelled_by="source")
        return replace(run, state=RunState.SUCCEEDED, effect_open=False) if fate < 6 else run
    if run.state is RunState.REVIEW and fate == 1:
        return replace(run, state=RunState.SUCCEEDED, reason="done_by_hand")
    if run.state is RunState.REVIEW and fate == 2:
        return replace(run, state=RunState.CANCELLED, cancelled_by="operator")
    return run


def check(order: Order, rules: Offers, before: list[KnownRun], found: Plan, after: list[KnownRun]) -> None:
    by_id = {run.id: run for run in after}
    assert len({run.key for run in after}) == len(after)
    for run in before:
        if run.state is RunState.SUCCEEDED:
            assert by_id[run.id] == replace(run, cancel_reason=by_id[run.id].cancel_reason)
        if run.is_untouchable:
            assert replace(by_id[run.id], cancel_reason=run.cancel_reason) == run
    moves = [action for action in found.actions if not isinstance(action, Create | RequestCancel | WithdrawCancel)]
    assert all(not next(run for run in before if run.id == action.run_id).is_untouchable for action in moves)
    if order.payment is Payment.PAID and found.reason != "before_start":
        for line in order.lines:
            rule = rules.match("studiocart", line)
            by_rule = isinstance(rule, Ignore) or (order.renewal and rule is not None and rule.renewals == "ignore")
            for seat in line.seats:
                own = [run for run in after if (run.line_id, run.seat_id) == (line.id, seat.id)]
                stored = [run for run in own if run.cancelled_by not in {"source", "superseded"}]
                assert stored or by_rule, "every seat has a run, or a rule that says it needs none"


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(looks, fates), min_size=1, max_size=6))
def test_a_plan_leaves_nothing_for_the_next_when_it_was_applied(
    history: list[tuple[tuple[Order, Offers, dict[str, bool]], list[int]]],
) -> None:
    runs: list[KnownRun] = []
    seen = Situation(start_at=START)
    for (order, rules, flags), what_happens in history:
        seen = replace(seen, baseline=flags["baseline"], manual=flags["manual"], replan=flags["replan"])
        found = plan(order, rules, runs, seen)
        after = apply(found, runs)
        check(order, rules, runs, found, after)
        seen = replace(
            seen, seen_before=True, paid_before=order.payment is Payment.PAID, before_start=found.before_start
        )
        again = plan(order, rules, after, seen)
        if not (seen.manual and found.reason == "before_start"):
            assert again.actions == ()
            assert not after or (again.state, again.reason) == (found.state, found.reason)
        runs = [happen(run, what_happens[number % 4]) for number, run in enumerate(after)]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(orders(), st.sampled_from(OFFERS), st.sampled_from(OFFERS), fates)
def test_edited_offers_never_plan_a_seat_again_when_it_has_a_run(
    order: Order, rules: Offers, edited: Offers, what_happens: list[int]
) -> None:
    runs = apply(plan(order, rules, [], Situation(start_at=START)), [])
    runs = [happen(run, what_happens[number % 4]) for number, run in enumerate(runs)]
    planned = {(run.line_id, run.seat_id) for run in runs if run.grant is not None}
    paid = order.payment is Payment.PAID
    found = plan(order, edited, runs, Situation(seen_before=True, paid_before=paid, start_at=START))
    again = [action for action in found.actions if isinstance(action, Create) and action.workflow == "enrolment"]
    assert not planned & {(action.line_id, action.seat_id) for action in again}
    by_id = {run.id: run for run in runs}
    dropped = [by_id[action.run_id] for action in found.actions if isinstance(action, Cancel)]
    assert not paid or all(run.is_placeholder for run in dropped)
