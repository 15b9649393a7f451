"""The one answer to "why has this learner no access?", and the one thing to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select

from worker.actions import ActionItem, NextStep, items, resuming
from worker.formatting import minute, plain_error
from worker.ledger.pauses import BY_OPERATOR, pause_of
from worker.ledger.runs import breaker
from worker.ledger.runs.breaker import BreakerState
from worker.ledger.states import DeliveryState, OrderState, RunState
from worker.ledger.tables.runs import runs
from worker.ledger.views.records import DeliveryItem, OrderItem, RunItem
from worker.ledger.views.review_sentences import say_review
from worker.ledger.views.timeline import person, run_label
from worker.sources.order import Payment

OVERDUE_SECONDS = 60.0
"""Due work that nobody has taken for this long means that no worker is at work."""
_MAYBE_GIVEN = frozenset(
    {
        "outcome_unknown",
        "outcome_unprovable",
        "settling",
        "worker_vanished",
        "older_than_start",
        "reopened",
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
class Diagnosis:
    """An answer. The lower its `rank`, the more it explains a missing access."""

    rank: int
    answer: str
    tone: str
    step: NextStep | None = None
    """What to do about it."""
    says_who_has: bool = False
    """It says itself which access was given."""

    @property
    def action(self) -> str | None:
        """What to do, for people."""
        return self.step.text if self.step is not None else None

    @property
    def actions(self) -> list[ActionItem]:
        """What to do, for programs."""
        return items(self.step)


def diagnose(
    connection: Connection,
    found: Sequence[RunItem],
    orders: Sequence[OrderItem],
    deliveries: Sequence[DeliveryItem],
    *,
    now: datetime,
) -> Diagnosis:
    """The diagnosis of all that is known of a learner or an order: the worst one, and how many more are like it.

    Access that was given is never denied by it: where something else is worse, what was given is said, too.
    """
    given = {_seat(run) for run in found if run.workflow == "enrolment" and run.state == RunState.SUCCEEDED}
    shown = [run for run in found if not (run.state == RunState.CANCELLED and _seat(run) in given)]
    settled = {
        run.parent_id: run
        for run in found
        if run.workflow == "revocation" and run.state == RunState.SUCCEEDED and run.reason == "done_by_hand"
    }
    unpaid = {order.name: order for order in orders if order.payment == Payment.WAITING}
    shared = _sharing_an_email(shown)
    diagnoses = [_of_shared_email(runs_of) for runs_of in shared.values()]
    grouped = {run.id for runs_of in shared.values() for run in runs_of}
    diagnoses += [
        _if_unpaid(_of_run(connection, run, now, settled.get(run.id)), run, unpaid.get(run.order or ""))
        for run in shown
        if run.id not in grouped
    ]
    diagnoses += _of_orders(orders, {run.order for run in found})
    diagnoses += _of_deliveries(connection, deliveries, {(order.source, order.order_id) for order in orders})
    # Sorting keeps the newest first among equals.
    worst, *rest = sorted(diagnoses, key=lambda each: each.rank) or [
        Diagnosis(99, "The ledger holds nothing that would give access.", "plain")
    ]
    more = sum(1 for each in rest if each.tone == "bad")
    answer = f"{worst.answer} ({more} more below.)" if worst.tone == "bad" and more else worst.answer
    has = [each.answer for each in rest if each.rank == _GIVEN_RANK]
    if worst.rank == _GIVEN_RANK and has:
        answer = f"{answer} ({len(has)} more like it.)"
    elif worst.rank < _GIVEN_RANK and not worst.says_who_has and has:
        others = f" ({len(has) - 1} more like it.)" if len(has) > 1 else ""
        answer = f"{answer} {has[0]}{others}"
    return replace(worst, answer=answer)


def _if_unpaid(said: Diagnosis, run: RunItem, order: OrderItem | None) -> Diagnosis:
    """Say of access that was given that its order is not paid, or not any more: nobody is asked about that."""
    if order is None or run.workflow != "enrolment" or run.state != RunState.SUCCEEDED:
        return said
    status = f" (status {order.status!r})" if order.status else ""
    answer = f"{said.answer} Order {order.name}, by which it was given, is not paid now{status}."
    return replace(said, answer=answer, tone="plain")


def _sharing_an_email(found: list[RunItem]) -> dict[tuple[str, str, str], list[RunItem]]:
    """The seats of one order that share one email under different names: one question, by order and email."""
    groups: dict[tuple[str, str, str], list[RunItem]] = {}
    for run in found:
        if (run.state, run.reason) == (RunState.REVIEW, "shared_email") and run.order_id and run.email:
            groups.setdefault((run.source, run.order_id, run.email), []).append(run)
    return {key: group for key, group in groups.items() if len(group) > 1}


def _of_shared_email(seats: list[RunItem]) -> Diagnosis:
    first = seats[0]
    order = f"{first.source}/{first.order_id}"
    answer = f"{len(seats)} seats of order {order} share {first.email}, so none of them has access yet. {first.advice}"
    return Diagnosis(10, answer, "bad", first.next_step)


def _seat(run: RunItem) -> tuple[str, ...]:
    """What names a seat's place and what it is given."""
    return (run.source, run.order_id or run.completion_id or "", run.line_id, run.seat_id)


