"""A plan's actions carried out on the ledger: runs made, cancelled, revived and changed."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime
from typing import Any, TypedDict

from sqlalchemy import Connection

from worker.ledger.events import record_events
from worker.ledger.orders.order_rows import insert_deliveries
from worker.ledger.orders.recorded_orders import insert_versions
from worker.ledger.runs import transitions
from worker.ledger.runs.run_rows import NewRun, add_learners, change_grant, change_learner, insert_runs
from worker.ledger.states import Actor, RunState
from worker.sources.order import Learner, Order
from workflows.execution.late_results import ask_about_earlier_effect
from workflows.planning import model as plans
from workflows.planning.model import KnownRun
from workflows.planning.offers import Grant
from workflows.recording.look import Look, Recorded
from workflows.registry import WORKFLOWS


class _Seen(TypedDict):
    state: RunState | None
    fence: int | None


_WITH_LEARNER = (plans.Create, plans.Revive, plans.ChangeLearner)


@dataclass
class PlannedRows:
    """What the plans of several orders add, collected to be written in a few statements."""

    versions: list[dict[str, Any]] = field(default_factory=list)
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    runs: list[tuple[NewRun, Recorded]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    """In their order. One about a new run names its key as `run_key`: whether it is added only writing it shows."""

    def write(self, connection: Connection, *, now: datetime) -> None:
        """Write everything, inside the caller's transaction, and tell each look which runs it has made."""
        insert_versions(connection, self.versions)
        insert_deliveries(connection, self.deliveries)
        made: dict[str, str] = {}
        ids = insert_runs(connection, [run for run, _ in self.runs], now=now)
        for run_id, (run, recorded) in zip(ids, self.runs, strict=True):
            if run_id is not None:  # else its key is taken: there is one
                made[run.key] = run_id
                recorded.created.append(run_id)
                recorded.ready += [run_id] if run.state is RunState.PENDING else []
        events = [event for event in self.events if event.get("run_key") in {None, *made}]
        for event in events:
            if (key := event.pop("run_key", None)) is not None:
                event["run_id"] = made[key]
        record_events(connection, events)


