"""`/api/v1`: what an operator may do, for programs: the operations of the command line, done by `operator:api`.

Each is one transaction, safe to repeat, and changes nothing with `dry_run`. What cannot be done is a 409 that says why.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from worker.actions import ActionItem
from worker.errors import CartbridgeError, NotInLedgerError
from worker.formatting import ORDER_NUMBER
from worker.ledger.views.serializers import to_json
from worker.web.api.access import TokenCheck, bounded_route
from worker.web.json_answer import JsonAnswer
from worker.web.page.actions.operator import Operator
from workflows.operations.notes import LONGEST_NOTE
from workflows.operations.people_list import MOST_PEOPLE
from workflows.operations.replay import REFUSED, Replayed
from workflows.operations.restarting import Seen
from workflows.operations.seats import Person, SeatNamed

SystemName = Literal["learningcart", "threedcart", "mail", "studiocart", "frontcore"]
ACTOR: Final = "operator:api"
_NO_NUL: Final = r"^[^\x00]*$"
"""PostgreSQL takes none in a text."""

Optional = Annotated[str | None, Field(max_length=500, pattern=_NO_NUL, description="Why; kept in the audit trail.")]
Needed = Annotated[
    str,
    Field(min_length=1, max_length=500, pattern=r"^[^\x00]*[^\x00\s][^\x00]*$", description="Kept in the audit trail."),
]
Short = Annotated[str, Field(max_length=320, pattern=_NO_NUL)]


class ActionBody(BaseModel):
    """What every action takes."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(default=False, description="Say what would be done, and change nothing.")


class ReasonBody(ActionBody):
    """An action that may have a reason."""

    reason: Optional = None


class ReplayBody(ReasonBody):
    """How a run is replayed; `{}` repeats nothing that was done."""

    replan: bool = Field(
        default=False, description="Plan its order again by today's offers; not with `from_step` or `again`."
    )
    from_step: str | None = Field(None, pattern=r"^[a-z0-9_]{1,60}$", description="Repeat from this step on.")
    again: bool = Field(default=False, description="Also finished effects, under a new reference. Needs a reason.")
    generation: int | None = Field(
        None, ge=0, description="The run's, as you saw it: where it was repeated since, nothing is repeated again."
    )


class ResolveBody(ActionBody):
    """A run that a person did by hand: what was done, and by whom."""

    note: Needed
    order_id: str | None = Field(
        None, pattern=f"^{ORDER_NUMBER.pattern}$", description="LearningCart's order, if there is one."
    )


class ReopenBody(ActionBody):
    """Why a run is a question again."""

    reason: Needed


class SeatPerson(BaseModel):
    """Whom a seat is for. A name that is left out is the one the seat has."""

    model_config = ConfigDict(extra="forbid")

    email: Short
    first: Short = ""
    last: Short = ""

    @property
    def person(self) -> Person:
        """As the operations take it."""
        return Person(self.email, self.first, self.last)


class SeatBody(ReasonBody, SeatPerson):
    """Whom one seat is for."""

    again: bool = Field(default=False, description="Also where another address was given access. Needs a reason.")


class SeatsBody(ReasonBody):
    """Whom an order's nameless seats are for, in their order."""

    people: list[SeatPerson] = Field(min_length=1, max_length=MOST_PEOPLE)


class NoteBody(ActionBody):
    """One line, or paragraphs, for whoever looks at the order next."""

    text: str = Field(min_length=1, max_length=LONGEST_NOTE, pattern=_NO_NUL)


class Done(BaseModel):
    """What an action came to, or with `dry_run` would come to."""

    result: str
    """`done`; of a replay `replayed`, `planned` or `nothing`; of a seat `named` or `nothing`."""
    message: str
    run_id: str | None = None
    calls: list[str] = []
    """What is sent to other systems for it, a line each."""
    actions: list[dict[str, Any]] = []
    """What else can be done, where nothing was."""


def action_routes(operator: Operator, check: TokenCheck, described: dict[int | str, dict[str, Any]]) -> APIRouter:
    """The routes. After a change the workers are woken; they find what is due without it, too."""
    router = APIRouter(route_class=bounded_route(check), responses=described)
    _add_run_actions(router, operator)
    _add_other_actions(router, operator)
    return router


