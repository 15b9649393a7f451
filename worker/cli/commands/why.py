"""`cartbridge why`: why a learner has access or has none, as a story with one thing to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.arguments import AsJson
from worker.cli.context import opening_of
from worker.cli.output import cell, console, note, print_json, warn_of_offers

if TYPE_CHECKING:
    from worker.ledger.views.history import Story

_MARKS = {"good": ("✓", "green"), "wait": ("…", "cyan"), "bad": ("✗", "bold red"), "plain": ("·", "")}


def why_command(
    context: typer.Context,
    subject: Annotated[
        str,
        typer.Argument(
            metavar="EMAIL|SOURCE/ORDER", help="A learner's or buyer's email, an order, or a run.", show_default=False
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Tell why a learner has access or has none, and the one thing to do about it."""
    from worker.ledger.views.history import why
    from workflows.planning.offers_file import offers_problem

    opening = opening_of(context)
    with opening.reading() as connection:
        problem = offers_problem(connection, opening.settings.offers_file)
        story = why(connection, subject, now=datetime.now(UTC))
    if as_json:
        print_json(story)
    else:
        if problem is not None:
            warn_of_offers(problem)
        _print_story(story)


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
        note(f"{story.omitted} older lines are left out.")
    timeline = Table.grid(padding=(0, 1))
    timeline.add_column(style="dim", no_wrap=True)
    timeline.add_column(no_wrap=True)
    timeline.add_column(overflow="fold")
    day = ""
    for line in story.timeline:
        if f"{line.at:%Y-%m-%d}" != day:
            day = f"{line.at:%Y-%m-%d}"
            timeline.add_row(cell(day), "", cell("UTC", "dim"))
        mark, style = _MARKS[line.tone]
        timeline.add_row(cell(f"  {line.at:%H:%M:%S}"), cell(mark, style), cell(line.text, style))
    out.print(timeline)
