"""A run as its holder knows it, with what the holder has not written yet."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import JSON, Connection, Row, String, bindparam, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from worker.ledger import leases
from worker.ledger.states import Outcome, RunState, StepState
from worker.ledger.tables.runs import attempts, runs

PROMPT_ANSWER_SECONDS = 5.0
"""An answer that took longer may have sat in a stall, and says nothing of what was sent before it."""

_NOTHING_KNOWN: Final = dict.fromkeys(attempts.c.keys()) | {"is_forgotten": False}
"""The columns of an attempt of which nothing is known yet."""


@dataclass
class Asked:
    """The lookups since the last call whose outcome is unknown."""

    since: datetime | None = None
    """When the first was begun."""
    prompt_at: datetime | None = None
    """When the first prompt answer came: from then on the destination works off what it had queued."""
    failures: int = 0
    failed_at: datetime | None = None
    """When one first failed."""


@dataclass
class HeldStep:
    """One step of a held run, as the holder knows it."""

    position: int
    name: str
    state: StepState = StepState.PENDING
    output: dict[str, Any] = field(default_factory=dict)
    counted: int = 0
    attempts: int = 0
    """The number of the last attempt."""
    first_sent_at: datetime | None = None
    """When the first call of this generation was begun, None when none was."""
    unresolved: bool = False
    """A call may have been carried out, and no lookup has answered since whether it was."""
    finished_at: datetime | None = None
    spent_unknown: bool = False
    """The last call of this generation ended with an unknown outcome."""
    failed_at: datetime | None = None
    """When a call of this generation first failed."""
    asked: Asked = field(default_factory=Asked)
    """What was asked about the last call whose outcome is unknown."""


@dataclass
class HeldRun:
    """A run under a lease. `fence` is the holder's number: a write with an older one is refused."""

    id: str
    key: str
    workflow: str
    system: str
    """The destination it was claimed for."""
    source: str
    order_id: str | None
    """None for a run that belongs to no order."""
    lane: str
    learner: dict[str, Any]
    grant: dict[str, Any]
    """What it was planned with."""
    generation: int
    fence: int
    holder: str
    claimed_at: datetime
    lease_until: datetime
    cancel_reason: str | None
    steps: list[HeldStep]
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    """Ended attempts of safe steps that are not committed yet."""
    dirty: list[HeldStep] = field(default_factory=list)
    """Steps whose state is not committed yet."""
    breaker: str | None = None
    """The state of the destination's breaker when it was last looked at, None where it has none."""
    probing: bool = False
    """It was claimed to find out whether a destination that is down answers again."""
    lease_end_seconds: float = math.inf
    """The lease's end on the holder's own clock that never goes back."""

    next_in_lane: str | None = None
    """Once it is released: another run of its lane that is due."""

    @property
    def fence_values(self) -> dict[str, Any]:
        """The values of `FENCED`."""
        return {"held_id": self.id, "held_fence": self.fence, "held_by": self.holder}

    @property
    def order(self) -> str | None:
        """Its order for a log line, `source/id`."""
        return None if self.order_id is None else f"{self.source}/{self.order_id}"

    @property
    def next_step(self) -> HeldStep | None:
        """The first step that is not done."""
        return next((step for step in self.steps if step.state is StepState.PENDING), None)

    def complete(self, step: HeldStep, output: dict[str, Any], *, now: datetime) -> None:
        """Note a done step, to be written with the next commit."""
        step.state, step.output, step.finished_at = StepState.DONE, output, now
        self.dirty.append(step)

    def begin_anew(self) -> None:
        """Note every step as one that is not done, to be written with the next commit. Attempts stay counted."""
        for step in self.steps:
            if step.state is StepState.DONE:
                step.state, step.output, step.finished_at = StepState.PENDING, {}, None
                self.dirty.append(step)

    def attempt(self, step: HeldStep, *, started_at: datetime, **known: Any) -> dict[str, Any]:
        """The row of the step's last attempt, a call unless `known` says otherwise.

        `known`: the columns that only an attempt that has ended has.
        """
        return {
            **_NOTHING_KNOWN,
            "run_id": self.id,
            "step": step.name,
            "number": step.attempts,
            "kind": "call",
            "generation": self.generation,
            "fence": self.fence,
            "holder": self.holder,
            "started_at": started_at,
            **known,
        }

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """What the done steps gave, by name."""
        return {step.name: step.output for step in self.steps if step.state is StepState.DONE}


