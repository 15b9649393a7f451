"""The states of deliveries, orders, runs, steps and attempts, and how each may become another."""

from __future__ import annotations

from enum import StrEnum

from worker.errors import IllegalTransitionError


class RunState(StrEnum):
    """Where a run stands. Each comment says what a crash leaves, and who gets a run out of the state."""

    PENDING = "pending"
    """Planned and due. A crash leaves it as it is; `dispatch_due` sends it again, a worker claims it."""
    RUNNING = "running"
    """Held under a lease.

    A crash leaves it here until the lease ends; then `dispatch_due` makes it wait out what the holder may have sent.
    """
    WAITING = "waiting"
    """Due again at `next_attempt_at`. `dispatch_due` sends it then."""
    SUCCEEDED = "succeeded"
    """Done, for good. A replay with `--again` starts a new generation; what an operator resolved, he may reopen."""
    FAILED = "failed"
    """A final error, or the attempts are spent.

    The operator replays, resolves or cancels it; the source may cancel it.
    """
    REVIEW = "review"
    """Waits for a person, with a reason code.

    The operator replays, resolves or cancels it; news from the source may too.
    """
    CANCELLED = "cancelled"
    """Never to run, before any effect.

    Paying again revives what the source cancelled; what an operator cancelled, he may reopen.
    """


class Actor(StrEnum):
    """Who causes a change: the engine (a worker, the dispatcher), the source (news of the order), or the operator."""

    ENGINE = "engine"
    SOURCE = "source"
    OPERATOR = "operator"


_E, _S, _O = Actor.ENGINE, Actor.SOURCE, Actor.OPERATOR

RUN_TRANSITIONS: dict[RunState, dict[RunState, frozenset[Actor]]] = {
    RunState.PENDING: {
        RunState.RUNNING: frozenset({_E}),
        RunState.CANCELLED: frozenset({_S, _O}),
        RunState.REVIEW: frozenset({_S}),
        RunState.SUCCEEDED: frozenset({_O}),
    },
    RunState.RUNNING: {
        RunState.SUCCEEDED: frozenset({_E}),
        RunState.WAITING: frozenset({_E}),
        RunState.FAILED: frozenset({_E}),
        RunState.REVIEW: frozenset({_E}),
        RunState.CANCELLED: frozenset({_E}),
    },
    RunState.WAITING: {
        RunState.RUNNING: frozenset({_E}),
        RunState.PENDING: frozenset({_O}),
        RunState.CANCELLED: frozenset({_S, _O}),
        RunState.REVIEW: frozenset({_S}),
        RunState.SUCCEEDED: frozenset({_E, _O}),
    },
    RunState.SUCCEEDED: {RunState.PENDING: frozenset({_O}), RunState.REVIEW: frozenset({_O})},
    RunState.FAILED: {
        RunState.PENDING: frozenset({_S, _O}),
        RunState.SUCCEEDED: frozenset({_O, _E}),
        RunState.CANCELLED: frozenset({_S, _O}),
        RunState.REVIEW: frozenset({_S}),
    },
    RunState.REVIEW: {
        RunState.PENDING: frozenset({_S, _O}),
        RunState.SUCCEEDED: frozenset({_O, _E}),
        RunState.CANCELLED: frozenset({_S, _O}),
    },
    RunState.CANCELLED: {
        RunState.PENDING: frozenset({_S, _O}),
        RunState.REVIEW: frozenset({_S, _O}),
    },
}
"""From each state: the states it may become, and by whom. Everything not in here is refused."""

RUN_BEGINNINGS = frozenset({RunState.PENDING, RunState.REVIEW})
"""The states a run may be planned in."""
FINISHED = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})
"""The states in which a run has a `finished_at`."""
CLAIMABLE = frozenset(state for state, after in RUN_TRANSITIONS.items() if RunState.RUNNING in after)
"""The states from which a worker may claim a run."""


def check_transition(before: RunState, after: RunState, actor: Actor) -> None:
    """Raise `IllegalTransitionError` unless `actor` may move a run from `before` to `after`."""
    if actor not in RUN_TRANSITIONS[before].get(after, frozenset()):
        raise IllegalTransitionError(f"the {actor} may not move a run from {before} to {after}")


