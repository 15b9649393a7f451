"""Planning follow-on carts: which completed course leads to one, for whom, and why another leads to none."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol

from sqlalchemy import Connection, select

from worker.ledger.events import record_event
from worker.ledger.learners.erased import is_pseudonym
from worker.ledger.orders.people import bought
from worker.ledger.runs import transitions
from worker.ledger.runs.run_rows import NewRun, insert_run
from worker.ledger.search.texts import write_search_text
from worker.ledger.states import Actor, RunState
from worker.ledger.tables.runs import runs
from worker.reasons import Reason
from worker.sources.order import Learner, email_key, is_email
from workflows.follow_on.steps import FOLLOW_ON, NAME, NOTIFIERS
from workflows.planning.model import ENROLMENT, WHOLE_ORDER
from workflows.planning.offers import FollowOn, Offers

log = logging.getLogger(__name__)

SOURCE: Final = "learningcart"
FIRST_START: Final = timedelta(hours=24)
"""Without a start of its own: courses completed so long before the first poll of completions still lead to a cart."""


class Completed(Protocol):
    """What is needed of a learner's progress in a course; `workflows.follow_on.completions.Progress` has it."""

    @property
    def customer_id(self) -> str: ...
    @property
    def course_id(self) -> str: ...
    @property
    def course_name(self) -> str: ...
    @property
    def email(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def completed_at(self) -> datetime | None: ...


class Came(StrEnum):
    """What a completed course came to."""

    PLANNED = "planned"
    """A run was made, and is due."""
    BOUGHT = "already_bought"
    """A run was made and cancelled at once: the learner has the item."""
    KNOWN = "known"
    """There is a run already, of this completion or of an earlier one of the same learner and course."""
    BEFORE_START = "before_start"
    NO_EMAIL = "missing_email"
    FORGOTTEN = "learner_erased"
    """The ledger does not know any more whose course it is."""
    NO_RULE = "no_rule"


@dataclass(frozen=True)
class Planned:
    """What planning came to. `run_id`: the run that was made, or is there already."""

    came: Came
    run_id: str | None = None


class FollowOnPlanner:
    """Makes runs by the [[follow_on]] rules of today, inside the caller's transaction. Safe to repeat.

    Every method raises `OffersError` while the offers file cannot be used; then nothing is written.
    """

    def __init__(self, offers: Callable[[], Offers], *, notify: str = "none", start_at: datetime | None = None) -> None:
        """`notify`: how the cart is announced, one of `NOTIFIERS`. `start_at`: earlier completions get no cart."""
        self._offers = offers
        self._notify = notify if notify in NOTIFIERS else "none"
        self._start_at = start_at

    def plan_completed(
        self,
        connection: Connection,
        completion_id: str,
        completed: Completed,
        *,
        first_contact_at: datetime,
        is_first_poll: bool,
        now: datetime,
    ) -> Planned:
        """Plan a course that was newly seen to be completed.

        A completion without a time counts as old on the first poll, and as new later on.
        """
        rule = self._offers().follow_on_of(completed.course_id)
        if rule is None:
            return Planned(Came.NO_RULE)
        completed_at = completed.completed_at or (None if is_first_poll else now)
        if completed_at is None or completed_at < (self._start_at or first_contact_at - FIRST_START):
            self._skip(connection, completion_id, rule, Came.BEFORE_START, now=now)
            return Planned(Came.BEFORE_START)
        return self._plan(connection, completion_id, completed, rule, actor=Actor.SOURCE, reason=None, now=now)

    def plan_by_hand(
        self,
        connection: Connection,
        completion_id: str,
        completed: Completed,
        *,
        actor: str,
        reason: str | None,
        now: datetime,
        dry_run: bool = False,
    ) -> Planned:
        """Plan a completed course because an operator wants it, whenever it was completed."""
        rule = self._offers().follow_on_of(completed.course_id)
        if rule is None:
            return Planned(Came.NO_RULE)
        if not dry_run:
            return self._plan(connection, completion_id, completed, rule, actor=actor, reason=reason, now=now)
        if is_pseudonym(completed.email):
            return Planned(Came.FORGOTTEN)
        if not is_email(completed.email):
            return Planned(Came.NO_EMAIL)
        known = connection.scalar(select(runs.c.id).where(runs.c.key == run_key(completed, rule)))
        if known is not None:
            return Planned(Came.KNOWN, known)
        return Planned(Came.BOUGHT if self._bought(connection, completed, rule) else Came.PLANNED)

    def _plan(
        self,
        connection: Connection,
        completion_id: str,
        completed: Completed,
        rule: FollowOn,
        *,
        actor: str,
        reason: str | None,
        now: datetime,
    ) -> Planned:
        if is_pseudonym(completed.email):
            return Planned(Came.FORGOTTEN)
        if not is_email(completed.email):
            log.warning("completion %s leads to no cart: LearningCart names no email of the learner", completion_id)
            self._skip(connection, completion_id, rule, Came.NO_EMAIL, now=now)
            return Planned(Came.NO_EMAIL)
        key = run_key(completed, rule)
        planned = {
            "completion_id": completion_id,
            "customer_id": completed.customer_id,
            "course_id": rule.course_id,
            "catalog_id": rule.catalog_id,
            "price_ids": sorted(self._offers().prices_of(rule)),
            "notify": self._notify,
        }
        run_id = insert_run(
            connection,
            NewRun(
                key=key,
                workflow=NAME,
                state=RunState.PENDING,
                source=SOURCE,
                order_id=None,
                completion_id=completion_id,
                line_id=WHOLE_ORDER,
                seat_id=WHOLE_ORDER,
                title=f"Cart with item {rule.catalog_id} after {completed.course_name or f'course {rule.course_id}'}",
                learner=learner_of(connection, completed),
                grant=planned,
                step_names=[step.name for step in FOLLOW_ON.sequence(planned)],
            ),
            now=now,
        )
        if run_id is None:
            return Planned(Came.KNOWN, connection.scalar(select(runs.c.id).where(runs.c.key == key)))
        write_search_text(connection, SOURCE, completion_id)
        _record(connection, run_id, "run_planned", actor, reason, now=now)
        by = self._bought(connection, completed, rule)
        if by is None:
            return Planned(Came.PLANNED, run_id)
        _cancel_as_bought(connection, run_id, by, now=now)
        return Planned(Came.BOUGHT, run_id)

    def _bought(self, connection: Connection, completed: Completed, rule: FollowOn) -> str | None:
        prices = self._offers().prices_of(rule)
        return bought(connection, completed.email, catalog_id=rule.catalog_id, price_ids=prices)

    def _skip(self, connection: Connection, completion_id: str, rule: FollowOn, why: Came, *, now: datetime) -> None:
        detail = {"completion_id": completion_id, "course_id": rule.course_id, "catalog_id": rule.catalog_id}
        record_event(
            connection, at=now, kind="follow_on_skipped", actor=Actor.SOURCE, system=SOURCE, reason=why, detail=detail
        )


def run_key(completed: Completed, rule: FollowOn) -> str:
    """The unique key of a follow-on run: completing a course twice makes no second cart. It holds no personal data."""
    return f"{SOURCE}/{completed.customer_id}/{completed.course_id}/{NAME}/{rule.catalog_id}"


def learner_of(connection: Connection, completed: Completed) -> Learner:
    """The learner with name and address, as last seen on an enrolment; else by the one name LearningCart gives.

    A seat that is in question does not tell: it may be another person's with the same address.
    """
    known = connection.scalar(
        select(runs.c.learner)
        .where(
            runs.c.email_key == email_key(completed.email),
            runs.c.learner.is_not(None),
            runs.c.workflow == ENROLMENT,
            runs.c.grant.is_not(None),
            runs.c.state != RunState.REVIEW,
        )
        .order_by(runs.c.created_at.desc(), runs.c.id.desc())
        .limit(1)
    )
    if known is not None:
        return Learner.model_validate(known)
    first, _, last = completed.name.rpartition(" ")
    return Learner(email=completed.email, first_name=first or last, last_name=last if first else "")


def _record(
    connection: Connection, run_id: str, kind: str, actor: str, reason: str | None, *, now: datetime, **detail: Any
) -> None:
    record_event(connection, at=now, kind=kind, actor=actor, run_id=run_id, source=SOURCE, reason=reason, detail=detail)


def _cancel_as_bought(connection: Connection, run_id: str, by: str, *, now: datetime) -> None:
    transitions.cancel(
        connection,
        transitions.see(connection, run_id),
        actor=Actor.SOURCE,
        by="source",
        reason=Reason.ALREADY_BOUGHT,
        note=f"It was bought by {by}.",
        now=now,
    )
    _record(connection, run_id, "run_cancelled", Actor.SOURCE, Reason.ALREADY_BOUGHT, now=now)