def _add_run_actions(router: APIRouter, operator: Operator) -> None:
    operations = operator.operations

    @router.post("/runs/{run_id}/replay", response_model=Done)
    def replay(run_id: str, body: ReplayBody) -> JsonAnswer:
        """Start a run again where it stands; as `cartbridge replay`."""
        return _act(
            operator,
            body,
            lambda given: operations.replay(run_id, seen=Seen(body.generation), **given),
            without={"generation"},
        )

    @router.post("/runs/{run_id}/resolve", response_model=Done)
    def resolve(run_id: str, body: ResolveBody) -> JsonAnswer:
        """Record that a person did the run by hand; as `cartbridge runs resolve`."""
        return _act(operator, body, lambda given: operations.resolve(run_id, result_id=given.pop("order_id"), **given))

    @router.post("/runs/{run_id}/cancel", response_model=Done)
    def cancel(run_id: str, body: ReasonBody) -> JsonAnswer:
        """Cancel a run that has had no effect; as `cartbridge runs cancel`."""
        return _act(operator, body, lambda given: operations.cancel(run_id, **given))

    @router.post("/runs/{run_id}/reopen", response_model=Done)
    def reopen(run_id: str, body: ReopenBody) -> JsonAnswer:
        """Put a run that was resolved or cancelled by hand back into review; as `cartbridge runs reopen`."""
        return _act(operator, body, lambda given: operations.reopen(run_id, **given))

    @router.post("/runs/{run_id}/seat", response_model=Done)
    def name_seat(run_id: str, body: SeatBody) -> JsonAnswer:
        """Say whom the seat of a run is for, and give access; as `cartbridge seats name`."""
        left = {"email", "first", "last"}
        return _act(operator, body, lambda given: operations.seats.name(run_id, body.person, **given), without=left)


def _add_other_actions(router: APIRouter, operator: Operator) -> None:
    operations = operator.operations

    @router.post("/orders/{source}/{order_id}/seats", response_model=list[Done])
    def name_seats(source: str, order_id: str, body: SeatsBody) -> JsonAnswer:
        """Give an order's nameless seats to people: all of them, or none; as `cartbridge seats name --order`."""
        people = [each.person for each in body.people]
        return _act(
            operator,
            body,
            lambda given: operations.seats.name_order(source, order_id, people, **given),
            without={"people"},
        )

    @router.post("/orders/{source}/{order_id}/notes", response_model=Done)
    def write_note(source: str, order_id: str, body: NoteBody) -> JsonAnswer:
        """Write a note on an order; as `cartbridge orders note`."""
        return _act(operator, body, lambda given: operations.note(source, order_id, **given))

    @router.post("/systems/{system}/{verb}", response_model=Done)
    def pause_or_resume(system: SystemName, verb: Literal["pause", "resume"], body: ReasonBody) -> JsonAnswer:
        """Hold back what a system is asked, and let it go on; as `cartbridge pause` and `cartbridge resume`."""
        change = operations.pause if verb == "pause" else operations.resume
        answer = _act(operator, body, lambda given: change(system, **given))
        if verb == "resume" and not body.dry_run:
            operator.dispatcher.send_resumed(system)
        return answer


Result = str | Replayed | SeatNamed | list[SeatNamed]


def _act(
    operator: Operator,
    body: ActionBody,
    change: Callable[[dict[str, Any]], Result],
    *,
    without: set[str] | None = None,
) -> JsonAnswer:
    """Do it, wake the workers, and say what came of it. Raises `HTTPException`: 404, 409, 422."""
    given = body.model_dump(exclude=without)
    if given.get("again") and not (given.get("reason") or "").strip():
        raise HTTPException(422, "reason: `again` needs one, because it makes a second comped order.")
    try:
        found = change(given | {"actor": ACTOR})
    except NotInLedgerError as error:
        raise HTTPException(404, "The ledger holds nothing of this id.") from error
    except CartbridgeError as error:
        raise HTTPException(409, str(error)) from error
    results = found if isinstance(found, list) else [found]
    done = [_done(each) for each in results]
    refused = next((each.message for each in done if each.result == REFUSED), None)
    if refused is not None:
        raise HTTPException(409, refused)
    ready = dict.fromkeys(run_id for each in results if not isinstance(each, str) for run_id in each.ready)
    if ready and not body.dry_run:
        operator.dispatcher.send_runs(tuple(ready))
    bodies = [each.model_dump() for each in done]
    return JsonAnswer(bodies if isinstance(found, list) else bodies[0])


def _done(found: str | Replayed | SeatNamed) -> Done:
    if isinstance(found, str):
        return Done(result="done", message=found)
    actions = map(ActionItem.of, found.actions) if isinstance(found, Replayed) else ()
    return Done(
        result=found.result,
        message=found.message,
        run_id=found.run_id,
        calls=list(found.calls),
        actions=[to_json(each) for each in actions],
    )
