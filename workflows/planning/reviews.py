"""Questions to a person that may be asked anew once they were answered: each asking has a key of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from worker.ledger import keys
from worker.ledger.states import RunState
from worker.reasons import Reason
from worker.sources.order import Learner, Order, Payment, email_key
from workflows.planning.model import (
    ENROLMENT,
    REVOCATION,
    WHOLE_ORDER,
    Action,
    Cancel,
    ChangeLearner,
    Create,
    Ended,
    KnownRun,
    Situation,
    Standing,
)
from workflows.planning.withdrawals import in_doubt, is_in_doubt

CANCEL_REASONS = {
    Payment.CANCELLED: (Reason.CANCELLED_BY_SOURCE, Reason.CANCELLED_AFTER_PROVISIONING),
    Payment.REFUNDED: (Reason.REFUNDED_BY_SOURCE, Reason.REFUNDED_AFTER_PROVISIONING),
}
"""Why a withdrawn order's runs end: before their effect, and as a question after it."""
REVOCATION_REASONS = frozenset(
    {
        Reason.CANCELLED_AFTER_PROVISIONING,
        Reason.REFUNDED_AFTER_PROVISIONING,
        Reason.REMOVED_AFTER_PROVISIONING,
        Reason.PLACE_LOST_AFTER_PROVISIONING,
    }
)
"""Why access may have to be taken back. The same seat paid for again settles the question."""


SUBSCRIPTION_REASONS = frozenset(
    {
        Reason.SUBSCRIPTION_CANCELED,
        Reason.SUBSCRIPTION_PAUSED,
        Reason.SUBSCRIPTION_PAST_DUE,
        Reason.SUBSCRIPTION_EXPIRED,
        Reason.UNKNOWN_STATUS,
    }
)
"""Why access may end though its order was paid. The subscription going on settles the question."""


def about(run: KnownRun, word: str, reason: Reason, *, note: str | None = None) -> Create:
    """A run that asks a person about another run's effect."""
    return Create(
        key=f"{run.key}/{word}",
        workflow=REVOCATION,
        line_id=run.line_id,
        seat_id=run.seat_id,
        title=run.title,
        state=RunState.REVIEW,
        reason=reason,
        learner=run.learner,
        grant=run.grant,
        parent_id=run.id,
        note=note,
    )


def order_key(order: Order, word: str) -> str:
    """The key of a question about a whole order."""
    return keys.run_key(order.source, order.id, WHOLE_ORDER, WHOLE_ORDER, word)


def about_order(order: Order, word: str, reason: Reason) -> Create:
    """A run that asks a person about a whole order, and holds its place until it can be planned."""
    return Create(
        key=order_key(order, word),
        workflow=ENROLMENT,
        line_id=WHOLE_ORDER,
        seat_id=WHOLE_ORDER,
        title=f"status {order.status!r}",
        state=RunState.REVIEW,
        reason=reason,
    )


def settled_about_order(order: Order, word: str, by_key: Mapping[str, KnownRun]) -> list[Action]:
    """What ends a question about a whole order, whose cause is gone."""
    run = by_key.get(order_key(order, word))
    is_open = run is not None and run.state is RunState.REVIEW
    return [Cancel(run.id, Reason.SETTLED_BY_SOURCE, by="superseded")] if run is not None and is_open else []


def closed_by_operator(run: KnownRun) -> bool:
    """Whether an operator gave the answer: done by hand, or cancelled."""
    return run.state is RunState.SUCCEEDED or (run.state is RunState.CANCELLED and run.cancelled_by == "operator")


_Asked = TypeVar("_Asked")


def last_asked(by_key: Mapping[str, _Asked], key: str) -> tuple[_Asked | None, str]:
    """What is known of the latest asking of a question, None if it was never asked, and the key for asking anew."""
    asked, number = by_key.get(key), 1
    while (later := by_key.get(f"{key}-{number + 1}")) is not None:
        asked, number = later, number + 1
    return asked, key if asked is None else f"{key}-{number + 1}"


def answered_for_the_order(order: Order, by_key: Mapping[str, KnownRun]) -> bool:
    """Whether an operator closed a question about the whole order: access may have been given by hand then."""
    asked = (by_key.get(order_key(order, word)) for word in (keys.UNKNOWN_STATUS, keys.PAYMENT_UNPROVEN))
    return any(run is not None and closed_by_operator(run) for run in asked)


def of_learner(
    run: KnownRun, learner: Learner | None, by_key: Mapping[str, KnownRun], doubt: Reason | None
) -> list[Action] | None:
    """What it comes to whom the seat of a planned run is for now; None: another person, once nobody works on it."""
    if learner is None or run.learner is None:
        return []
    is_same_person = email_key(learner.email) == email_key(run.learner.email)
    if run.state is RunState.SUCCEEDED:
        return [] if is_same_person and doubt else _of_other_learner(run, None if is_same_person else learner, by_key)
    if learner == run.learner:
        return []
    if run.is_untouchable:
        return [] if is_same_person else None
    if doubt is not None and not is_same_person and run.state is not RunState.REVIEW:
        return in_doubt(run, doubt, learner)
    return [ChangeLearner(run.id, learner)]


def _of_other_learner(run: KnownRun, learner: Learner | None, by_key: Mapping[str, KnownRun]) -> list[Action]:
    """Whether the seat's new learner gets access, asked once.

    None, the one before, settles an open question. Another takes the place of the one asked about, or is asked about
    anew where that was answered. Here as in the other questions of a run, a `Create` is one that is to be there: by its
    key it may have to be made, revived, or only changed.
    """
    question = replace(about(run, keys.LEARNER, Reason.LEARNER_CHANGED), learner=learner)
    asked, next_key = last_asked(by_key, question.key)
    if learner is None:
        is_open = asked is not None and asked.state is RunState.REVIEW
        return [Cancel(asked.id, Reason.SETTLED_BY_SOURCE)] if asked is not None and is_open else []
    if asked is None or not closed_by_operator(asked):
        return [question if asked is None else replace(question, key=asked.key)]
    is_another = asked.learner is None or email_key(asked.learner.email) != email_key(learner.email)
    return [replace(question, key=next_key)] if is_another else []


