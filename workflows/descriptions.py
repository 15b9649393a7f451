"""Plans and calls in words: what was done or would be done, one a line, for people."""

from __future__ import annotations

from worker.ledger.states import RunState, StepState
from worker.ledger.tables.runs import Run
from worker.sources.order import Learner
from workflows.execution.steps import PlannedStep
from workflows.planning import model as plans
from workflows.planning.offers import Grant
from workflows.registry import WORKFLOWS

CALL_INDENT = "  "
"""Before a call of the action above it."""


def describe_calls(row: Run, states: dict[str, StepState], *, effect_open: bool = False) -> tuple[str, ...]:
    """The calls a run still has to make, one a line, for people."""
    if row.grant is None:
        return ()
    workflow = WORKFLOWS.get(row.workflow)
    sequence = workflow.sequence(row.grant) if workflow is not None else ()
    left = [step for step in sequence if states.get(step.name) is not StepState.DONE]
    lines = [_describe_call(step, row) for step in left]
    if effect_open and row.workflow == plans.ENROLMENT:
        lines.insert(
            -1 if lines else 0, "learningcart getOrdersByDate (look for the reference of the earlier attempt first)"
        )
    return tuple(lines)


def describe_plan(plan: plans.Plan) -> tuple[str, ...]:
    """A plan's actions, one a line, for people, and behind each its calls with their arguments."""
    lines = []
    for action in plan.actions:
        match action:
            case plans.Create(grant=Grant() as grant) if action.state is RunState.PENDING:
                lines.append(f"give {_seat(action, 'to')}")
                if action.learner is not None:
                    lines += (f"{CALL_INDENT}{call}" for call in describe_enrolment(action.learner, grant))
            case plans.Create():
                lines.append(f"put {_seat(action, 'for')} in {action.state} ({action.reason})")
            case plans.Cancel() | plans.RequestCancel():
                lines.append(f"cancel run {action.run_id} ({action.reason})")
            case plans.WithdrawCancel():
                lines.append(f"withdraw the cancellation of run {action.run_id}")
            case plans.Revive():
                lines.append(f"revive run {action.run_id}" + (f" in review ({action.reason})" if action.reason else ""))
            case plans.ChangeLearner():
                lines.append(f"change the learner of run {action.run_id} to {action.learner.email}")
            case plans.ChangeGrant():
                lines.append(f"change the groups of run {action.run_id} to {list(action.grant.group_ids)}")
    return tuple(lines)


def _seat(action: plans.Create, whom: str) -> str:
    """What is given to whom: `First aid to jane@example.com`, `First aid (seat-2)`."""
    title = action.title or action.line_id
    return f"{title} {whom} {action.learner.email}" if action.learner is not None else f"{title} ({action.seat_id})"


def describe_enrolment(learner: Learner, grant: Grant | None) -> tuple[str, ...]:
    """All calls that give a learner what was bought, with their arguments, one a line."""
    if grant is None:
        return ()
    return (
        f"learningcart addCustomer email={learner.email} first={learner.first_name} last={learner.last_name}",
        *(f"learningcart addCustomerToGroup group {group_id}" for group_id in grant.group_ids),
        f"learningcart addCompOrder price {grant.price_id}",
    )


def _describe_call(step: PlannedStep, row: Run) -> str:
    if row.workflow != plans.ENROLMENT:
        return f"{step.definition.system} {step.name.replace('_', ' ')}"
    grant = Grant.model_validate(row.grant)
    if step.definition.kind == "add_customer":
        return f"learningcart addCustomer {row.email}"
    if step.definition.kind == "add_customer_to_group":
        position = int(step.name.removeprefix("add_customer_to_group").lstrip("_") or 1)
        return f"learningcart addCustomerToGroup group {grant.group_ids[position - 1]}"
    return f"learningcart addCompOrder price {grant.price_id}"
