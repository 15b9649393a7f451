"""The one answer to "why has this learner no access?", and the one thing to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select

from worker.ledger.pauses import pause_of
from worker.ledger.runs import breaker
from worker.ledger.runs.breaker import BreakerState
from worker.ledger.states import DeliveryState, OrderState, RunState
from worker.ledger.tables.runs import runs
from worker.ledger.views.records import DeliveryItem, OrderItem, RunItem
from worker.ledger.views.review_sentences import say_review
from worker.ledger.views.timeline import minute, person, run_label

OVERDUE_SECONDS = 60.0
"""Due work that nobody has taken for this long means that no worker is at work."""
_MAYBE_GIVEN = frozenset(
    {
        "outcome_unknown",
        "outcome_unprovable",
        "settling",
        "worker_vanished",
        "older_than_start",
        "answered_by_hand",
        "line_renamed",
        "read_anew",
    }
)
"""Reasons under which access may exist although the ledger cannot say so."""
_REPLACED = frozenset({"superseded", "settled_by_source"})
_UNPAID = frozenset({None, "awaiting_payment"})
_GIVEN_RANK = 60
_DESTINATION = "learningcart"
"""Where every enrolment is sent."""


@dataclass(frozen=True)
class Verdict:
    """An answer. The lower its `rank`, the more it explains a missing access."""

    rank: int
    answer: str
    tone: str
    action: str | None = None
    says_who_has: bool = False
    """It says itself which access was given."""


def judge(
    connection: Connection,
    found: Sequence[RunItem],
    orders: Sequence[OrderItem],
    deliveries: Sequence[DeliveryItem],
    *,
    now: datetime,
) -> Verdict:
    """The verdict on all that is known of a learner or an order: the worst one, and how many more are like it.

    Access that was given is never denied by it: where something else is worse, what was given is said, too.
    """
    given = {_seat(run) for run in found if run.workflow == "enrolment" and run.state == RunState.SUCCEEDED}
    told = [run for run in found if not (run.state == RunState.CANCELLED and _seat(run) in given)]
    settled = {
        run.parent_id: run
        for run in found
        if run.workflow == "revocation" and run.state == RunState.SUCCEEDED and run.reason == "done_by_hand"
    }
    shared = _sharing_an_email(told)
    verdicts = [_of_shared_email(runs_of) for runs_of in shared.values()]
    grouped = {run.id for runs_of in shared.values() for run in runs_of}
    verdicts += [_of_run(connection, run, now, settled.get(run.id)) for run in told if run.id not in grouped]
    verdicts += _of_orders(orders, {run.order for run in found})
    verdicts += _of_deliveries(deliveries, {(order.source, order.order_id) for order in orders})
    # Sorting keeps the newest first among equals.
    worst, *rest = sorted(verdicts, key=lambda verdict: verdict.rank) or [
        Verdict(99, "The ledger holds nothing that would give access.", "plain")
    ]
    more = sum(1 for verdict in rest if verdict.tone == "bad")
    answer = f"{worst.answer} ({more} more below.)" if worst.tone == "bad" and more else worst.answer
    has = [verdict.answer for verdict in rest if verdict.rank == _GIVEN_RANK]
    if worst.rank < _GIVEN_RANK and not worst.says_who_has and has:
        others = f" ({len(has) - 1} more like it.)" if len(has) > 1 else ""
        answer = f"{answer} {has[0]}{others}"
    return replace(worst, answer=answer)


def _sharing_an_email(found: list[RunItem]) -> dict[tuple[str, str, str], list[RunItem]]:
    """The seats of one order that share one email under different names: one question, by order and email."""
    groups: dict[tuple[str, str, str], list[RunItem]] = {}
    for run in found:
        if (run.state, run.reason) == (RunState.REVIEW, "shared_email") and run.order_id and run.email:
            groups.setdefault((run.source, run.order_id, run.email), []).append(run)
    return {key: group for key, group in groups.items() if len(group) > 1}


def _of_shared_email(seats: list[RunItem]) -> Verdict:
    first = seats[0]
    order = f"{first.source}/{first.order_id}"
    answer = f"{len(seats)} seats of order {order} share {first.email}, so none of them has access yet. {first.advice}"
    return Verdict(10, answer, "bad", first.action)


def _seat(run: RunItem) -> tuple[str, ...]:
    """What names a seat's place and what it is given."""
    return (run.source, run.order_id or run.completion_id or "", run.line_id, run.seat_id)


