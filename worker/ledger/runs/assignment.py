"""Which runs are a destination's: those whose next step changes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, and_, or_, select

from worker.ledger.states import StepState
from worker.ledger.tables.runs import runs, steps


@dataclass(frozen=True)
class Share:
    """Which runs go to a destination next."""

    workflows: frozenset[str] = frozenset()
    """Every step of these is the destination's."""
    steps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of these workflows, the names of the steps that are: a run is its while one of them is next."""

    def condition(self) -> ColumnElement[bool]:
        """As SQL."""
        partly = [and_(runs.c.workflow == workflow, next_step().in_(names)) for workflow, names in self.steps.items()]
        return or_(runs.c.workflow.in_(sorted(self.workflows)), *partly)


def next_step() -> ScalarSelect[Any]:
    """The name of a run's first step that is not done, beside the run."""
    return (
        select(steps.c.name)
        .where(steps.c.run_id == runs.c.id, steps.c.state == StepState.PENDING)
        .order_by(steps.c.position)
        .limit(1)
        .scalar_subquery()
    )
