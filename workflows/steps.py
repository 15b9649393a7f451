"""What a workflow is made of: step definitions, what a call is given, and what a lookup may answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from worker.clients.base import CallLimits
from worker.sources.order import Learner
from workflows.offers import Grant


class Destination(Protocol):
    """A client of a system that is changed, as far as the executor itself uses it."""

    def ready(self, limits: CallLimits = ...) -> None:
        """Wait for the rate limit's slot and hold valid credentials, so that what follows is the call alone."""


@dataclass(frozen=True)
class Call:
    """All a step's call is given."""

    clients: Mapping[str, Any]
    """The clients by system."""
    source: str
    order_id: str
    learner: Learner
    grant: Grant
    step: str
    reference: str
    """Our mark on this step's effect."""
    outputs: Mapping[str, Mapping[str, Any]]
    """What the steps before gave, by step name."""
    now: datetime
    limits: CallLimits = field(default_factory=CallLimits)
    keep_profiles: bool = False
    """Whether the profile of a customer who exists already is left as it is, but for what is empty in it."""


@dataclass(frozen=True)
class StepResult:
    """What a step gave: `output` for later steps (nothing secret), `result_id` the destination's id of the effect."""

    output: dict[str, Any]
    result_id: str | None = None


@dataclass(frozen=True)
class Lookup:
    """What the destination holds that may be the effect."""

    found: tuple[str, ...] = ()
    """Ids that carry our reference, oldest first."""
    unreferenced: tuple[str, ...] = ()
    """Ids of this customer, or of nobody named, that carry no reference at all: each must be accounted for."""
    output: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StepDefinition:
    """One call of a workflow."""

    kind: str
    """The Celery task's name, and the step's, but for a number where a run has several."""
    system: str
    """The destination; also the queue its task is sent to."""
    call: Callable[[Call], StepResult]
    """Performs it; raises `ApiError`."""
    look_up: Callable[[Call, datetime], Lookup] | None = None
    """Asks the destination for the effect since a time. None: the call is safe to repeat and needs no asking."""

    @property
    def safe_to_repeat(self) -> bool:
        """Whether two calls do what one does."""
        return self.look_up is None


@dataclass(frozen=True)
class PlannedStep:
    """A step in its place in one run."""

    name: str
    definition: StepDefinition


@dataclass(frozen=True)
class Workflow:
    """A named sequence of steps, which depends on the grant alone."""

    name: str
    definitions: tuple[StepDefinition, ...]
    sequence: Callable[[Grant], tuple[PlannedStep, ...]]