class DeliveryState(StrEnum):
    """Where one arrival of news stands."""

    RECEIVED = "received"
    """Committed, not looked at. `dispatch_due` sends it to an ingest task."""
    WAITING = "waiting"
    """Its order could not be fetched or planned yet; due again at `next_attempt_at`."""
    PLANNED = "planned"
    """Its order was recorded and planned. `duplicate` says that it told nothing new."""
    IGNORED = "ignored"
    """It needs nothing (a lead without an order), for the reason given."""
    REVIEW = "review"
    """Nothing could be made of it; the reason says why. The next news of the order settles it, or `ingest` by hand."""


class OrderState(StrEnum):
    """What an order came to when it was last planned."""

    WAITING = "waiting"
    """Not paid: it waits for news from the source."""
    PLANNED = "planned"
    """Paid; every seat has a run or an ignore."""
    IGNORED = "ignored"
    """Nothing to do, by rule: the reason says which."""
    CANCELLED = "cancelled"
    """Cancelled, failed or refunded at the source."""
    REVIEW = "review"
    """The order itself raises a question (`unknown_status`)."""


class StepState(StrEnum):
    """Where one step of a run stands."""

    PENDING = "pending"
    """Not known to be done, whatever was tried. A crash leaves it so; the next holder goes on with the first such."""
    DONE = "done"
    """Its result is committed. No holder performs it again."""


STEP_TRANSITIONS: dict[StepState, dict[StepState, frozenset[Actor]]] = {
    StepState.PENDING: {StepState.DONE: frozenset({_E})},
    StepState.DONE: {StepState.PENDING: frozenset({_S, _O})},
}
"""From each state of a step: the states it may become, and by whom.

A done step is begun anew when the source corrects the learner before the effect, or the operator repeats it on purpose.
"""


class Outcome(StrEnum):
    """How an attempt ended; an attempt without one is open: the request was or may have been sent."""

    OK = "ok"
    ADOPTED = "adopted"
    """The effect of an earlier, unknown attempt was found by its reference."""
    RETRYABLE = "retryable"
    """Not carried out, or safe to repeat."""
    UNKNOWN = "unknown"
    """It may have been carried out: the destination must be asked before anything is sent again."""
    FINAL = "final"
    """Refused: the same call would be refused again."""
    ABSENT = "absent"
    """A lookup's answer: it was proven that no earlier attempt took effect."""


class AttemptKind(StrEnum):
    """What was tried."""

    CALL = "call"
    """The step's own call. Only that of a step which is not safe to repeat is in the ledger before it has ended."""
    LOOKUP = "lookup"
    """The destination was asked for the effect of a call whose outcome is unknown. It changes nothing there."""
    DEATH = "death"
    """The holder vanished while no call was open. It counts, so that a run cannot kill workers for ever."""


NEXT_ATTEMPTS: dict[AttemptKind, dict[Outcome, frozenset[AttemptKind]]] = {
    AttemptKind.CALL: {
        Outcome.OK: frozenset(),
        Outcome.RETRYABLE: frozenset({AttemptKind.CALL}),
        Outcome.UNKNOWN: frozenset({AttemptKind.LOOKUP}),
        Outcome.FINAL: frozenset({AttemptKind.CALL}),
    },
    AttemptKind.LOOKUP: {
        Outcome.ADOPTED: frozenset(),
        Outcome.ABSENT: frozenset({AttemptKind.CALL}),
        Outcome.UNKNOWN: frozenset({AttemptKind.LOOKUP}),
        Outcome.RETRYABLE: frozenset({AttemptKind.LOOKUP}),
    },
    AttemptKind.DEATH: {Outcome.RETRYABLE: frozenset({AttemptKind.CALL, AttemptKind.LOOKUP})},
}
"""How an attempt of each kind may end, and what may be tried next on a step whose effect can be asked about.

For one generation of one run. After a death that is what it was before it. A step that is safe to repeat has calls and
deaths alone, and a call may follow any of them.
"""


class Via(StrEnum):
    """How a delivery came."""

    WEBHOOK = "webhook"
    POLL = "poll"
    MANUAL = "manual"
    RECONCILE = "reconcile"
