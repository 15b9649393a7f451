"""What a review about access already given says: who has what by which order, what happened, and who pays for it else.

Everything is read from the rows the review is about: the run whose effect it concerns, and the other runs that gave the
same access to the same person.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, select

from worker.actions import RUN, NextStep
from worker.formatting import minute, plain_error
from worker.ledger.states import RunState
from worker.ledger.tables.runs import orders, runs
from worker.ledger.views.records import RunItem
from worker.ledger.views.timeline import run_label
from worker.sources.order import email_key

_PAID = "paid"
_MOST_OTHERS = 3
_AFTER = {
    "refunded_after_provisioning": "order {order}, which paid for it, was refunded after that",
    "cancelled_after_provisioning": "order {order}, which paid for it, was cancelled after that",
    "removed_after_provisioning": "the seat was removed from order {order}, or moved to another course, after that",
    "place_lost_after_provisioning": (
        "the place in order {order} went to the waiting list, or its course date was cancelled, after that"
    ),
    "repeated_webhook": (
        "order {order}, which paid for it, was taken back after that, and the webhook that calls it paid may be an old "
        "one"
    ),
    "subscription_canceled": "the subscription that pays for it was canceled",
    "subscription_paused": "the subscription that pays for it was paused",
    "subscription_past_due": "a payment of the subscription that pays for it is overdue",
    "subscription_expired": "the subscription that pays for it came to its end",
    "unknown_status": "the subscription that pays for it has a status nobody has ruled on",
}
"""What happened to access that somebody has, by reason; no call takes it back."""
_AGAIN = {
    "paid_after_revocation": "order {order} is paid again, or the seat is in it again",
    "subscription_resumed": "the subscription goes on",
}
"""What happened after somebody had dealt with taking access back, by reason."""


@dataclass(frozen=True)
class Given:
    """Access that a run gave."""

    run_id: str
    who: str
    email_key: str | None
    price_id: int | None
    label: str
    """The product, its price and the seat."""
    order: str
    """`source/id`."""
    result_id: str | None
    since: datetime | None

    @property
    def sentence(self) -> str:
        """Who has what since when."""
        made = f"LearningCart order {self.result_id}, " if self.result_id else ""
        return f"{self.who} has access to {self.label} ({made}since {minute(self.since)}, order {self.order})"


@dataclass(frozen=True)
class Said:
    """A review in words, and what to do where the rows know better than its reason."""

    sentence: str
    step: NextStep | None = None


def say_review(connection: Connection, run: RunItem) -> Said | None:
    """A review of access already given, from who has what to what happened; None for one that is about no such run."""
    given = _given(connection, run.parent_id)
    if given is None:
        return None
    reason, order = run.reason, f"{run.source}/{run.order_id}"
    if reason in _AFTER:
        return _after(connection, run, given, _AFTER[reason].format(order=order))
    if reason in _AGAIN:
        again = _AGAIN[reason].format(order=order)
        return Said(
            f"{given.who} was given access to {given.label}; somebody had dealt with taking it back, and now {again}."
        )
    if reason == "learner_changed":
        return _learner_changed(connection, run, given)
    if reason == "duplicate_effect":
        if given.result_id is None and run.result_id:  # done by hand, by nobody knows which order
            return Said(
                f"{given.sentence}, by hand; LearningCart order {run.result_id} is ours for it, or one too many."
            )
        second = f", and LearningCart order {run.result_id} for the same seat" if run.result_id else " twice"
        return Said(f"{given.sentence}{second}: two comped orders for one enrolment.")
    return None


def _after(connection: Connection, run: RunItem, given: Given, happened: str) -> Said:
    others = _paid_access(connection, given, given.email_key)
    note = f" ({plain_error(run.note)})" if run.note else ""
    if not others:
        return Said(f"{given.sentence}; {happened}{note}. Nothing else that the ledger knows pays for this access.")
    named = ", ".join(other.order for other in others[:_MOST_OTHERS])
    more = f" and {len(others) - _MOST_OTHERS} more" if len(others) > _MOST_OTHERS else ""
    resolve = NextStep.of("{resolve}.").filled({RUN: run.id})
    verb = "pays" if len(others) == 1 else "pay"
    return Said(
        f"{given.sentence}; {happened}{note}. Order {named}{more} also {verb} for this access.",
        NextStep((f"Leave the access, which is paid for by {named}: ", *resolve.parts)),
    )


def _learner_changed(connection: Connection, run: RunItem, given: Given) -> Said:
    new = run.email or "another learner"
    has = next(iter(_paid_access(connection, given, email_key(new))), None) if run.email else None
    standing = "who has none yet" if has is None else f"who has it by order {has.order}"
    return Said(f"{given.sentence}; after that the source changed the seat's learner to {new}, {standing}.")


def _paid_access(connection: Connection, given: Given, key: str | None) -> list[Given]:
    """The other paid orders by which a person has the same price, newest first."""
    if key is None or given.price_id is None:
        return []
    found = connection.execute(
        select(runs)
        .join(orders, and_(orders.c.source == runs.c.source, orders.c.order_id == runs.c.order_id))
        .where(
            runs.c.email_key == key,
            runs.c.workflow == "enrolment",
            runs.c.state == RunState.SUCCEEDED,
            runs.c.id != given.run_id,
            orders.c.payment == _PAID,
        )
        .order_by(runs.c.created_at.desc())
    )
    return [each for each in map(_of_row, found) if each.price_id == given.price_id]


def _given(connection: Connection, run_id: str | None) -> Given | None:
    if run_id is None:
        return None
    row = connection.execute(select(runs).where(runs.c.id == run_id)).one_or_none()
    return None if row is None or row.state != RunState.SUCCEEDED else _of_row(row)


def _of_row(row: Row[Any]) -> Given:
    return Given(
        row.id,
        row.email or "The learner",
        row.email_key,
        (row.grant or {}).get("price_id"),
        run_label(row),
        f"{row.source}/{row.order_id or row.completion_id}",
        row.result_id,
        row.finished_at,
    )