FENCED: Final = (
    runs.c.id == bindparam("held_id"),
    runs.c.fence == bindparam("held_fence"),
    leases.is_held_by(runs, bindparam("held_by", type_=String())),
    runs.c.state == str(RunState.RUNNING),
)
"""Finds the run's row only while this holder holds it, by `HeldRun.fence_values`. Every write of a holder uses it."""


HELD: Final = (
    *(runs.c.id, runs.c.key, runs.c.workflow, runs.c.system, runs.c.source, runs.c.order_id, runs.c.lane),
    *(runs.c.learner, runs.c.grant, runs.c.generation, runs.c.fence, runs.c.cancel_reason),
)
"""The columns of the run's row that a claim returns. No more: each costs as much to read as a short row."""


class StepsOfRun(FunctionElement[list[list[Any]]]):
    """A run's steps beside the run, as JSON: the position, name, state, output and counted attempts of each."""

    name = "steps_of_run"
    type = JSON()
    inherit_cache = True


@compiles(StepsOfRun, "postgresql")
def _steps_by_postgresql(_element: StepsOfRun, _compiler: SQLCompiler, **_options: Any) -> str:
    return (
        "(SELECT json_agg(json_build_array(position, name, state, output, counted)) FROM steps WHERE run_id = runs.id)"
    )


@compiles(StepsOfRun, "sqlite")
def _steps_by_sqlite(_element: StepsOfRun, _compiler: SQLCompiler, **_options: Any) -> str:
    one = "json_array(position, name, state, json(output), counted)"
    return f"(SELECT json_group_array({one}) FROM steps WHERE run_id = runs.id)"  # noqa: S608  (our own words alone)


def load_attempts(connection: Connection, row: Row[Any], by_name: dict[str, HeldStep], now: datetime) -> None:
    """Note at the held steps what was tried of them before; `now` is the holder's."""
    found = connection.execute(
        select(attempts).where(attempts.c.run_id == row.id).order_by(attempts.c.step, attempts.c.number)
    )
    for attempt in found:
        step = by_name.get(attempt.step)
        if step is None:
            continue
        step.attempts = attempt.number
        if attempt.generation != row.generation:
            continue
        if attempt.kind == "lookup":
            step.unresolved = step.unresolved and attempt.outcome not in {Outcome.ADOPTED, Outcome.ABSENT}
            _note_lookup(step.asked, attempt, now)
            continue
        step.first_sent_at = step.first_sent_at or attempt.started_at
        step.spent_unknown = attempt.outcome in {None, Outcome.UNKNOWN}
        step.unresolved = step.unresolved or step.spent_unknown
        if step.spent_unknown:
            step.asked = Asked()
        if attempt.kind == "call" and attempt.outcome in {Outcome.RETRYABLE, Outcome.UNKNOWN}:
            step.failed_at = step.failed_at or attempt.finished_at


def _note_lookup(asked: Asked, attempt: Row[Any], now: datetime) -> None:
    asked.since = asked.since or attempt.started_at
    if attempt.outcome == Outcome.RETRYABLE:
        asked.failures += 1
        asked.failed_at = asked.failed_at or attempt.finished_at
    is_prompt = attempt.answer_seconds is not None and attempt.answer_seconds <= PROMPT_ANSWER_SECONDS
    # One that seems to lie ahead was noted by a clock that was, and would keep the run waiting.
    if is_prompt and attempt.finished_at is not None and attempt.finished_at <= now:
        asked.prompt_at = asked.prompt_at or attempt.finished_at
