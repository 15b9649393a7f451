"""What stops a run that has had no effect yet: its order was taken back, or is not paid any more. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from worker.ledger.states import RunState
from worker.reasons import Reason
from worker.sources.order import Learner
from workflows.planning.model import HOLDS, Action, Cancel, KnownRun, RequestCancel, Revive

_HELD_BACK: Final = HOLDS | {Reason.AWAITING_PAYMENT}
"""Why a source stops a run that it may let go on."""
_NOT_STARTED: Final = frozenset({RunState.PENDING, RunState.WAITING})


def withdrawn(run: KnownRun, reason: Reason, doubt: Reason | None, *, is_present: bool = False) -> list[Action]:
    """Cancel a run that has not succeeded; LearningCart is asked before, where the effect may have taken place.

    With a `doubt` that the order's content is old, a person is asked instead; what a person is asked for that cause is
    not taken as removed afterwards, unless the source itself says so (`is_present`).
    """
    is_asked = is_in_doubt(run) and reason is Reason.REMOVED_FROM_ORDER and not is_present
    if run.is_withdrawn and run.reason in _HELD_BACK:  # no payment, and no confirmed place, brings it back any more
        return [Revive(run.id, Reason(run.reason)), Cancel(run.id, reason)]
    if run.state is RunState.CANCELLED or is_asked:
        return []
    if run.is_untouchable:
        return [] if run.cancel_reason == reason else [RequestCancel(run.id, reason)]
    if doubt is not None and run.state in _NOT_STARTED:
        return in_doubt(run, doubt)
    # What the operator cancelled stays his when the source cancels it too: paid again, it is a question again.
    return [Cancel(run.id, reason, "operator" if run.reason == Reason.PAID_AFTER_CANCEL else "source")]


def held_back(runs: Iterable[KnownRun], reason: Reason) -> list[Cancel | RequestCancel]:
    """Stop the runs of an order that is not paid any more before their effect; paid again, they go on.

    Where it may have taken place LearningCart is asked before; then that is no question.
    """
    found: list[Cancel | RequestCancel] = []
    for run in runs:
        if run.is_untouchable and not run.cancel_requested:
            found.append(RequestCancel(run.id, reason))
        elif run.state in _NOT_STARTED and not run.is_untouchable:
            found.append(Cancel(run.id, reason))
    return found


def any_left(runs: Iterable[KnownRun], stopped: Iterable[Cancel | RequestCancel]) -> bool:
    """Whether any run has given access, or goes on, where these are stopped."""
    gone = {action.run_id for action in stopped}
    return any(
        run.state is RunState.SUCCEEDED
        or not (run.state is RunState.CANCELLED or run.cancel_requested or run.id in gone)
        for run in runs
    )


def out_of_doubt(run: KnownRun, hold: Reason | None, learner: Learner | None) -> list[Action]:
    """Let a run go on, about which was asked whether the news of it was old: its source says so now."""
    if run.is_untouchable:
        return []
    return [Cancel(run.id, Reason.SUPERSEDED, by="superseded"), Revive(run.id, hold, learner=learner)]


def is_in_doubt(run: KnownRun) -> bool:
    """Whether a person is asked about a run because the news of it may be old."""
    return run.state is RunState.REVIEW and run.reason == Reason.REPEATED_WEBHOOK


def in_doubt(run: KnownRun, doubt: Reason, learner: Learner | None = None) -> list[Action]:
    """Ask before a run that was planned goes on, for the `learner` where that is another now."""
    return [Cancel(run.id, Reason.SUPERSEDED, by="superseded"), Revive(run.id, doubt, learner=learner)]
