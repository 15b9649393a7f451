"""What stops a run that has had no effect yet: its order was taken back, or is not paid any more. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from worker.ledger.states import RunState
from worker.reasons import Reason
from worker.sources.order import Learner
from workflows.planning.model import Action, Cancel, KnownRun, RequestCancel, Revive


def taken_back(run: KnownRun, reason: Reason) -> list[Action]:
    """Cancel a run that has not succeeded; LearningCart is asked before, where the effect may have taken place."""
    if run.state is RunState.CANCELLED:
        return []
    if run.is_untouchable:
        return [] if run.cancel_requested else [RequestCancel(run.id, reason)]
    # What the operator cancelled stays his when the source cancels it too: paid again, it is a question again.
    return [Cancel(run.id, reason, "operator" if run.reason == Reason.PAID_AFTER_CANCEL else "source")]


def held_back(runs: Iterable[KnownRun], reason: Reason) -> list[Cancel]:
    """Stop the runs of an order that is not paid any more before their effect; paid again, they go on."""
    is_due = {RunState.PENDING, RunState.WAITING}
    return [Cancel(run.id, reason) for run in runs if run.state in is_due and not run.is_untouchable]


def in_doubt(run: KnownRun, doubt: Reason, learner: Learner) -> list[Action]:
    """Ask before another learner takes the place of the one a run was planned for."""
    return [Cancel(run.id, Reason.SUPERSEDED, by="superseded"), Revive(run.id, doubt, learner=learner)]
