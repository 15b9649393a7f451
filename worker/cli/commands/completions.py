"""`cartbridge completions`: list, show and follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.arguments import AsJson, DryRun, Limit, OfEmail, Since, Why, Yes
from worker.cli.context import current_actor, opening_of
from worker.cli.errors import FAILED, complain
from worker.cli.output import (
    Listing,
    cell,
    console,
    fields,
    print_json,
    print_json_array,
    state_cell,
    table,
)
from worker.formatting import age, clock, zone_label

if TYPE_CHECKING:
    from rich.table import Table

    from tasks.runtime import Runtime
    from worker.ledger.follow_on.carts import CartItem
    from worker.ledger.follow_on.completions import CompletionDetail, CompletionItem, FollowOnDetail
    from workflows.follow_on.planner import Planned

app = typer.Typer(
    no_args_is_help=True,
    help="Completions: who began and completed which course in LearningCart, and the carts that follow.",
)

_SENTENCES = {
    "planned": "a cart is prepared",
    "already_bought": "no cart: the learner has bought the item already",
    "known": "nothing: there is a run already",
    "missing_email": "no cart: LearningCart names no email of the learner",
    "learner_erased": "no cart: the learner was forgotten",
    "no_rule": "no cart: no [[follow_on]] rule is for this course",
    "not_completed": "no cart: the course is not completed",
    "not_found": "there is no such completion",
}
_REFUSED = frozenset({"missing_email", "learner_erased", "no_rule", "not_completed", "not_found"})


@app.command("list")
def list_command(
    context: typer.Context,
    *,
    email: OfEmail = None,
    course: Annotated[
        str | None, typer.Option("--course", metavar="COURSE_ID", help="Of this course, by LearningCart's id.")
    ] = None,
    since: Since = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """List learners' progress in their courses, the latest news first."""
    from worker.ledger.follow_on.completions import list_completions

    read = partial(list_completions, email=email, course_id=course, since=since)
    Listing(read, _completions_table, "No completions.").show(context, limit=limit, as_json=as_json)


@app.command("show")
def show_command(
    context: typer.Context,
    completion: Annotated[
        str, typer.Argument(metavar="COMPLETION_ID", help="The completion's id, or its beginning.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Show one completion, and the carts that followed on it with the addresses of their checkouts."""
    from worker.ledger.follow_on.completions import show_completion

    with opening_of(context).reading() as connection:
        found = show_completion(connection, completion)
    if as_json:
        print_json(found)
    else:
        _print_completion(found)


@dataclass(frozen=True, slots=True)
class Followed:
    """What became of following one completion."""

    completion_id: str
    result: str
    run_id: str | None
    message: str


@app.command("follow")
def follow_command(
    context: typer.Context,
    completions: Annotated[
        list[str], typer.Argument(metavar="COMPLETION_ID", help="Ids, or their beginnings.", show_default=False)
    ],
    *,
    reason: Why = None,
    dry_run: DryRun = False,
    yes: Yes = False,  # noqa: ARG001 -- each is named, and safe to repeat: nothing is asked
    as_json: AsJson = False,
) -> None:
    r"""Prepare the cart that follows on a completed course, whenever it was completed.

    For courses from before START_AT, and for those completed before their [\[follow_on]] rule was there. A learner
    gets one cart for one item of one course, and none for what was bought already: safe to repeat.
    """
    results = []
    with opening_of(context).runtime() as runtime:
        for text in dict.fromkeys(completions):
            results.append(_follow(runtime, text, reason=reason, dry_run=dry_run))
            if not as_json:
                _say(results[-1])
        if not dry_run:
            runtime.dispatcher.send_runs([each.run_id for each in results if each.result == "planned" and each.run_id])
    if as_json:
        print_json_array(results)
    if any(each.result in _REFUSED for each in results):
        raise typer.Exit(FAILED)


def _follow(runtime: Runtime, text: str, *, reason: str | None, dry_run: bool) -> Followed:
    """Plan one, in a transaction of its own. Raises `OffersError`."""
    from tasks.follow_on import planner
    from worker.errors import NotInLedgerError
    from worker.ledger.follow_on.completions import CompletionState, one_completion
    from workflows.follow_on.completion_progress import Progress

    found: Planned | None = None
    result, completion_id = "not_completed", text
    with runtime.ledger.write() as connection:
        try:
            row = one_completion(connection, text)
        except NotInLedgerError:
            return Followed(text, "not_found", None, _SENTENCES["not_found"])
        completion_id = row.id
        if row.state == CompletionState.COMPLETED:
            found = planner(runtime).plan_by_hand(
                connection,
                row.id,
                Progress.stored(row),
                actor=current_actor(),
                reason=reason,
                now=runtime.clock(),
                dry_run=dry_run,
            )
            result = str(found.came)
    return Followed(
        completion_id,
        result,
        found.run_id if found is not None else None,
        f"{'would be: ' if dry_run and result not in _REFUSED else ''}{_SENTENCES[result]}",
    )


def _say(result: Followed) -> None:
    run = f" (run {result.run_id})" if result.run_id else ""
    text = f"{result.completion_id}: {result.message}{run}"
    if result.result in _REFUSED:
        complain(text)
    else:
        console().print(cell(text))


def _print_completion(completion: CompletionDetail) -> None:
    out = console()
    out.print(
        fields(
            [
                ("completion", completion.id),
                ("state", completion.state),
                ("learner", completion.email or f"customer {completion.customer_id}"),
                ("name", completion.name),
                ("course", f"{completion.course_id} {completion.course_name}".strip()),
                ("score", None if completion.score is None else str(completion.score)),
                ("began", clock(completion.started_at)),
                ("completed", clock(completion.completed_at)),
            ]
        )
    )
    rows = [
        [
            cell(run.run_id),
            state_cell(run.state),
            cell(run.reason),
            cell(run.catalog_id),
            cell(cart.cart_id if cart else None),
            cell(cart.state if cart else None),
            cell(cart.checkout_url if cart else None),
        ]
        for run in completion.follow_ons
        for cart in _tries(run)
    ]
    if rows:
        headings = ("run", "state", "reason", "item", "cart", "cart is", "checkout")
        out.print(table(headings, rows, wrapped=("checkout",), title="What follows"))


def _tries(run: FollowOnDetail) -> Sequence[CartItem | None]:
    """Every try of a run's cart; a run without one has one line all the same."""
    return run.carts or [None]


def _follows(completion: CompletionItem) -> str:
    """What followed on a completion, in a word or two."""
    return ", ".join(
        (run.cart.checkout_url if run.cart else None) or run.reason or run.state for run in completion.follow_ons
    )


def _completions_table(completions: list[CompletionItem]) -> Table:
    rows = [
        [
            cell(completion.state, "green" if completion.state == "completed" else ""),
            cell(completion.email or f"customer {completion.customer_id}"),
            cell(completion.course_id),
            cell(completion.course_name),
            cell(completion.score),
            cell(clock(completion.started_at)),
            cell(clock(completion.completed_at)),
            cell(age(completion.updated_at)),
            cell(_follows(completion)),
        ]
        for completion in completions
    ]
    headings = ("state", "learner", "course", "title", "score", "began", "completed", "news", "follow-on")
    return table(headings, rows, shortened=("learner", "title", "follow-on"), title=f"Times are in {zone_label()}")
