"""Before anything is changed: a page that lists what will be done and asks for the reason; and what is told after."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import Request, Response

from worker.actions import Action, ActionItem
from worker.errors import ConfigurationError, LedgerError
from worker.web.page.actions.links import in_buttons, suggested
from worker.web.page.actions.operator import Operator
from worker.web.page.auth.flash import Notice
from worker.web.page.page import Page, see_other
from worker.web.page.views.formatting import sentence

LONGEST_REASON = 500
_CALLS_IN_A_NOTICE = 4


@dataclass(frozen=True)
class Outcome:
    """What a change came to, or would come to. `calls`: what is sent for it, a line each."""

    sentence: str
    is_done: bool = True
    """False: nothing was, or would be, changed."""
    calls: tuple[str, ...] = ()
    ready: tuple[str, ...] = ()
    """Runs for the workers."""
    actions: tuple[Action, ...] = ()
    """What else can be done, where nothing was."""

    @property
    def said(self) -> str:
        """The sentence in the words of the page's buttons."""
        return in_buttons(self.sentence, map(ActionItem.of, self.actions))


@dataclass(frozen=True)
class Confirmation:
    """What the operator wants to do: what the page that asks says of it."""

    title: str
    button: str
    path: str
    """Where its form is sent."""
    back: str
    reason_label: str = "Reason"
    is_reason_required: bool = False
    is_dangerous: bool = False
    warning: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    """What else the form carries."""
    asks_order_id: bool = False


def refused(error: LedgerError | ConfigurationError) -> Outcome:
    """A refusal as an outcome: the sentence says why."""
    return Outcome(str(error), is_done=False)


def confirm(
    page: Page, request: Request, confirmation: Confirmation, outcome: Outcome, *, error: str = "", **given: str
) -> Response:
    """The page that asks. `error` says what is missing in a form that was sent, `given` what it held."""
    return page.render(
        request,
        "confirm.html",
        status=422 if error else 200,
        confirmation=confirmation,
        outcome=outcome,
        error=error,
        elsewhere=[
            button for button in suggested(map(ActionItem.of, outcome.actions)) if button.path != confirmation.path
        ],
        given={"reason": "", "order_id": ""} | given,
        longest_reason=LONGEST_REASON,
    )


def tell(page: Page, request: Request, path: str, outcome: Outcome) -> Response:
    """Send the browser on, with what came of it."""
    calls = outcome.calls[:_CALLS_IN_A_NOTICE]
    more = len(outcome.calls) - len(calls)
    lines = (sentence(outcome.sentence), *calls, *((f"… and {more} more.",) if more else ()))
    answer = see_other(request, path)
    page.notices.leave(request, answer, Notice("good" if outcome.is_done else "ask", lines))
    return answer


def send(operator: Operator, run_ids: tuple[str, ...]) -> None:
    """Wake the workers. They find what is due without it, seconds later."""
    if run_ids:
        operator.dispatcher.send_runs(run_ids)
