"""What a workflow is made of: step definitions, what a call is given, and what a call or a lookup may answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection

from worker.clients.base import CallLimits
from worker.errors import CartbridgeError
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.reasons import Reason
from worker.sources.order import Learner


@dataclass(frozen=True)
class Call:
    """All a step's call is given."""

    clients: Mapping[str, Any]
    """The clients by system."""
    ledger: Ledger
    """To read what has become known since the run was planned, and to note what the step alone knows."""
    source: str
    order_id: str | None
    """None for a run that belongs to no order."""
    learner: Learner
    planned: Mapping[str, Any]
    """What the run was planned with, as JSON."""
    step: str
    reference: str
    """Our mark on this step's effect."""
    later_references: frozenset[str] = field(default=frozenset(), kw_only=True)
    """In a lookup: the marks of later generations, which a restored ledger may have forgotten."""
    outputs: Mapping[str, Mapping[str, Any]]
    """What the steps before gave, by step name."""
    now: datetime
    limits: CallLimits = field(default_factory=CallLimits)
    run_id: str = ""
    attempt: int = 0
    """The number of this try of the step."""
    monotonic: Callable[[], float] = time.monotonic
    """A clock that is never set, for how long something takes."""


@dataclass(frozen=True)
class StepResult:
    """What a step gave: `output` for later steps (nothing secret), `result_id` the destination's id of the effect."""

    output: dict[str, Any]
    result_id: str | None = None
    then: Callable[[Connection, datetime], None] | None = None
    """What must be committed in one transaction with this result, at once; given the time of the commit.

    Not called when the run was lost to another holder, unless the step is one that is not safe to repeat: what it did
    is then kept with the late answer. It may be called again after a rollback, so it changes nothing but the ledger.
    """


class StopError(CartbridgeError):
    """Raised by a call before it sends anything, or by a lookup: what it found ends the run.

    `state` is `review`, where a person must look, or `cancelled`, where nothing is to be done; `note` is a sentence
    for the ledger, without secrets.
    """

    def __init__(
        self, note: str = "", *, reason: Reason = Reason.UNEXPECTED_ERROR, state: RunState = RunState.REVIEW
    ) -> None:
        super().__init__(note)
        self.note = note
        self.reason = reason
        self.state = state


@dataclass(frozen=True)
class Lookup:
    """What the destination holds that may be the effect."""

    found: tuple[str, ...] = ()
    """Ids that carry our reference, oldest first."""
    unreferenced: tuple[str, ...] = ()
    """Ids of this customer, or of nobody named, that carry no reference at all: each must be accounted for."""
    unreadable: int = 0
    """How many records could not be read that may be this customer's: absence cannot be proven with them."""
    output: dict[str, Any] = field(default_factory=dict)
    result_name: str = "order_id"
    """The name of the found id in the step's output."""
    answer_seconds: float | None = field(default=None, compare=False)
    """How long the answer took that it rests on; None: the whole lookup."""


class Repeat(StrEnum):
    """What may follow a call whose outcome is unknown: no answer, an unreadable one, or a worker that vanished."""

    SAFE = "safe"
    """The same call again, at any time: two do what one does. No intent is committed before it."""
    ASK = "ask"
    """A lookup, after the settle time, and the call again only on proof of absence. The intent is committed before."""
    HARMLESS = "harmless"
    """The call again after the settle time: two leave something behind that hurts nobody, and nothing can be asked.

    The intent is committed before, and every unknown outcome is recorded and counts towards the cap.
    """
    NEVER = "never"
    """Nothing: it can neither be asked about nor repeated, and the run goes to review as `outcome_unknown`.

    The intent is committed before.
    """


@dataclass(frozen=True)
class StepDefinition:
    """One call of a workflow."""

    kind: str
    """The Celery task's name, and the step's, but for a number where a run has several.

    Numbered steps are for workflows of one destination: where there are several, a step is found by its whole name.
    """
    system: str
    """The destination, by the name of its client, breaker and pause; also the queue its task is sent to."""
    call: Callable[[Call], StepResult]
    """Performs it; raises `ApiError`, and `StopError` before it sends anything."""
    look_up: Callable[[Call, datetime], Lookup] | None = None
    """Asks the destination for the effect since a time; raises as `call`. Just where `repeat` is `ASK`."""
    repeat: Repeat = Repeat.SAFE

    def __post_init__(self) -> None:
        if (self.repeat is Repeat.ASK) != (self.look_up is not None):
            raise ValueError(f"{self.kind}: a step has a lookup just where it is to be asked about")


@dataclass(frozen=True)
class PlannedStep:
    """A step in its place in one run."""

    name: str
    definition: StepDefinition


@dataclass(frozen=True)
class Workflow:
    """A named sequence of steps, which depends on what a run was planned with alone."""

    name: str
    definitions: tuple[StepDefinition, ...]
    """All that its runs may have."""
    sequence: Callable[[Mapping[str, Any]], tuple[PlannedStep, ...]]
    """The steps of a run, by the JSON it was planned with (`runs.grant`)."""
    is_elsewhere: Callable[[Mapping[str, Any], Mapping[str, Mapping[str, Any]]], bool] | None = None
    """By the clients and what the done steps gave: whether these were done at another site than the clients reach.

    What they gave means nothing at this one, or something else, so they are done again. Only for a workflow whose steps
    before its last are all safe to repeat."""
