"""From a suggested action to a button: the commands in its sentence, each as the page that does the same."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from worker.ledger.states import RUN_TRANSITIONS, Actor, RunState
from worker.ledger.views.records import RunItem
from worker.settings.settings import PAUSABLE
from workflows.planning.model import ENROLMENT, REVOCATION

_COMMAND = re.compile(r"`cartbridge ([^`]+)`")
_ID = re.compile(r"[0-9a-z]{20,40}")
"""A run's id; a text without one speaks of any run, and gives no button."""


@dataclass(frozen=True)
class Button:
    """A link to a page that shows what will be done, and asks."""

    label: str
    path: str


def suggested(action: str | None) -> list[Button]:
    """The buttons for a sentence of `worker.reasons` or of the verdict, in its order: the first is what to do."""
    found = [button for command in _COMMAND.findall(action or "") for button in _of_command(command)]
    return list(dict.fromkeys(found))


def offered(run: RunItem) -> list[Button]:
    """What the operator may do to a run in its state; each still shows what it comes to, or why it cannot be done."""
    state = RunState(run.state)
    may_become = {after for after, actors in RUN_TRANSITIONS[state].items() if Actor.OPERATOR in actors}
    path = run_path(run.id)
    buttons = []
    if RunState.PENDING in may_become and state is not RunState.SUCCEEDED and run.workflow != REVOCATION:
        buttons.append(Button("Replay", f"{path}/replay"))
    if RunState.SUCCEEDED in may_become:
        buttons.append(Button("Resolve", f"{path}/resolve"))
    if run.workflow == ENROLMENT and run.order_id is not None and state is not RunState.RUNNING:
        buttons.append(Button("Plan again", f"{path}/replan"))
    if RunState.CANCELLED in may_become:
        buttons.append(Button("Cancel", f"{path}/cancel"))
    return buttons


def run_path(run_id: str) -> str:
    """Where a run is shown."""
    return f"/runs/{quote(run_id, safe='')}"


def order_path(source: str, order_id: str) -> str:
    """Where an order is shown."""
    return f"/orders/{quote(source, safe='')}/{quote(order_id, safe='')}"


def repeat_path(run_id: str, step: str) -> str:
    """Where a run's steps are repeated on purpose."""
    return f"{run_path(run_id)}/repeat?{urlencode({'step': step})}"


def _of_command(command: str) -> Iterator[Button]:
    try:
        words = shlex.split(command)
    except ValueError:
        return
    match words:
        case ["replay", run_id, *options] if _ID.fullmatch(run_id):
            if "--again" in options:
                step = options[options.index("--from-step") + 1] if "--from-step" in options else ""
                yield Button("Repeat on purpose", repeat_path(run_id, step))
            elif "--replan" in options:
                yield Button("Plan again", f"{run_path(run_id)}/replan")
            else:
                yield Button("Replay", f"{run_path(run_id)}/replay")
        case ["runs", "resolve", run_id, *_] if _ID.fullmatch(run_id):
            yield Button("Resolve", f"{run_path(run_id)}/resolve")
        case ["runs", "cancel", run_id, *_] if _ID.fullmatch(run_id):
            yield Button("Cancel", f"{run_path(run_id)}/cancel")
        case ["resume", system] if system in PAUSABLE:
            yield Button(f"Resume {system}", f"/systems/{system}/resume")
        case ["offers", "check"]:
            yield Button("Offers", "/offers")
        case ["status"] | ["check"]:
            yield Button("Systems", "/systems")
        case _:
            return
