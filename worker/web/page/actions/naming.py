"""Saying whom a seat is for: a person for one seat, or a pasted list for an order's: typed, shown, done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from worker.errors import CartbridgeError, ConfigurationError, LedgerError
from worker.formatting import counted
from worker.ledger.states import RunState
from worker.ledger.views.details import RunDetail, show_order, show_run
from worker.ledger.views.timeline import run_label
from worker.web.page.actions.confirm import LONGEST_REASON, Outcome, send, tell
from worker.web.page.actions.links import order_path, run_path
from worker.web.page.actions.operator import Operator
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page, field, operator_of
from workflows.operations.nameless_seats import NAMELESS
from workflows.operations.people_list import read_people
from workflows.operations.seats import NAMED, REFUSED, Person, SeatNamed

_LONGEST = 320
_AGAIN = (
    "Another address was given access already. Confirming makes a second comped order, under this one: cancel the one "
    "of before in LearningCart by hand."
)
_NEEDS_REASON = "A reason is needed: it makes a second comped order."


def naming_routes(page: Page, operator: Operator) -> APIRouter:
    """One seat: GET asks who it is, POST shows the calls, and with `confirmed` makes them. Sent twice, done once."""
    router = guarded_router(page)
    seats = operator.operations.seats

    @router.get("/runs/{run_id}/name")
    def ask(request: Request, run_id: str) -> Response:
        with page.reading() as connection:
            run = show_run(connection, run_id)
        learner = run.learner or {}
        given = {
            "email": learner.get("email", ""),
            "first": learner.get("first_name", ""),
            "last": learner.get("last_name", ""),
            "reason": "",
        }
        return _form(page, request, run, given)

    @router.post("/runs/{run_id}/name")
    def act(request: Request, run_id: str) -> Response:
        with page.reading() as connection:
            run = show_run(connection, run_id)
        given = {name: field(request, name)[:_LONGEST] for name in ("email", "first", "last")}
        given["reason"] = field(request, "reason")[:LONGEST_REASON]
        again = run.state == RunState.SUCCEEDED or run.workflow == "revocation"
        # What was shown is what is done: access that was given since, to the address of before, is shown first.
        is_confirmed = bool(field(request, "confirmed")) and (not again or bool(field(request, "again")))
        given["again"] = "yes" if again else ""
        if again and is_confirmed and not given["reason"]:
            return _form(page, request, run, given, error=_NEEDS_REASON)
        options: dict[str, Any] = {
            "actor": operator_of(request),
            "reason": given["reason"] or None,
            "again": again,
        }
        person = Person(given["email"], given["first"], given["last"])
        try:
            found = seats.name(run_id, person, dry_run=not is_confirmed, **options)
        except (LedgerError, ConfigurationError) as error:
            return _form(page, request, run, given, error=str(error))
        if found.result == REFUSED:
            return _form(page, request, run, given, error=found.message)
        if again and not given["reason"] and found.result == NAMED:
            return _form(page, request, run, given, error=_NEEDS_REASON)
        if not is_confirmed and found.result == NAMED:
            return _form(page, request, run, given, shown=[found], warning=_AGAIN if again else "")
        return _done(page, operator, request, run_path(run_id), [found])

    return router


def list_naming_routes(page: Page, operator: Operator) -> APIRouter:
    """The same for an order's nameless seats, from a pasted list."""
    router = guarded_router(page)
    seats = operator.operations.seats

    @router.get("/name-seats/{source}/{order_id:path}")
    def ask_all(request: Request, source: str, order_id: str) -> Response:
        return _list(page, request, source, order_id)

    @router.post("/name-seats/{source}/{order_id:path}")
    def act_all(request: Request, source: str, order_id: str) -> Response:
        given = {"people": field(request, "people"), "reason": field(request, "reason")[:LONGEST_REASON]}
        options: dict[str, Any] = {"actor": operator_of(request), "reason": given["reason"] or None}
        is_confirmed = bool(field(request, "confirmed"))
        try:
            people = read_people(given["people"])
            found = seats.name_order(source, order_id, people, dry_run=not is_confirmed, **options)
        except CartbridgeError as error:
            return _list(page, request, source, order_id, given=given, error=str(error))
        refused = next((each.message for each in found if each.result == REFUSED), "")
        if refused:
            return _list(page, request, source, order_id, given=given, error=refused)
        if not is_confirmed and any(each.result == NAMED for each in found):
            return _list(page, request, source, order_id, given=given, shown=found)
        return _done(page, operator, request, order_path(source, order_id), found)

    return router


def names_path(source: str, order_id: str) -> str:
    """Where an order's nameless seats are named from a list."""
    return f"/name-seats/{quote(source, safe='')}/{quote(order_id, safe='')}"


def _form(
    page: Page,
    request: Request,
    run: RunDetail,
    given: dict[str, str],
    *,
    error: str = "",
    shown: Sequence[SeatNamed] = (),
    warning: str = "",
) -> Response:
    verb = "Correct this address" if run.email else "Name this seat"
    return page.render(
        request,
        "name.html",
        status=422 if error else 200,
        heading=f"{verb}: {run_label(run)}",
        action=f"{run_path(run.id)}/name",
        back=run_path(run.id),
        given=given,
        error=error,
        shown=shown,
        warning=warning,
        is_list=False,
        must_name=not any((run.learner or {}).get(name) for name in ("first_name", "last_name")),
        longest_reason=LONGEST_REASON,
    )


def _list(
    page: Page,
    request: Request,
    source: str,
    order_id: str,
    *,
    given: dict[str, str] | None = None,
    error: str = "",
    shown: Sequence[SeatNamed] = (),
) -> Response:
    with page.reading() as connection:
        order = show_order(connection, source, order_id)
    free = sum(run.state == RunState.REVIEW and run.reason in NAMELESS for run in order.runs)
    return page.render(
        request,
        "name.html",
        status=422 if error else 200,
        heading=f"Name {counted(free, 'seat')} of {source}/{order_id}",
        action=names_path(source, order_id),
        back=order_path(source, order_id),
        given=given or {"people": "", "reason": ""},
        error=error,
        shown=shown,
        warning="",
        is_list=True,
        must_name=True,
        longest_reason=LONGEST_REASON,
    )


def _done(page: Page, operator: Operator, request: Request, path: str, found: Sequence[SeatNamed]) -> Response:
    """Wake the workers, and go where it is to be seen."""
    send(operator, tuple(dict.fromkeys(run_id for each in found for run_id in each.ready)))
    named = [each for each in found if each.result == NAMED]
    sentence = found[0].message if len(found) == 1 else f"{counted(len(named), 'seat')} named"
    return tell(page, request, path, Outcome(sentence, is_done=bool(named)))
