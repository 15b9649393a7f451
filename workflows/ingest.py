"""The one way in: an order, however it arrived, is recorded, planned, and its plan applied, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update

from worker.ledger import order_rows, repository
from worker.ledger.forgotten import as_kept
from worker.ledger.models import cursors, orders, runs, steps
from worker.ledger.order_changes import told_changes
from worker.ledger.run_rows import add_learners, insert_run, insert_steps, lane_of
from worker.ledger.states import Actor, DeliveryState, RunState, StepState, check_transition
from worker.sources.order import Learner, Order, Payment, email_key
from workflows import plan as plans
from workflows import planning, refunds, unproven
from workflows.known_runs import known_runs
from workflows.offers import Grant, Offers
from workflows.plan import KnownRun, Plan, Situation, Standing
from workflows.reasons import Reason
from workflows.registry import WORKFLOWS
from workflows.source_start import note_contact, start_of
from workflows.standing import DEFAULT_RULES, SubscriptionRules, placed

_LOOK_AGAIN_SECONDS = 15.0


@dataclass(frozen=True)
class Look:
    """How an order came to be looked at."""

    fetched_at: datetime
    """When the request for it was sent."""
    actor: str = Actor.SOURCE
    baseline: bool = False
    manual: bool = False
    replan: bool = False
    delivery_ids: tuple[str, ...] = ()
    """Leased deliveries this look answers."""
    polled: bool = False
    start_at: datetime | None = None
    """The operator's own start for this look: what was made since then counts as new, also where the first sweep took
    it as handled. None: the source's."""


@dataclass
class Recorded:
    """What a look came to."""

    plan: Plan
    changed: bool
    """The order's content was new to the ledger."""
    stale: bool = False
    """Newer content was recorded before: nothing was done."""
    created: list[str] = field(default_factory=list)
    """The runs that were made, in any state."""
    ready: list[str] = field(default_factory=list)
    """The runs that are due now and should be sent to the workers."""
    refused: list[str] = field(default_factory=list)
    """Actions that the ledger's state, changed meanwhile, did not allow; they are looked at again."""


def situation_of(
    row: Row[Any] | None,
    cursor: Row[Any] | None,
    look: Look,
    configured_start_at: datetime | None,
    standing: Standing | None = None,
) -> Situation:
    """What planning must know besides the order and its runs. A source never read before starts a day before now."""
    start_at = look.start_at or start_of(cursor, configured_start_at, now=look.fetched_at)
    is_asked_for = look.start_at is not None and row is not None and (row.created_at or start_at) >= look.start_at
    return Situation(
        seen_before=row is not None and row.version > 0,
        paid_before=row is not None and row.version > 0 and row.payment == Payment.PAID,
        before_start=row is not None and bool(row.before_start) and not is_asked_for,
        baseline=look.baseline,
        start_at=start_at,
        manual=look.manual,
        replan=look.replan,
        paid_total_before=refunds.paid_total_of(row),
        standing=standing,
    )


def record_order(
    connection: Connection,
    order: Order,
    offers: Offers,
    look: Look,
    *,
    now: datetime,
    start_at: datetime | None,
    rules: SubscriptionRules = DEFAULT_RULES,
) -> Recorded:
    """Record an order as seen, plan it, and apply the plan, inside the caller's transaction.

    Safe to repeat, and safe to do twice at once: the order's row is locked, and run keys are unique. An answer to a
    request sent before that of the recorded content is older news, and changes nothing.
    """
    cursor = note_contact(connection, order.source, now=now, start_at=start_at)
    row, created = order_rows.lock_order(connection, order, fetched_at=look.fetched_at, now=now)
    order, hashed = as_kept(order, row)
    changed = row.content_hash != hashed
    if changed and not created and row.version > 0 and look.fetched_at < row.fetched_at:
        _finish_deliveries(connection, look, order, duplicate=True, now=now)
        return Recorded(Plan(row.state), changed=False, stale=True)
    order, standing = placed(
        connection, order, first_seen_at=row.first_seen_at, rules=rules, now=now, replan=look.replan
    )
    situation = situation_of(row, cursor, look, start_at, standing)
    ask_at = unproven.asked_at(order, first_seen_at=row.first_seen_at, start_at=situation.start_at)
    situation = replace(situation, payment_overdue=ask_at is not None and ask_at <= now)
    existing = known_runs(connection, order.source, order.id)
    plan = planning.plan(order, offers, existing, situation)
    cause = look.delivery_ids[0] if look.delivery_ids else None
    if changed:
        order_rows.write_content(
            connection, order, row, hashed=hashed, fetched_at=look.fetched_at, delivery_id=cause, now=now
        )
    elif order.subscription_id is not None:
        order_rows.write_annotation(connection, order)
    recorded = Recorded(plan, changed=changed)
    _Applier(connection, order, {run.id: run for run in existing}, recorded, look=look, cause=cause, now=now).apply()
    replan_at = standing.awaited_until if standing and plan.reason is Reason.SUBSCRIPTION_UNLISTED else None
    if ask_at is not None and plan.reason is Reason.AWAITING_PAYMENT:
        replan_at = ask_at
    if plan.look_again or recorded.refused:
        replan_at = now + timedelta(seconds=_LOOK_AGAIN_SECONDS)
    values: dict[str, Any] = {
        "state": plan.state,
        "reason": plan.reason,
        "offers_digest": offers.digest,
        "before_start": plan.before_start,
        "replan_at": replan_at,
    }
    if look.polled:
        values["polled_hash"] = hashed
    elif changed:
        values["polled_hash"] = None  # what a poll saw last is not what is recorded: seen again, it is news
    if look.fetched_at > row.fetched_at:
        values["fetched_at"] = look.fetched_at
    order_rows.update_order(connection, order.source, order.id, **values)
    if changed or plan.actions:
        repository.record_event(
            connection,
            at=now,
            kind="order_planned",
            actor=look.actor,
            source=order.source,
            order_id=order.id,
            delivery_id=cause,
            reason=plan.reason,
            detail={"status": order.status, "state": plan.state, "actions": len(plan.actions), "changed": changed}
            | (told_changes(row, order) if changed else {}),
        )
    _finish_deliveries(connection, look, order, duplicate=not changed and not plan.actions, now=now)
    return recorded


