"""What the operator does to one run, from replay to reopening: shown first, then done."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from fastapi import APIRouter, Request, Response

from worker.errors import ConfigurationError, LedgerError
from worker.formatting import ORDER_NUMBER
from worker.ledger.views.details import RunDetail, show_run
from worker.ledger.views.timeline import run_label
from worker.web.page.actions.confirm import LONGEST_REASON, Confirmation, Outcome, confirm, refused, send, tell
from worker.web.page.actions.links import order_path, run_path
from worker.web.page.actions.operator import Operator
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page, field, operator_of
from workflows.operations.replay import PLANNED, REPLAYED, Replayed
from workflows.operations.restarting import Seen
from workflows.planning.model import ENROLMENT

Verb = Literal["replay", "replan", "repeat", "resolve", "cancel", "reopen"]
_REPEATED = "It makes again what was made before, under a new reference: a second comped order, if there was one."
_FOR_THE_PREVIEW = "preview"
"""A repetition is not even previewed without a reason; nothing of a preview is kept."""


def run_action_routes(page: Page, operator: Operator) -> APIRouter:
    """The routes: GET shows and asks, POST does it. Sending a form twice does it once.

    What is done is what the command line does, by the same `Operations`, with the operator's name and reason in the
    audit trail; then the workers are woken, and the browser goes to what came of it.
    """
    router = guarded_router(page)

    @router.get("/runs/{run_id}/{verb}")
    def ask(request: Request, run_id: str, verb: Verb, step: str = "") -> Response:
        with page.reading() as connection:
            run = show_run(connection, run_id)
        confirmation = _confirmation(run, verb, step, seen=str(run.generation), state=Seen.of(run).text)
        outcome, _ = _act(
            operator,
            verb,
            run,
            confirmation,
            actor=operator_of(request),
            reason=_FOR_THE_PREVIEW,
            result_id=None,
            dry_run=True,
        )
        return confirm(page, request, confirmation, _in_words(run, verb, outcome))

    @router.post("/runs/{run_id}/{verb}")
    def act(request: Request, run_id: str, verb: Verb) -> Response:
        with page.reading() as connection:
            run = show_run(connection, run_id)
        seen = field(request, "seen") or str(run.generation)
        state = field(request, "state") or Seen.of(run).text
        confirmation = _confirmation(run, verb, field(request, "step"), seen=seen, state=state)
        reason, order_id = field(request, "reason")[:LONGEST_REASON], field(request, "order_id")
        error = _missing(confirmation, reason, order_id)
        actor = operator_of(request)
        if error:
            preview, _ = _act(
                operator, verb, run, confirmation, actor=actor, reason=_FOR_THE_PREVIEW, result_id=None, dry_run=True
            )
            preview = _in_words(run, verb, preview)
            return confirm(page, request, confirmation, preview, error=error, reason=reason, order_id=order_id)
        outcome, is_planned = _act(
            operator,
            verb,
            run,
            confirmation,
            actor=actor,
            reason=reason or None,
            result_id=order_id or None,
            dry_run=False,
        )
        send(operator, outcome.ready)
        # Planning again ends a placeholder: what came of it stands with the order.
        path = order_path(run.source, run.order_id) if is_planned and run.order_id is not None else run_path(run_id)
        return tell(page, request, path, outcome)

    return router


def _confirmation(run: RunDetail, verb: Verb, step: str, *, seen: str, state: str) -> Confirmation:
    """What is asked. `seen` and `state`: which generation of the run was shown, and in which state and question."""
    who = f"{run.email or 'nobody named'}: {run_label(run)}"
    path, back = f"{run_path(run.id)}/{verb}", run_path(run.id)
    match verb:
        case "replay":
            return Confirmation(f"Replay {who}", "Replay", path, back, fields={"state": state})
        case "replan":
            title = f"Plan {run.source}/{run.order_id} again"
            return Confirmation(title, "Plan again", path, back, fields={"state": state})
        case "cancel":
            return Confirmation(
                f"Cancel {who}", "Cancel the run", path, back, is_dangerous=True, fields={"state": state}
            )
        case "reopen":
            return Confirmation(f"Reopen {who}", "Reopen the run", path, back, is_reason_required=True)
        case "resolve":
            return Confirmation(
                f"Resolve {who}",
                "It was done by hand",
                path,
                back,
                reason_label="What was done, and by whom",
                is_reason_required=True,
                asks_order_id=True,
                fields={"state": state},
            )
        case "repeat":
            return Confirmation(
                f"Repeat {who}",
                "Repeat on purpose",
                path,
                back,
                is_reason_required=True,
                is_dangerous=True,
                warning=_REPEATED,
                fields={"step": step, "seen": seen},
            )


def _in_words(run: RunDetail, verb: Verb, outcome: Outcome) -> Outcome:
    """What the calls to LearningCart come to, for whoever is asked."""
    if verb not in {"replay", "repeat"} or run.workflow != ENROLMENT or not outcome.calls:
        return outcome
    learner = run.learner or {}
    name = " ".join(filter(None, (learner.get("first_name"), learner.get("last_name"))))
    return replace(outcome, sentence=f"Ask LearningCart to give {name or run.email} {run_label(run)}, by these calls:")


def _missing(confirmation: Confirmation, reason: str, order_id: str) -> str:
    if confirmation.is_reason_required and not reason:
        return f"“{confirmation.reason_label}” is needed: it is what the audit trail keeps."
    if confirmation.asks_order_id and order_id and not ORDER_NUMBER.fullmatch(order_id):
        return "LearningCart’s order ids are whole numbers, as 4711, without a zero before them."
    return ""


def _act(
    operator: Operator,
    verb: Verb,
    run: RunDetail,
    confirmation: Confirmation,
    *,
    actor: str,
    reason: str | None,
    result_id: str | None,
    dry_run: bool,
) -> tuple[Outcome, bool]:
    """Do it, or only look what it would do; and whether an order was planned again."""
    operations, run_id = operator.operations, run.id
    shown = Seen.read(confirmation.fields.get("state", ""))
    try:
        match verb:
            case "resolve":
                note = reason or ""
                done = operations.resolve(
                    run_id, actor=actor, note=note, result_id=result_id, seen=shown, dry_run=dry_run
                )
                return Outcome(done), False
            case "reopen":
                return Outcome(operations.reopen(run_id, actor=actor, reason=reason or "", dry_run=dry_run)), False
            case "cancel":
                return Outcome(
                    operations.cancel(run_id, actor=actor, reason=reason, seen=shown, dry_run=dry_run)
                ), False
            case "repeat":
                seen = confirmation.fields["seen"]
                found = operations.replay(
                    run_id,
                    actor=actor,
                    reason=reason,
                    from_step=confirmation.fields["step"] or None,
                    again=True,
                    seen=Seen(int(seen) if seen.isdecimal() and len(seen) < 10 else -1),
                    dry_run=dry_run,
                )
            case _:
                found = operations.replay(
                    run_id,
                    actor=actor,
                    reason=reason,
                    replan=verb == "replan",
                    seen=shown,
                    dry_run=dry_run,
                )
    except (LedgerError, ConfigurationError) as error:
        return refused(error), False
    return of_replay(found), found.result == PLANNED


def of_replay(found: Replayed) -> Outcome:
    """A replay's result as an outcome."""
    is_done = found.result in {REPLAYED, PLANNED}
    calls = found.calls if is_done else ()
    return Outcome(found.message, is_done=is_done, calls=calls, ready=found.ready, actions=found.actions)
