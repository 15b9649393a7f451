"""`cartbridge activity`: who did what, and when."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.arguments import AsCsv, AsJson, Limit, Since, Until
from worker.cli.output import Listing, cell, table
from worker.formatting import clock, zone_label

if TYPE_CHECKING:
    from rich.table import Table

    from worker.ledger.views.page.activity import ActivityItem


def activity_command(
    context: typer.Context,
    *,
    who: Annotated[str | None, typer.Option("--who", metavar="NAME", help="By this operator.")] = None,
    what: Annotated[
        list[str] | None,
        typer.Option("--what", metavar="KIND", help="Of this kind, such as login; may be given several times."),
    ] = None,
    about: Annotated[
        str | None, typer.Option("--about", metavar="ORDER|RUN", help="About this order, or this run.")
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List who did what, newest first: every act of an operator, sign-in, pause and change of the offers file."""
    from worker.ledger.views.page.activity import ACTIVITY_FIELDS, Act, list_activity

    unknown = next((kind for kind in what or () if kind not in list(Act)), None)
    if unknown is not None:
        raise typer.BadParameter(f"{unknown!r} is none of: {', '.join(Act)}", param_hint="--what")
    read = partial(list_activity, who=who, kinds=what or (), about=about, since=since, until=until)
    nothing = "Nobody did anything that matches." if who or what or about or since or until else "No acts."
    Listing(read, _activity_table, nothing, ACTIVITY_FIELDS).show(context, limit=limit, as_json=as_json, as_csv=as_csv)


def _activity_table(acts: Sequence[ActivityItem]) -> Table:
    cells = [
        [cell(clock(each.at)), cell(each.who), cell(each.text), cell(_subject(each)), cell(each.reason)]
        for each in acts
    ]
    headings = (f"at ({zone_label()})", "who", "did what", "about", "why")
    return table(headings, cells, wrapped=("did what", "why"), shortened=("who",))


def _subject(item: ActivityItem) -> str:
    """The order it was about, else the run."""
    return f"{item.source}/{item.order_id}" if item.order_id is not None else item.run_id or item.client or ""