def _of_run(connection: Connection, run: RunItem, now: datetime, settled: RunItem | None) -> Diagnosis:
    """`settled` is the question about this run's access that an operator has settled by hand."""
    if run.workflow not in {"enrolment", "revocation"}:
        return _beside_access(run)
    who = run.email or "The learner"
    label = run_label(run)
    because = f" {run.advice}" if run.advice else ""
    note = f" ({plain_error(run.note)})" if run.note else ""
    match RunState(run.state):
        case RunState.SUCCEEDED:
            return _succeeded(run, who, label, settled)
        case RunState.REVIEW if run.workflow != "enrolment":
            return _of_question(connection, run, because, note)
        case RunState.REVIEW if run.line_id == "-":
            return Diagnosis(10, f"Order {run.source}/{run.order_id}:{because}{note}", "bad", run.next_step)
        case RunState.REVIEW if run.reason in _MAYBE_GIVEN:
            answer = f"Whether {who} has access to {label} is not known.{because}{note}"
            return Diagnosis(10, answer, "bad", run.next_step)
        case RunState.REVIEW:
            return Diagnosis(10, f"{who} has no access to {label} yet.{because}{note}", "bad", run.next_step)
        case RunState.FAILED:
            return Diagnosis(11, f"{who} has no access to {label}: it failed.{because}{note}", "bad", run.next_step)
        case RunState.RUNNING:
            return Diagnosis(40, f"{who} is being given access to {label} right now.", "wait")
        case RunState.CANCELLED if run.reason == "awaiting_payment":
            return Diagnosis(35, f"{who} has no access to {label} yet.{because}", "wait", run.next_step)
        case RunState.CANCELLED:
            rank = 90 if run.reason in _REPLACED else 50
            return Diagnosis(rank, f"{who} gets no access to {label}: cancelled.{because}", "plain", run.next_step)
        case _:
            return _due(connection, run, who, label, now)


def _of_question(connection: Connection, run: RunItem, because: str, note: str) -> Diagnosis:
    """A question about access that was given."""
    said = say_review(connection, run)
    if said is None:
        return Diagnosis(15, f"Order {run.source}/{run.order_id}:{because}{note}", "bad", run.next_step)
    return Diagnosis(15, said.sentence, "bad", said.step or run.next_step, says_who_has=True)


def _beside_access(run: RunItem) -> Diagnosis:
    """A run that gives no access: a follow-on cart, a mail. It explains a missing access last of all."""
    label = f"{run_label(run)} for {run.email or 'the learner'}"
    because = f" {run.advice}" if run.advice else ""
    note = f" ({plain_error(run.note)})" if run.note else ""
    match RunState(run.state):
        case RunState.SUCCEEDED:
            return Diagnosis(85, f"{label}: done {minute(run.finished_at)}.", "good")
        case RunState.CANCELLED:
            return Diagnosis(86, f"{label}: cancelled.{because}{note}", "plain", run.next_step)
        case RunState.REVIEW | RunState.FAILED:
            return Diagnosis(65, f"{label}: needs a person.{because}{note}", "bad", run.next_step)
        case _:
            return Diagnosis(66, f"{label}: under way.{because}{note}", "wait", run.next_step)


def _succeeded(run: RunItem, who: str, label: str, settled: RunItem | None) -> Diagnosis:
    if run.workflow != "enrolment":
        return Diagnosis(80, f"The question about {label} was settled.", "plain")
    when = minute(run.finished_at)
    if settled is not None:
        made = f"LearningCart order {run.result_id}, " if run.result_id else ""
        dealt = f"{settled.note or 'no note'} ({minute(settled.finished_at)})"
        answer = f"{who} was given access to {label} ({made}{when}). Whether it ends was settled by hand: {dealt}."
        return Diagnosis(_GIVEN_RANK, answer, "plain")
    if run.reason == "done_by_hand":
        answer = f"{who} was given access to {label} by hand: {run.note or 'no note'} ({when})."
        return Diagnosis(_GIVEN_RANK, answer, "good")
    made = f", LearningCart order {run.result_id}" if run.result_id else ""
    return Diagnosis(_GIVEN_RANK, f"{who} has access to {label} since {when}{made}.", "good")