@dataclass(frozen=True)
class PlanApplier:
    """Carries out a plan's actions on the ledger."""

    connection: Connection
    order: Order
    existing: dict[str, KnownRun]
    recorded: Recorded
    planned: PlannedRows
    _: KW_ONLY
    look: Look
    cause: str | None
    now: datetime

    @property
    def _transition_actor(self) -> Actor:
        return Actor.OPERATOR if self.look.replan else Actor.SOURCE

    def apply(self) -> None:
        actions = self.recorded.plan.actions
        people = [action.learner for action in actions if isinstance(action, _WITH_LEARNER) and action.learner]
        if len(people) > 1 and not all(isinstance(action, plans.Create) for action in actions):
            add_learners(self.connection, people, now=self.now)
        for action in actions:
            match action:
                case plans.Create():
                    self._create(action)
                case plans.Cancel():
                    self._cancel(action)
                case plans.RequestCancel():
                    self._request_cancel(action.run_id, action.reason)
                case plans.WithdrawCancel():
                    self._request_cancel(action.run_id, None)
                case plans.Revive():
                    self._revive(action)
                case plans.ChangeLearner():
                    self._change_learner(action.run_id, action.learner)
                case plans.ChangeGrant():
                    self._change_grant(action.run_id, action.grant)

    def _create(self, create: plans.Create) -> None:
        workflow = WORKFLOWS.get(create.workflow)
        grant = create.grant.model_dump(mode="json") if create.grant else None
        run = NewRun(
            key=create.key,
            workflow=create.workflow,
            state=create.state,
            source=self.order.source,
            order_id=self.order.id,
            line_id=create.line_id,
            seat_id=create.seat_id,
            title=create.title,
            reason=create.reason,
            note=create.note,
            learner=create.learner,
            grant=grant,
            step_names=[step.name for step in workflow.sequence(grant)] if workflow and grant else [],
            parent_id=create.parent_id,
            delivery_id=self.cause,
        )
        self.planned.runs.append((run, self.recorded))
        self.planned.events.append(self._event("run_planned", create.reason) | {"run_key": create.key})

    def _cancel(self, cancel: plans.Cancel) -> None:
        known = self.existing[cancel.run_id]
        moved = transitions.cancel(
            self.connection, known, actor=self._transition_actor, by=cancel.by, reason=cancel.reason, now=self.now
        )
        if self._note_move(known, RunState.CANCELLED, cancel.reason, moved=moved) and cancel.by == "source":
            ask_about_earlier_effect(self.connection, known.id, cancel.reason, now=self.now)

    def _request_cancel(self, run_id: str, reason: str | None) -> None:
        changed = transitions.request_cancel(self.connection, self.existing[run_id], reason, now=self.now)
        self._note_change(run_id, "cancel_withdrawn" if reason is None else "cancel_requested", reason, changed=changed)

    def _revive(self, revive: plans.Revive) -> None:
        state = RunState.PENDING if revive.reason is None else RunState.REVIEW
        known = self.existing[revive.run_id]
        moved = transitions.revive(
            self.connection,
            known,
            actor=self._transition_actor,
            reason=revive.reason,
            note=revive.note,
            now=self.now,
        )
        if not self._note_move(known, state, revive.reason, moved=moved):
            return
        if revive.learner is not None:
            self._change_learner(revive.run_id, revive.learner)
        if revive.grant is not None and revive.grant != self.existing[revive.run_id].grant:
            self._change_grant(revive.run_id, revive.grant)
        if state is RunState.PENDING:
            self.recorded.ready.append(revive.run_id)

    def _change_learner(self, run_id: str, learner: Learner) -> None:
        before = self.existing[run_id].learner
        if before == learner:
            return
        changed = change_learner(self.connection, run_id, learner, **self._as_seen(run_id), now=self.now)
        self._note_change(run_id, "learner_changed", None, changed=changed)
        self._start_over_if_failed(run_id)

    def _change_grant(self, run_id: str, grant: Grant) -> None:
        planned = grant.model_dump(mode="json")
        names = [step.name for step in WORKFLOWS[plans.ENROLMENT].sequence(planned)]
        changed = change_grant(self.connection, run_id, planned, names, **self._as_seen(run_id), now=self.now)
        self._note_change(run_id, "grant_changed", None, changed=changed)
        self._start_over_if_failed(run_id)

    def _as_seen(self, run_id: str) -> _Seen:
        """What a run must still be to be changed: anything will do for one that is cancelled."""
        known = self.existing[run_id]
        is_any = known.state is RunState.CANCELLED
        return {"state": None if is_any else known.state, "fence": None if is_any else known.fence}

    def _start_over_if_failed(self, run_id: str) -> None:
        """What failed with the learner or the groups of before may succeed with the new."""
        known = self.existing[run_id]
        if known.state is not RunState.FAILED:
            return
        moved = transitions.start_over(self.connection, known, actor=self._transition_actor, now=self.now)
        if self._note_move(known, RunState.PENDING, None, moved=moved):
            self.recorded.ready.append(run_id)

    def _note_move(self, known: KnownRun, after: RunState, reason: str | None, *, moved: bool) -> bool:
        """Record a transition; where the run is not what the plan saw any more, leave it for the next look."""
        if moved:
            self.existing[known.id] = replace(known, state=after)
        self._note_change(known.id, f"run_{after}", reason, changed=moved)
        return moved

    def _note_change(self, run_id: str, kind: str, reason: str | None, *, changed: bool) -> None:
        if changed:
            self.planned.events.append(self._event(kind, reason) | {"run_id": run_id})
        else:
            self.recorded.refused.append(run_id)

    def _event(self, kind: str, reason: str | None) -> dict[str, Any]:
        return {
            "at": self.now,
            "kind": kind,
            "actor": self.look.actor,
            "source": self.order.source,
            "order_id": self.order.id,
            "delivery_id": self.cause,
            "reason": reason,
        }
