"""The month's report: totals, and for each course and source, or for each customer of theirs, the seats."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from worker.errors import ConfigurationError, NotInLedgerError
from worker.ledger.views.page.report import REPORT_FIELDS, Month, ReportLine, months, report
from worker.ledger.views.serializers import csv_lines
from worker.web.page.auth.guard import guarded_router
from worker.web.page.page import Page
from worker.web.page.views.lists import csv_file
from worker.web.page.views.recent import Recent

MOST_SEATS = 2_000
"""A month of more is shown by course and source; the customers of each are behind it."""
MOST_LINES = 1_000
Lines = tuple[datetime, list[ReportLine]]
"""When they were counted, and what was."""


def report_routes(page: Page) -> APIRouter:
    """The routes. A month begins and ends in the operator's zone."""
    router = guarded_router(page)
    zone = page.settings.zone
    finished: Recent[Lines] = Recent(timedelta(minutes=1), page.clock)

    def month_of(name: str) -> Month:
        try:
            return Month.named(name, zone) if name else Month.of(page.clock(), zone, earlier=1)
        except ConfigurationError as error:
            raise NotInLedgerError(str(error)) from error

    def lines_of(
        month: Month, *, by_customer: bool = True, course: str | None = None, source: str | None = None
    ) -> Lines:
        def read() -> Lines:
            now = page.clock()
            with page.reading() as connection:
                return now, report(connection, month, by_customer=by_customer, course=course, source=source)

        is_over = month.ends_at <= page.clock()
        return finished.get((month.name, by_customer, course, source), read) if is_over else read()

    @router.get("/report")
    def show_report(request: Request, month: str = "", course: str = "", source: str = "") -> Response:
        chosen = month_of(month)
        with page.reading() as connection:
            known = months(connection, page.clock(), zone)
        counted_at, courses = lines_of(chosen, by_customer=False)
        is_large = sum(line.granted + line.refunded + line.in_question for line in courses) > MOST_SEATS
        lines = courses
        if source or not is_large:
            counted_at, lines = lines_of(chosen, course=course if source else None, source=source or None)
        shown = lines if source else courses
        totals = {name: sum(getattr(line, name) for line in shown) for name in ("granted", "refunded", "in_question")}
        return page.render(
            request,
            "report.html",
            month=chosen,
            months=known if chosen.name in {each.name for each in known} else [*known, chosen],
            lines=lines[:MOST_LINES],
            left_out=max(0, len(lines) - MOST_LINES),
            totals=totals,
            counted_at=counted_at,
            course=course if source else None,
            by_customer=bool(source) or not is_large,
            line_path=_line_path,
        )

    @router.get("/report.csv")
    def download_report(request: Request, month: str = "") -> Response:  # noqa: ARG001 -- the guard's
        chosen = month_of(month)
        return csv_file(f"report-{chosen.name}.csv", csv_lines(lines_of(chosen)[1], REPORT_FIELDS))

    return router


def _line_path(line: ReportLine) -> str:
    """Where the customers of a course and source are."""
    return f"/report?{urlencode({'month': line.month, 'course': line.course, 'source': line.source})}"
