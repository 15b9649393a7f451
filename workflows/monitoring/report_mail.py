"""Mails the report of the month before, once a month, whoever and however many ask."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Final, Protocol

from worker.clients.mail.client import Mail, MailAddress
from worker.errors import ApiError
from worker.formatting import counted
from worker.ledger.periodic import periodic_tasks
from worker.ledger.periodic.periodic_tasks import TaskName
from worker.ledger.session import Ledger
from worker.ledger.views.page.report import Month, ReportLine, report

log = logging.getLogger(__name__)

_MOST_LINES: Final = 200
_TASK: Final = TaskName.MONTHLY_REPORT


class Sender(Protocol):
    """What hands over mail: `worker.clients.mail.client.MailClient`."""

    def ready(self) -> None:
        """Connect and log in. Raises `ApiError`; nothing was mailed then."""

    def send(self, mail: Mail) -> str:
        """Hand over one mail. Raises `ApiError`, with `outcome_unknown` where it may have been taken."""


def send_report(
    ledger: Ledger,
    mailer: Sender,
    recipient: MailAddress,
    *,
    now: datetime,
    zone: tzinfo,
    holder: str,
    page_url: str | None = None,
) -> bool:
    """Mail the report of the month before, if this month's was not mailed yet; whether it was mailed now.

    Of several who ask one sends: the month is taken in a commit before. Where it was certainly not mailed the month is
    given back, and the next look tries again; a mail that may have been taken is not repeated. The first month that is
    seen is begun, and not reported on.
    """
    month = Month.of(now, zone)
    with ledger.write() as connection:
        if periodic_tasks.begin(connection, _TASK, now=now, holder=holder):
            return False
        done_at = periodic_tasks.done_at(connection, _TASK)
    if done_at is None or done_at >= month.begins_at:
        return False
    last = Month.of(now, zone, earlier=1)
    with ledger.read() as connection:
        lines = report(connection, last)
    mail = Mail(recipient, _subject(last, lines), _text(last, lines, page_url), f"report-{last.name}")
    try:
        mailer.ready()
        with ledger.write() as connection:
            is_ours = periodic_tasks.take(connection, _TASK, last_done_before=month.begins_at, now=now, holder=holder)
        if not is_ours:
            return False
        mailer.send(mail)
    except ApiError as error:
        log.warning("the report of %s: %s", last.name, error)
        if not error.outcome_unknown:
            with ledger.write() as connection:
                periodic_tasks.note_done(connection, _TASK, now=done_at)
        return False
    log.info("the report of %s was mailed", last.name)
    return True


def _subject(month: Month, lines: Sequence[ReportLine]) -> str:
    granted = sum(line.granted for line in lines)
    return f"Cartbridge: {granted} {'seat' if granted == 1 else 'seats'} granted in {month.title}"


def _text(month: Month, lines: Sequence[ReportLine], page_url: str | None) -> str:
    return "\n".join(_paragraphs(month, lines, page_url)) + "\n"


def _paragraphs(month: Month, lines: Sequence[ReportLine], page_url: str | None) -> Iterator[str]:
    yield f"{month.title}:"
    yield f"- {sum(line.granted for line in lines)} granted"
    yield f"- {sum(line.refunded for line in lines)} refunded, cancelled or removed"
    yield f"- {sum(line.in_question for line in lines)} in question"
    yield ""
    for line in lines[:_MOST_LINES]:
        counts = [
            f"{count} {word}"
            for count, word in (
                (line.granted, "granted"),
                (line.refunded, "refunded"),
                (line.in_question, "in question"),
            )
            if count
        ]
        yield f"{line.course} ({line.source}), {line.customer or 'nobody named'}: {', '.join(counts)}"
    if len(lines) > _MOST_LINES:
        yield f"... and {counted(len(lines) - _MOST_LINES, 'line')} more."
    yield ""
    yield f"As a table: cartbridge report --month {month.name} --csv"
    if page_url:
        yield f"On the page: {page_url}/report?month={month.name}"
