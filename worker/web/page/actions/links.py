"""From an action to a button: each as the page that does the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from worker.actions import ActionItem, ActionKind
from worker.ledger.states import RUN_TRANSITIONS, Actor, RunState
from worker.ledger.views.records import RunItem
from worker.reasons import Reason
from worker.settings.settings import PAUSABLE
from workflows.planning.model import ENROLMENT, REVOCATION

_LABELS = {
    ActionKind.REPLAY: "Replay",
    ActionKind.REPLAN: "Plan again",
    ActionKind.RESOLVE: "Resolve",
    ActionKind.CANCEL: "Cancel",
}
"""By kind, for what is done to one run: the page that asks has the kind's name."""
_SAID_BY_LABEL = frozenset({*_LABELS, ActionKind.REPEAT, ActionKind.NAME_SEAT, ActionKind.RESUME})
"""What a sentence calls by its button."""
_NAMEABLE = frozenset({RunState.REVIEW, RunState.FAILED, RunState.WAITING, RunState.PENDING, RunState.SUCCEEDED})
"""The states of runs whose seat can be given to somebody."""
_UNSETTLED = frozenset({RunState.REVIEW, RunState.FAILED})
_ANSWERED = frozenset({Reason.DONE_BY_HAND, Reason.CANCELLED_BY_OPERATOR})
"""How an operator ends a run; what he may reopen."""


@dataclass(frozen=True)
class Button:
    """A link to a page that shows what will be done, and asks."""

    label: str
    path: str


def suggested(actions: Iterable[ActionItem]) -> list[Button]:
    """The buttons for what can be done about a reason, in its order: the first is what to do."""
    return list(dict.fromkeys(button for button in map(_button, actions) if button is not None))


def in_buttons(sentence: str, actions: Iterable[ActionItem]) -> str:
    """What to do as the page's buttons are called, where a button does what a command in the sentence does."""
    for action in actions:
        button = _button(action)
        if button is not None and ActionKind(action.kind) in _SAID_BY_LABEL:
            sentence = sentence.replace(f"`{action.command}`", f"**{button.label}**")
    return sentence


def offered(run: RunItem) -> list[Button]:
    """What the operator may do to a run in its state; each still shows what it comes to, or why it cannot be done."""
    state = RunState(run.state)
    may_become = {after for after, actors in RUN_TRANSITIONS[state].items() if Actor.OPERATOR in actors}
    path = run_path(run.id)
    buttons = []
    if RunState.PENDING in may_become and state is not RunState.SUCCEEDED and run.workflow != REVOCATION:
        buttons.append(Button("Replay", f"{path}/replay"))
    if state in {RunState.SUCCEEDED, RunState.CANCELLED} and run.reason in _ANSWERED:
        buttons.append(Button("Reopen", f"{path}/reopen"))
    if RunState.SUCCEEDED in may_become:
        buttons.append(Button("Resolve", f"{path}/resolve"))
    if run.workflow == ENROLMENT and run.order_id is not None and state is not RunState.RUNNING:
        buttons.append(Button("Plan again", f"{path}/replan"))
    if RunState.CANCELLED in may_become:
        buttons.append(Button("Cancel", f"{path}/cancel"))
    if run.order_id is not None and state in _NAMEABLE and run.workflow == ENROLMENT:
        buttons.append(Button("Correct this address" if run.email else "Name this seat", f"{path}/name"))
    return buttons


def beside(buttons: Iterable[Button], runs: Sequence[RunItem]) -> list[Button]:
    """What else may be done where it can only be meant of one run: the one there is, or the one that is a question."""
    open_ones = [run for run in runs if run.state in _UNSETTLED]
    meant = open_ones or [run for run in runs if run.workflow == ENROLMENT]
    named = {button.path for button in buttons}
    return [button for button in offered(meant[0]) if button.path not in named] if len(meant) == 1 else []


def run_path(run_id: str) -> str:
    """Where a run is shown."""
    return f"/runs/{quote(run_id, safe='')}"


def order_path(source: str, order_id: str) -> str:
    """Where an order is shown."""
    return f"/orders/{quote(source, safe='')}/{quote(order_id, safe='')}"


def repeat_path(run_id: str, step: str) -> str:
    """Where a run's steps are repeated on purpose."""
    return f"{run_path(run_id)}/repeat?{urlencode({'step': step})}"


def _button(action: ActionItem) -> Button | None:
    """None where the page does no such thing, or not yet: what it is about is not known."""
    found = action.arguments
    run_id, system = found.get("run_id"), found.get("system")
    match ActionKind(action.kind):
        case ActionKind.CHECK_OFFERS:
            return Button("Offers", "/offers")
        case ActionKind.STATUS | ActionKind.CHECK:
            return Button("Systems", "/systems")
        case ActionKind.RESUME if system in PAUSABLE:
            return Button(f"Resume {system}", f"/systems/{system}/resume")
        case ActionKind.NAME_SEAT if run_id is not None:
            return Button("Name this seat", f"{run_path(run_id)}/name")
        case ActionKind.REPEAT if run_id is not None:
            return Button("Repeat on purpose", repeat_path(run_id, found.get("step") or ""))
        case (ActionKind.REPLAY | ActionKind.REPLAN | ActionKind.RESOLVE | ActionKind.CANCEL) as kind if run_id:
            return Button(_LABELS[kind], f"{run_path(run_id)}/{kind}")
    return None