def _finish_deliveries(connection: Connection, look: Look, order: Order, *, duplicate: bool, now: datetime) -> None:
    order_rows.settle_reviews(connection, order.source, order.id, now=now)
    first, rest = look.delivery_ids[:1], look.delivery_ids[1:]
    if first:
        order_rows.release_deliveries(
            connection, list(first), state=DeliveryState.PLANNED, duplicate=duplicate, now=now
        )
    if rest:
        order_rows.release_deliveries(connection, list(rest), state=DeliveryState.PLANNED, duplicate=True, now=now)


_WITH_LEARNER = (plans.Create, plans.Revive, plans.ChangeLearner)


class _Applier:
    """Carries out a plan's actions on the ledger."""

    def __init__(
        self,
        connection: Connection,
        order: Order,
        existing: dict[str, KnownRun],
        recorded: Recorded,
        *,
        look: Look,
        cause: str | None,
        now: datetime,
    ) -> None:
        self._connection = connection
        self._order = order
        self._existing = existing
        self._look = look
        self._recorded = recorded
        self._cause = cause
        self._now = now
        self._transition_actor = Actor.OPERATOR if look.replan else Actor.SOURCE

    def apply(self) -> None:
        actions = self._recorded.plan.actions
        people = [action.learner for action in actions if isinstance(action, _WITH_LEARNER) and action.learner]
        if len(people) > 1:
            add_learners(self._connection, people, now=self._now)
        for action in actions:
            match action:
                case plans.Create():
                    self._create(action)
                case plans.Cancel():
                    self._cancel(action)
                case plans.RequestCancel():
                    self._set(action.run_id, "cancel_requested", action.reason, cancel_reason=action.reason)
                case plans.WithdrawCancel():
                    self._set(action.run_id, "cancel_withdrawn", None, cancel_reason=None)
                case plans.Revive():
                    self._revive(action)
                case plans.ChangeLearner():
                    self._change_learner(action.run_id, action.learner)
                case plans.ChangeGrant():
                    self._change_grant(action.run_id, action.grant)

    def _create(self, create: plans.Create) -> None:
        workflow = WORKFLOWS.get(create.workflow)
        grant = create.grant.model_dump(mode="json") if create.grant else None
        run_id = insert_run(
            self._connection,
            key=create.key,
            workflow=create.workflow,
            state=create.state,
            source=self._order.source,
            order_id=self._order.id,
            line_id=create.line_id,
            seat_id=create.seat_id,
            title=create.title,
            reason=create.reason,
            note=create.note,
            learner=create.learner,
            grant=grant,
            step_names=[step.name for step in workflow.sequence(grant)] if workflow and grant else [],
            parent_id=create.parent_id,
            delivery_id=self._cause,
            now=self._now,
        )
        if run_id is None:
            return
        self._recorded.created.append(run_id)
        if create.state is RunState.PENDING:
            self._recorded.ready.append(run_id)
        self._event(run_id, "run_planned", create.reason)

    def _cancel(self, cancel: plans.Cancel) -> None:
        self._move(
            cancel.run_id,
            RunState.CANCELLED,
            cancel.reason,
            cancelled_by=cancel.by,
            next_attempt_at=None,
            finished_at=self._now,
        )

    def _revive(self, revive: plans.Revive) -> None:
        state = RunState.PENDING if revive.reason is None else RunState.REVIEW
        moved = self._move(
            revive.run_id,
            state,
            revive.reason,
            note=revive.note,
            cancelled_by=None,
            cancel_reason=None,
            next_attempt_at=self._now if state is RunState.PENDING else None,
            finished_at=None,
            dispatched_at=None,
            dispatches=0,
        )
        if not moved:
            return
        self._connection.execute(
            update(steps).where(steps.c.run_id == revive.run_id, steps.c.state == StepState.PENDING).values(counted=0)
        )
        if revive.learner is not None:
            self._change_learner(revive.run_id, revive.learner)
        if revive.grant is not None and revive.grant != self._existing[revive.run_id].grant:
            self._change_grant(revive.run_id, revive.grant)
        if state is RunState.PENDING:
            self._recorded.ready.append(revive.run_id)

    def _change_learner(self, run_id: str, learner: Learner) -> None:
        before = self._existing[run_id].learner
        if before == learner:
            return
        self._set(
            run_id,
            "learner_changed",
            None,
            learner=learner.model_dump(mode="json"),
            email=learner.email,
            email_key=email_key(learner.email),
            lane=lane_of(self._connection, learner, run_id=run_id, now=self._now),
        )
        self._reset_steps(run_id)
        self._start_over_if_failed(run_id)

    def _change_grant(self, run_id: str, grant: Grant) -> None:
        planned = grant.model_dump(mode="json")
        self._set(run_id, "grant_changed", None, grant=planned)
        self._connection.execute(steps.delete().where(steps.c.run_id == run_id))
        insert_steps(self._connection, run_id, [step.name for step in WORKFLOWS[plans.ENROLMENT].sequence(planned)])
        self._start_over_if_failed(run_id)

    def _start_over_if_failed(self, run_id: str) -> None:
        """What failed with the learner or the groups of before may succeed with the new."""
        if self._existing[run_id].state is RunState.FAILED and self._move(
            run_id,
            RunState.PENDING,
            None,
            next_attempt_at=self._now,
            finished_at=None,
            dispatched_at=None,
            dispatches=0,
        ):
            self._recorded.ready.append(run_id)

    def _reset_steps(self, run_id: str) -> None:
        self._connection.execute(
            update(steps)
            .where(steps.c.run_id == run_id)
            .values(state=StepState.PENDING, output=None, counted=0, finished_at=None)
        )

    def _move(self, run_id: str, after: RunState, reason: str | None, **values: Any) -> bool:
        """Change a run's state if it is still what the plan saw; else leave it for the next look."""
        before = self._existing[run_id].state
        check_transition(before, after, self._transition_actor if after is not RunState.REVIEW else Actor.SOURCE)
        changed = self._connection.execute(
            update(runs)
            .where(runs.c.id == run_id, runs.c.state == before, runs.c.fence == self._existing[run_id].fence)
            .values(state=after, reason=reason, updated_at=self._now, **{"note": None, **values})
        ).rowcount
        if not changed:
            self._recorded.refused.append(run_id)
            return False
        self._existing[run_id] = replace(self._existing[run_id], state=after)
        self._event(run_id, f"run_{after}", reason)
        return True

    def _set(self, run_id: str, kind: str, reason: str | None, **values: Any) -> None:
        known = self._existing[run_id]
        conditions = [runs.c.id == run_id]
        if known.state is not RunState.CANCELLED:
            conditions.append(runs.c.state == known.state)
        statement = update(runs).where(*conditions).values(updated_at=self._now, **values)
        if self._connection.execute(statement).rowcount:
            self._event(run_id, kind, reason)
        else:
            self._recorded.refused.append(run_id)

    def _event(self, run_id: str, kind: str, reason: str | None) -> None:
        repository.record_event(
            self._connection,
            at=self._now,
            kind=kind,
            actor=self._look.actor,
            run_id=run_id,
            source=self._order.source,
            order_id=self._order.id,
            delivery_id=self._cause,
            reason=reason,
        )


def preview(
    connection: Connection,
    order: Order,
    offers: Offers,
    look: Look,
    *,
    start_at: datetime | None,
    rules: SubscriptionRules = DEFAULT_RULES,
) -> Plan:
    """What `record_order` would do, without doing it."""
    mine = (orders.c.source == order.source, orders.c.order_id == order.id)
    row = connection.execute(select(orders).where(*mine)).one_or_none()
    cursor = connection.execute(select(cursors).where(cursors.c.source == order.source)).one_or_none()
    seen_at = look.fetched_at if row is None else row.first_seen_at
    order, _ = as_kept(order, row)
    order, standing = placed(
        connection, order, first_seen_at=seen_at, rules=rules, now=look.fetched_at, replan=look.replan
    )
    situation = situation_of(row, cursor, look, start_at, standing)
    ask_at = unproven.asked_at(order, first_seen_at=seen_at, start_at=situation.start_at)
    situation = replace(situation, payment_overdue=ask_at is not None and ask_at <= look.fetched_at)
    return planning.plan(order, offers, known_runs(connection, order.source, order.id), situation)
