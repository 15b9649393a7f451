"""`cartbridge why`: why a learner has access or has none, as a story with one thing to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.arguments import AsJson
from worker.cli.context import opening_of
from worker.cli.output import cell, console, note, print_json, state_cell, table, warn_of_offers
from worker.formatting import counted, local, time_of_day, zone_label

if TYPE_CHECKING:
    from worker.ledger.views.history import Story
    from worker.ledger.views.page.search import Hits

_MARKS = {"good": ("✓", "green"), "wait": ("…", "cyan"), "bad": ("✗", "bold red"), "plain": ("·", "")}


def why_command(
    context: typer.Context,
    subject: Annotated[
        str,
        typer.Argument(
            metavar="ANYTHING",
            help=(
                "An email, an order, a run, a LearningCart order, or any part of a name, an address, a company, a "
                "product or a number."
            ),
            show_default=False,
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Tell why a learner has access or has none, and the one thing to do about it."""
    from worker.errors import NotInLedgerError
    from worker.ledger.views.history import story_of_order, why
    from workflows.planning.offers_problem import offers_problem

    opening = opening_of(context)
    with opening.reading() as connection:
        problem = offers_problem(connection, opening.settings.offers_file)
        now = datetime.now(UTC)
        try:
            story = why(connection, subject, now=now)
        except NotInLedgerError:
            from worker.ledger.views.page.search import search, titles_of

            hits = search(connection, subject)
            meant = _meant(hits)
            if not len(hits):
                raise
            if meant is None:
                _print_hits(subject, hits, titles_of(connection, hits.orders), as_json=as_json)
                return
            order = hits.orders[0] if not hits.learners and hits.orders else None
            story = (
                why(connection, meant, now=now)
                if order is None
                else story_of_order(connection, order.source, order.order_id, now=now)
            )
    if as_json:
        print_json(story)
    else:
        if problem is not None:
            warn_of_offers(problem)
        _print_story(story)


def _meant(hits: Hits) -> str | None:
    """What a search can only have meant, by a name that `why` knows; None where there are several."""
    if hits.path is None:
        return None
    if hits.learners:
        return hits.learners[0].email
    return hits.runs[0].id if hits.runs else f"{hits.orders[0].source}/{hits.orders[0].order_id}"


def _print_hits(subject: str, hits: Hits, titles: dict[str, str], *, as_json: bool) -> None:
    """Whom or what the operator may have meant, each with what to ask next."""
    if as_json:
        print_json({"subject": subject, "matches": hits})
        return
    out = console()
    out.print(cell(f"{subject!r} may be:", "bold"))
    rows = [[cell(each.email), cell(each.name), cell(each.product), state_cell(each.state)] for each in hits.learners]
    rows += [
        [
            cell(each.name),
            cell(each.buyer_name or each.buyer_email),
            cell(titles.get(each.name, "")),
            state_cell(each.state),
        ]
        for each in hits.orders
    ]
    rows += [[cell(each.id), cell(each.email or ""), cell(each.title), state_cell(each.state)] for each in hits.runs]
    out.print(table(("cartbridge why …", "who", "bought", "state"), rows, shortened=("who", "bought")))


def _print_story(story: Story) -> None:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    out = console()
    mark, style = _MARKS[story.tone]
    answer = Text.assemble((f"{mark} ", style), cell(story.answer, style))
    if story.action:
        answer.append("\n\nTo do: ", "bold")
        answer.append(cell(story.action))
    out.print(
        Panel(answer, title=cell(story.subject), title_align="left", border_style=style, width=min(out.width, 120))
    )
    for order in story.orders:
        if order.subscription:
            out.print(cell(f"Order {order.source}/{order.order_id}: {order.subscription}", "dim"))
    if story.omitted:
        note(f"{counted(story.omitted, 'older line')} left out.")
    timeline = Table.grid(padding=(0, 1))
    timeline.add_column(style="dim", no_wrap=True)
    timeline.add_column(no_wrap=True)
    timeline.add_column(overflow="fold")
    day = ""
    for line in story.timeline:
        if f"{local(line.at):%Y-%m-%d}" != day:
            day = f"{local(line.at):%Y-%m-%d}"
            timeline.add_row(cell(day), "", cell(zone_label(), "dim"))
        mark, style = _MARKS[line.tone]
        timeline.add_row(cell(f"  {time_of_day(line.at)}"), cell(mark, style), cell(line.text, style))
    out.print(timeline)
