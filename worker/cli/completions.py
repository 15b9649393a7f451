"""`cartbridge completions`: list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.arguments import AsJson, Limit, OfEmail, Since
from worker.cli.opening import opening_of
from worker.cli.printing import (
    age,
    cell,
    clock,
    console,
    first_rows,
    print_json_array,
    say_more,
    table,
)

if TYPE_CHECKING:
    from rich.table import Table

    from worker.ledger.shapes import Shape

app = typer.Typer(no_args_is_help=True, help="Completions: who began and completed which course in LearningCart.")


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
    from worker.ledger.completions import list_completions

    with opening_of(context).reading() as connection:
        rows = list_completions(
            connection, email=email, course_id=course, since=since, limit=limit if as_json else None
        )
        if as_json:
            print_json_array(rows)
            return
        shown, more = first_rows(rows, limit)
    console().print(_completions_table(shown) if shown else "No completions.")
    if more:
        say_more(limit)


def _completions_table(completions: list[Shape]) -> Table:
    rows = [
        [
            cell(completion["state"], "green" if completion["state"] == "completed" else ""),
            cell(completion["email"] or f"customer {completion['customer_id']}"),
            cell(completion["course_id"]),
            cell(completion["course_name"]),
            cell(completion["score"]),
            cell(clock(completion["started_at"])),
            cell(clock(completion["completed_at"])),
            cell(age(completion["updated_at"])),
        ]
        for completion in completions
    ]
    headings = ("state", "learner", "course", "title", "score", "began (UTC)", "completed (UTC)", "news")
    return table(headings, rows, shortened=("learner", "title"))
