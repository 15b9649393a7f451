"""A plan's actions carried out on the ledger: runs made, cancelled, revived and changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, update

from worker.ledger.runs import repository
from worker.ledger.runs.run_rows import NewRun, add_learners, insert_run, insert_steps, lane_of
from worker.ledger.states import Actor, RunState, StepState, check_transition
from worker.ledger.tables.runs import runs, steps
from worker.sources.order import Learner, Order, email_key
from workflows.planning import model as plans
from workflows.planning.model import KnownRun
from workflows.planning.offers import Grant
from workflows.recording.look import Look, Recorded
from workflows.registry import WORKFLOWS

_WITH_LEARNER = (plans.Create, plans.Revive, plans.ChangeLearner)


class PlanApplier:
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
            NewRun(
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
            ),
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
