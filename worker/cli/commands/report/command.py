"""`cartbridge report`: a month's seats by course, source and customer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.arguments import AsCsv, AsJson
from worker.cli.context import opening_of
from worker.cli.output import cell, console, print_rows, refuse_two_forms, table

if TYPE_CHECKING:
    from rich.text import Text

    from worker.ledger.views.page.report import ReportLine

_MOST_LINES = 200


def report_command(
    context: typer.Context,
    *,
    month: Annotated[
        str | None, typer.Option("--month", metavar="YYYY-MM", help="The month to count. Default: last month.")
    ] = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Count a month's seats by course, source and customer: granted, refunded, in question."""
    from worker.ledger.views.page.report import REPORT_FIELDS, Month, report

    refuse_two_forms(as_json=as_json, as_csv=as_csv)
    opening = opening_of(context)
    zone = opening.settings.zone
    wanted = Month.of(datetime.now(UTC), zone, earlier=1) if month is None else Month.named(month, zone)
    with opening.reading() as connection:
        lines = report(connection, wanted)
    if print_rows(lines, REPORT_FIELDS, as_json=as_json, as_csv=as_csv):
        return
    if not lines:
        console().print(f"Nothing in {wanted.title}.")
    else:
        courses = ["", *(each.course for each in lines)]
        rows = [
            # A course that goes on is named once.
            [cell("" if each.course == before else each.course), cell(each.source), cell(each.customer), *_counts(each)]
            for before, each in zip(courses, lines, strict=False)
        ]
        totals = [sum(getattr(each, name) for each in lines) for name in ("granted", "refunded", "in_question")]
        rows = [*rows[:_MOST_LINES], [cell("all", "bold"), cell(""), cell(""), *(cell(f"{each:,}") for each in totals)]]
        headings = ("course", "source", "customer", "granted", "refunded", "in question")
        console().print(table(headings, rows, wrapped=("course", "customer"), title=wanted.title))
        if len(lines) > _MOST_LINES:
            console().print(f"The first {_MOST_LINES} of {len(lines)} lines. All: --csv")


def _counts(line: ReportLine) -> list[Text]:
    return [cell(f"{count:,}" if count else "") for count in (line.granted, line.refunded, line.in_question)]