def _due(connection: Connection, run: RunItem, who: str, label: str, now: datetime) -> Diagnosis:
    """A run that has not got its turn, and what keeps it."""
    is_open = run.reason in _MAYBE_GIVEN
    has_none = f"{who} has no access to {label} yet"
    waits = f"Whether {who} has access to {label} is not known yet" if is_open else has_none
    pause = pause_of(connection, _DESTINATION)
    if pause is not None:
        credentials = "Correct its credentials, see {check}, then {resume}."
        text = credentials if pause.kind == "authentication" else "{resume}"
        resume = NextStep.of(text, resume=resuming(_DESTINATION))
        why = f": {pause.reason}" if pause.reason else ""
        return Diagnosis(20, f"{waits}: {_DESTINATION} is paused by {person(pause.actor)}{why}.", "bad", resume)
    outage = breaker.read(connection, _DESTINATION)
    if outage is not None and outage.state is BreakerState.OPEN:
        text = "Nothing: it goes on by itself. {resume} asks it at once."
        action = NextStep.of(text, resume=resuming(_DESTINATION))
        return Diagnosis(21, f"{waits}: {outage.sentence(now)}", "wait", action)
    row = connection.execute(select(runs.c.lane, runs.c.next_attempt_at).where(runs.c.id == run.id)).one()
    ahead = connection.scalar(
        select(runs.c.id).where(
            runs.c.lane == row.lane,
            runs.c.id != run.id,
            or_(runs.c.state == RunState.RUNNING, runs.c.lane_shut_until > now),
        )
    )
    if ahead is not None:
        return Diagnosis(32, f"{waits}: another run of the same learner ({ahead}) is first.", "wait")
    if row.next_attempt_at is not None and row.next_attempt_at > now:
        because = f" {run.advice}" if run.advice else ""
        note = f" ({plain_error(run.note)})" if run.note else ""
        when = minute(run.next_attempt_at)
        return Diagnosis(30, f"{waits}; the next try is at {when}.{because}{note}", "wait", run.next_step)
    since = row.next_attempt_at
    if since is not None and now - since > timedelta(seconds=OVERDUE_SECONDS):
        action = NextStep.of("Start a worker ({start}, or {start_worker}), see {status}.")
        return Diagnosis(25, f"{waits}: due since {minute(run.next_attempt_at)}, and no worker took it.", "bad", action)
    if is_open:
        return Diagnosis(31, f"{waits}: {_DESTINATION} is asked for it within seconds.", "wait")
    return Diagnosis(31, f"{waits}: it is due now and starts within seconds.", "wait")


def _pause_of_source(connection: Connection, delivery: DeliveryItem) -> str | None:
    """By whom the delivery's source is paused, and why; None where it is not."""
    pause = pause_of(connection, delivery.source)
    if pause is None or pause.kind != BY_OPERATOR:
        return None
    return f"{delivery.source} is paused by {person(pause.actor)}" + (f": {pause.reason}" if pause.reason else "")


def _of_orders(orders: Sequence[OrderItem], with_runs: set[str | None]) -> Iterator[Diagnosis]:
    """Orders that have no run at all explain themselves by their state."""
    for order in orders:
        if order.name in with_runs:
            continue
        name = f"Order {order.source}/{order.order_id}"
        because = f" {order.advice}" if order.advice else ""
        status = f" (status {order.status!r})" if order.status else ""
        match OrderState(order.state):
            case OrderState.WAITING if order.reason not in _UNPAID:
                yield Diagnosis(35, f"{name} waits{status}.{because}", "wait", order.next_step)
            case OrderState.WAITING:
                yield Diagnosis(35, f"{name} is not paid yet at {order.source}{status}.", "wait", order.next_step)
            case OrderState.PLANNED:
                yield Diagnosis(70, f"{name} has no seat to give access for{status}.", "plain")
            case OrderState.REVIEW:
                yield Diagnosis(12, f"{name} needs a person{status}.{because}", "bad", order.next_step)
            case OrderState.CANCELLED:
                yield Diagnosis(52, f"{name} is cancelled or refunded{status}.{because}", "plain", order.next_step)
            case _:
                yield Diagnosis(36, f"{name} gives nothing by rule.{because}", "plain", order.next_step)


def _of_deliveries(
    connection: Connection, deliveries: Sequence[DeliveryItem], known: set[tuple[str, str]]
) -> Iterator[Diagnosis]:
    """News that could not be read yet; it counts less where the order is known from before."""
    for delivery in deliveries:
        name = f"{delivery.source}/{delivery.order_id}"
        later = 0 if (delivery.source, delivery.order_id) not in known else 42
        note = f" ({plain_error(delivery.note)})" if delivery.note else ""
        because = f" {delivery.advice}" if delivery.advice else ""
        match DeliveryState(delivery.state):
            case DeliveryState.WAITING | DeliveryState.RECEIVED if pause := _pause_of_source(connection, delivery):
                resume = NextStep.of("{resume}", resume=resuming(delivery.source))
                yield Diagnosis(22 + later, f"News of order {name} arrived and waits: {pause}.", "bad", resume)
            case DeliveryState.REVIEW:
                yield Diagnosis(
                    13 + later, f"Order {name} could not be read.{because}{note}", "bad", delivery.next_step
                )
            case DeliveryState.WAITING:
                when = minute(delivery.next_attempt_at)
                text = f"Order {name} is not read yet; the next try is at {when}.{because}{note}"
                yield Diagnosis(26 + later, text, "wait", delivery.next_step)
            case DeliveryState.RECEIVED:
                yield Diagnosis(28 + later, f"News of order {name} arrived and is read within seconds.", "wait")
            case DeliveryState.IGNORED if because and not later:
                yield Diagnosis(95, f"{name} gives nothing by itself.{because}", "plain", delivery.next_step)
            case _:
                continue