def _of_run(connection: Connection, run: RunItem, now: datetime, settled: RunItem | None) -> Verdict:
    """`settled` is the question about this run's access that an operator has settled by hand."""
    if run.workflow not in {"enrolment", "revocation"}:
        return _beside_access(run)
    who = run.email or "The learner"
    label = run_label(run)
    because = f" {run.advice}" if run.advice else ""
    note = f" ({run.note})" if run.note else ""
    match RunState(run.state):
        case RunState.SUCCEEDED:
            return _succeeded(run, who, label, settled)
        case RunState.REVIEW if run.workflow != "enrolment":
            return _of_question(connection, run, because, note)
        case RunState.REVIEW if run.line_id == "-":
            return Verdict(10, f"Order {run.source}/{run.order_id}:{because}{note}", "bad", run.action)
        case RunState.REVIEW if run.reason in _MAYBE_GIVEN:
            answer = f"Whether {who} has access to {label} is not known.{because}{note}"
            return Verdict(10, answer, "bad", run.action)
        case RunState.REVIEW:
            return Verdict(10, f"{who} has no access to {label} yet.{because}{note}", "bad", run.action)
        case RunState.FAILED:
            return Verdict(11, f"{who} has no access to {label}: it failed.{because}{note}", "bad", run.action)
        case RunState.RUNNING:
            return Verdict(40, f"{who} is being given access to {label} right now.", "wait")
        case RunState.CANCELLED:
            rank = 90 if run.reason in _REPLACED else 50
            return Verdict(rank, f"{who} gets no access to {label}: cancelled.{because}", "plain", run.action)
        case _:
            return _due(connection, run, who, label, now)


def _of_question(connection: Connection, run: RunItem, because: str, note: str) -> Verdict:
    """A question about access that was given."""
    said = say_review(connection, run)
    if said is None:
        return Verdict(15, f"Order {run.source}/{run.order_id}:{because}{note}", "bad", run.action)
    return Verdict(15, said.sentence, "bad", said.action or run.action, says_who_has=True)


def _beside_access(run: RunItem) -> Verdict:
    """A run that gives no access: a follow-on cart, a mail. It explains a missing access last of all."""
    label = f"{run_label(run)} for {run.email or 'the learner'}"
    because = f" {run.advice}" if run.advice else ""
    note = f" ({run.note})" if run.note else ""
    match RunState(run.state):
        case RunState.SUCCEEDED:
            return Verdict(85, f"{label}: done {minute(run.finished_at)}.", "good")
        case RunState.CANCELLED:
            return Verdict(86, f"{label}: cancelled.{because}{note}", "plain", run.action)
        case RunState.REVIEW | RunState.FAILED:
            return Verdict(65, f"{label}: needs a person.{because}{note}", "bad", run.action)
        case _:
            return Verdict(66, f"{label}: under way.{because}{note}", "wait", run.action)


def _succeeded(run: RunItem, who: str, label: str, settled: RunItem | None) -> Verdict:
    if run.workflow != "enrolment":
        return Verdict(80, f"The question about {label} was settled.", "plain")
    when = minute(run.finished_at)
    if settled is not None:
        made = f"LearningCart order {run.result_id}, " if run.result_id else ""
        dealt = f"{settled.note or 'no note'} ({minute(settled.finished_at)})"
        answer = f"{who} was given access to {label} ({made}{when}). Whether it ends was settled by hand: {dealt}."
        return Verdict(_GIVEN_RANK, answer, "plain")
    if run.reason == "done_by_hand":
        answer = f"{who} was given access to {label} by hand: {run.note or 'no note'} ({when})."
        return Verdict(_GIVEN_RANK, answer, "good")
    made = f", LearningCart order {run.result_id}" if run.result_id else ""
    return Verdict(_GIVEN_RANK, f"{who} has access to {label} since {when}{made}.", "good")


