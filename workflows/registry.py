"""All workflows by name, and which of their steps are whose."""

from __future__ import annotations

from typing import Final

from worker.ledger.runs.assignment import Share
from workflows.enrolment.steps import ENROLMENT
from workflows.enrolment.welcome_mail import WELCOME_MAIL
from workflows.execution.steps import Repeat, Workflow
from workflows.follow_on.steps import FOLLOW_ON

WORKFLOWS: Final[dict[str, Workflow]] = {workflow.name: workflow for workflow in (ENROLMENT, FOLLOW_ON, WELCOME_MAIL)}

RISKY_STEPS: Final = frozenset(
    step.kind for workflow in WORKFLOWS.values() for step in workflow.definitions if step.repeat is not Repeat.SAFE
)
"""What a destination that is down is not asked first: what it may have done would have to be looked up."""


ASKED_STEPS: Final = frozenset(
    step.kind for workflow in WORKFLOWS.values() for step in workflow.definitions if step.repeat is Repeat.ASK
)
"""Those whose attempts follow one another as `worker.ledger.states.NEXT_ATTEMPTS` says."""


def destinations() -> tuple[str, ...]:
    """Every system that some step changes, each once."""
    return tuple(dict.fromkeys(step.system for workflow in WORKFLOWS.values() for step in workflow.definitions))


def share_of(system: str) -> Share:
    """Which due runs are a destination's: of a workflow that has several, those whose next step is its."""
    whole, partly = [], {}
    for name, workflow in WORKFLOWS.items():
        kinds = [step.kind for step in workflow.definitions if step.system == system]
        if len(kinds) == len(workflow.definitions):
            whole.append(name)
        elif kinds:
            partly[name] = tuple(kinds)
    return Share(frozenset(whole), partly)


def steps_of_others(system: str) -> frozenset[str]:
    """The names of the steps that are another destination's."""
    return frozenset(
        step.kind for workflow in WORKFLOWS.values() for step in workflow.definitions if step.system != system
    )