def of_withdrawal(run: KnownRun, reason: Reason, by_key: Mapping[str, KnownRun], *, is_anew: bool) -> list[Action]:
    """Whether access is taken back; whether it is given again is asked no more.

    `is_anew`: it was paid for again since, so an answer of before does not count.
    """
    question = about(run, keys.REVOKE, reason)
    asked, next_key = last_asked(by_key, question.key)
    is_first = asked is None or (asked.state is RunState.SUCCEEDED and is_anew)
    key = next_key if is_first or asked is None else asked.key
    return [*settled_regrant(run, by_key), replace(question, key=key)]


def settled_regrant(run: KnownRun, by_key: Mapping[str, KnownRun]) -> list[Action]:
    """What ends the question whether access is given again, of a seat that is taken back."""
    regrant, _ = last_asked(by_key, f"{run.key}/{keys.REGRANT}")
    is_open = regrant is not None and regrant.state is RunState.REVIEW
    return [Cancel(regrant.id, Reason.SETTLED_BY_SOURCE)] if regrant is not None and is_open else []


def open_revocation(run: KnownRun, by_key: Mapping[str, KnownRun]) -> KnownRun | None:
    """The question whether a run's access is taken back, while it is open."""
    asked, _ = last_asked(by_key, f"{run.key}/{keys.REVOKE}")
    return asked if asked is not None and asked.state is RunState.REVIEW else None


def of_payment(run: KnownRun, by_key: Mapping[str, KnownRun], situation: Situation, *, is_owed: bool) -> list[Action]:
    """What being paid comes to where taking access back was asked: that is settled, or a doubt is asked in its place.

    `is_owed`: access was taken back, and the payment or the seat has come back: giving it again is asked.
    """
    revocation, _ = last_asked(by_key, f"{run.key}/{keys.REVOKE}")
    if revocation is None:
        return []
    found: list[Action] = []
    if revocation.state is RunState.REVIEW and revocation.reason in REVOCATION_REASONS:
        if situation.doubt is not None:
            return [replace(about(run, keys.REVOKE, situation.doubt), key=revocation.key)]
        found.append(Cancel(revocation.id, Reason.SETTLED_BY_SOURCE))
    elif is_in_doubt(revocation) and situation.is_present:
        found.append(Cancel(revocation.id, Reason.SETTLED_BY_SOURCE))
    asked, key = last_asked(by_key, f"{run.key}/{keys.REGRANT}")
    if is_owed and (asked is None or asked.state is not RunState.REVIEW):
        found.append(replace(about(run, keys.REGRANT, Reason.PAID_AFTER_REVOCATION), key=key))
    return found


def of_subscription(run: KnownRun, by_key: Mapping[str, KnownRun], standing: Standing) -> list[Action]:
    """What the standing of a subscription comes to for one run that gave access: what to ask and what to settle."""
    asked, _ = last_asked(by_key, f"{run.key}/{keys.REVOKE}")
    regrant = by_key.get(_regrant_key(asked)) if asked is not None else None
    if standing.ended is not None:
        if regrant is not None and not closed_by_operator(regrant):
            # Nobody gave the access back that was taken, so there is none to ask about.
            return [Cancel(regrant.id, Reason.SETTLED_BY_SOURCE)] if regrant.state is RunState.REVIEW else []
        question = _of_end(run, by_key, standing.ended)
        return [] if question is None else [question]
    if asked is None or not standing.is_judged:
        return []
    if asked.state is RunState.REVIEW and asked.reason in SUBSCRIPTION_REASONS:
        return [Cancel(asked.id, Reason.SETTLED_BY_SOURCE)]
    return _of_resumption(run, asked, regrant, standing)


def _of_end(run: KnownRun, by_key: Mapping[str, KnownRun], ended: Ended) -> Create | None:
    """The question of an end; anew where it was answered for an end before this one."""
    asked, next_key = last_asked(by_key, f"{run.key}/{keys.REVOKE}")
    question = about(run, keys.REVOKE, ended.reason, note=ended.note)
    if asked is None or not closed_by_operator(asked):
        return question if asked is None else replace(question, key=asked.key)
    is_about_this = asked.finished_at is not None and asked.finished_at >= ended.since
    return None if is_about_this else replace(question, key=next_key)


def _of_resumption(run: KnownRun, asked: KnownRun, regrant: KnownRun | None, standing: Standing) -> list[Action]:
    """Ask of giving access again where its taking back was dealt with during the end that is over now."""
    if asked.state is not RunState.SUCCEEDED or asked.finished_at is None or standing.resumed is None:
        return []
    ended_at, resumed_at = standing.resumed
    was_during = ended_at <= asked.finished_at <= resumed_at
    if (regrant is None and not was_during) or (regrant is not None and regrant.state is RunState.REVIEW):
        return []  # it is asked already, for this cause or for a payment that came back
    question = about(run, keys.REGRANT, Reason.SUBSCRIPTION_RESUMED)
    return [replace(question, key=_regrant_key(asked))]


def _regrant_key(revocation: KnownRun) -> str:
    """The key of the question that follows an answered revocation: `…/regrant-2` for `…/revoke-2`."""
    seat, _, word = revocation.key.rpartition("/")
    return f"{seat}/{word.replace(keys.REVOKE, keys.REGRANT, 1)}"