def _due(connection: Connection, run: RunItem, who: str, label: str, now: datetime) -> Verdict:
    """A run that has not got its turn, and what keeps it."""
    is_open = run.reason in _MAYBE_GIVEN
    has_none = f"{who} has no access to {label} yet"
    waits = f"Whether {who} has access to {label} is not known yet" if is_open else has_none
    pause = pause_of(connection, _DESTINATION)
    if pause is not None:
        resume = f"`cartbridge resume {_DESTINATION}`"
        if pause.kind == "authentication":
            resume = f"Correct its credentials, see `cartbridge check`, then {resume}."
        why = f": {pause.reason}" if pause.reason else ""
        return Verdict(20, f"{waits}: {_DESTINATION} is paused by {person(pause.actor)}{why}.", "bad", resume)
    outage = breaker.read(connection, _DESTINATION)
    if outage is not None and outage.state is BreakerState.OPEN:
        action = f"Nothing: it goes on by itself. `cartbridge resume {_DESTINATION}` asks it at once."
        return Verdict(21, f"{waits}: {outage.sentence(now)}", "wait", action)
    row = connection.execute(select(runs.c.lane, runs.c.next_attempt_at).where(runs.c.id == run.id)).one()
    ahead = connection.scalar(
        select(runs.c.id).where(
            runs.c.lane == row.lane,
            runs.c.id != run.id,
            or_(runs.c.state == RunState.RUNNING, runs.c.lane_shut_until > now),
        )
    )
    if ahead is not None:
        return Verdict(32, f"{waits}: another run of the same learner ({ahead}) is first.", "wait")
    if row.next_attempt_at is not None and row.next_attempt_at > now:
        because = f" {run.advice}" if run.advice else ""
        note = f" ({run.note})" if run.note else ""
        when = minute(run.next_attempt_at)
        return Verdict(30, f"{waits}; the next try is at {when}.{because}{note}", "wait", run.action)
    since = row.next_attempt_at
    if since is not None and now - since > timedelta(seconds=OVERDUE_SECONDS):
        action = "Start a worker (`cartbridge up`, or `cartbridge worker`), see `cartbridge status`."
        return Verdict(25, f"{waits}: due since {minute(run.next_attempt_at)}, and no worker took it.", "bad", action)
    if is_open:
        return Verdict(31, f"{waits}: {_DESTINATION} is asked for it within seconds.", "wait")
    return Verdict(31, f"{waits}: it is due now and starts within seconds.", "wait")


def _of_orders(orders: Sequence[OrderItem], with_runs: set[str | None]) -> Iterator[Verdict]:
    """Orders that have no run at all explain themselves by their state."""
    for order in orders:
        if order.name in with_runs:
            continue
        name = f"Order {order.source}/{order.order_id}"
        because = f" {order.advice}" if order.advice else ""
        status = f" (status {order.status!r})" if order.status else ""
        match OrderState(order.state):
            case OrderState.WAITING if order.reason not in _UNPAID:
                yield Verdict(35, f"{name} waits{status}.{because}", "wait", order.action)
            case OrderState.WAITING:
                yield Verdict(35, f"{name} is not paid yet at {order.source}{status}.", "wait", order.action)
            case OrderState.PLANNED:
                yield Verdict(70, f"{name} has no seat to give access for{status}.", "plain")
            case OrderState.REVIEW:
                yield Verdict(12, f"{name} needs a person{status}.{because}", "bad", order.action)
            case OrderState.CANCELLED:
                yield Verdict(52, f"{name} is cancelled or refunded{status}.{because}", "plain", order.action)
            case _:
                yield Verdict(36, f"{name} gives nothing by rule.{because}", "plain", order.action)


def _of_deliveries(deliveries: Sequence[DeliveryItem], known: set[tuple[str, str]]) -> Iterator[Verdict]:
    """News that could not be read yet; it counts less where the order is known from before."""
    for delivery in deliveries:
        name = f"{delivery.source}/{delivery.order_id}"
        later = 0 if (delivery.source, delivery.order_id) not in known else 42
        note = f" ({delivery.note})" if delivery.note else ""
        because = f" {delivery.advice}" if delivery.advice else ""
        match DeliveryState(delivery.state):
            case DeliveryState.REVIEW:
                yield Verdict(13 + later, f"Order {name} could not be read.{because}{note}", "bad", delivery.action)
            case DeliveryState.WAITING:
                when = minute(delivery.next_attempt_at)
                text = f"Order {name} is not read yet; the next try is at {when}.{because}{note}"
                yield Verdict(26 + later, text, "wait", delivery.action)
            case DeliveryState.RECEIVED:
                yield Verdict(28 + later, f"News of order {name} arrived and is read within seconds.", "wait")
            case DeliveryState.IGNORED if because and not later:
                yield Verdict(95, f"{name} gives nothing by itself.{because}", "plain", delivery.action)
            case _:
                continue
