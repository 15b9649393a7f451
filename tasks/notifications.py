"""The tasks that tell people and systems what happened: alerts and events."""

from __future__ import annotations

import secrets
from contextlib import closing
from random import Random

from celery import Task, shared_task

from tasks.base import LedgerTask
from tasks.runtime import runtime_of
from worker.broker.schedule import events_of
from worker.clients.events import EventsClient
from worker.ledger.pauses import pause_of
from worker.ledger.session import LEDGER_AWAY
from worker.observability.logs import known_secrets
from worker.settings.mail_address import MailAddress
from worker.settings.notifications import AlertsSettings
from worker.settings.types import zone_of
from workflows.enrolment.mailer import MAIL
from workflows.monitoring.alert_sender import Send, tell
from workflows.monitoring.event_delivery import deliver_due
from workflows.monitoring.report_mail import send_report
from workflows.monitoring.run_events import note_run_events


@shared_task(name="cartbridge.alert", base=LedgerTask, bind=True)
def alert(self: Task) -> None:
    """Look for what is wrong and send an alert about what is new. Safe to double: the ledger lets one process send.

    That the ledger itself cannot be used is told by each process that sees it.
    """
    runtime = runtime_of(self.app)
    options = runtime.settings.alerts
    if not options.is_configured:
        return
    send = sender_of(options)
    try:
        tell(
            runtime.ledger,
            send,
            options,
            holder=f"{runtime.holder}:{secrets.token_hex(4)}",
            now=runtime.clock(),
            zone=zone_of(options.time_zone or "") or runtime.settings.zone,
        )
    except LEDGER_AWAY:
        runtime.ledger_alarm.note(send, is_away=True)
        raise
    runtime.ledger_alarm.note(send, is_away=False)


def sender_of(options: AlertsSettings) -> Send:
    """What sends to every receiver that is set."""
    from worker.clients.alerts import AlertsClient  # noqa: PLC0415  (Apprise takes a fifth of a second to import)

    return AlertsClient(options.addresses, secrets=known_secrets).send


@shared_task(name="cartbridge.mail_report", base=LedgerTask, bind=True)
def mail_report(self: Task) -> None:
    """Mail the report of the month before, once a month. Safe to double: the ledger knows whose this month is."""
    runtime = runtime_of(self.app)
    mailer = runtime.clients.get(MAIL)
    recipient = runtime.settings.report.mail_to
    if mailer is None or recipient is None:
        return
    with runtime.ledger.read() as connection:
        if pause_of(connection, MAIL) is not None:
            return  # it is mailed when mail goes on
    send_report(
        runtime.ledger,
        mailer.client,
        MailAddress.parse(recipient),
        now=runtime.clock(),
        zone=runtime.settings.zone,
        holder=runtime.holder,
        page_url=runtime.settings.alerts.page_url,
    )


@shared_task(name="cartbridge.deliver_events", base=LedgerTask, bind=True)
def deliver_events(self: Task) -> None:
    """Send the events that are due. Safe to double: the ledger gives each to one sender at a time."""
    runtime = runtime_of(self.app)
    access = events_of(runtime.settings)
    if access is None:
        return
    note_run_events(runtime.ledger, now=runtime.clock())
    with closing(EventsClient(access, secrets=known_secrets)) as messenger:
        deliver_due(
            runtime.ledger,
            messenger,
            clock=runtime.clock,
            rng=Random(),  # noqa: S311  (jitter, not a secret)
            should_stop=runtime.stopping.is_set,
        )
