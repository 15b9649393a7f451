"""Asking whether mail and alerts work: the servers for real, the templates with sample values, the sealed passwords."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing

from worker.cli.check.result import Part, ProbeResult, read_or_none
from worker.clients.mail.client import Mail, MailAddress, MailClient
from worker.errors import ApiError, AuthenticationError, ConfigurationError, PermissionDeniedError
from worker.formatting import counted, counted_days
from worker.ledger.learners import sealed_passwords
from worker.ledger.learners.sealed_passwords import PasswordSeal
from worker.mail_templates import MailTemplates
from worker.observability.logs import known_secrets
from worker.settings.mail import MailSettings, keys_in
from worker.settings.settings import Settings

SUBJECT = "Test mail from Cartbridge"
TEXT = "Cartbridge can send mail through this server. Nothing needs to be done.\n"
ALERT_TITLE = "Cartbridge: a test"
ALERT_TEXT = "This is a test alert, sent by `cartbridge check --alert`. Nothing is wrong."


def probe_mail(settings: Settings) -> Iterator[ProbeResult]:
    """The mail server (greeted, logged in to, and sent nothing), the templates, and new customers' passwords."""
    mail = settings.mail
    yield _probe_server(mail)
    if mail.is_configured or mail.templates_directory is not None:
        yield _probe_templates(mail)
    yield _about_passwords(settings)


def send_test_mail(settings: Settings, address: str) -> ProbeResult:
    """Send one mail to `address`, for real."""
    mail = settings.mail
    if not mail.is_configured:
        step = f"Set {', '.join(mail.missing())}."
        return ProbeResult("test mail", "mail", configured=True, accepted=False, detail="mail is off", next_step=step)
    try:
        recipient = MailAddress.parse(address)
    except ValueError:
        return ProbeResult("test mail", "mail", configured=True, accepted=False, detail="that is no email address")
    with closing(MailClient(mail, secrets=known_secrets)) as client:
        try:
            message_id = client.send(Mail(recipient, SUBJECT, TEXT, f"test-{secrets.token_hex(8)}"))
        except ApiError as error:
            return _refused(Part("test mail", "mail"), mail, error)
    return Part("test mail", "mail").works(f"taken by {mail.host} as {message_id}")


def _probe_server(mail: MailSettings) -> ProbeResult:
    part, missing = Part("mail", "mail"), tuple(mail.missing())
    if missing:
        step = f"Set {', '.join(missing)}." if mail.is_begun else f"Off. To use it, set {', '.join(missing)}."
        return part.is_off(step, missing)
    with closing(MailClient(mail, secrets=known_secrets)) as client:
        try:
            return part.works(client.verify())
        except ApiError as error:
            return _refused(part, mail, error)


def _refused(part: Part, mail: MailSettings, error: ApiError) -> ProbeResult:
    address = f"{mail.host}:{mail.port_number}"
    if isinstance(error, AuthenticationError):
        step = "Correct CARTBRIDGE_MAIL__USERNAME and CARTBRIDGE_MAIL__PASSWORD."
    elif isinstance(error, PermissionDeniedError):
        step = "May this user send as CARTBRIDGE_MAIL__SENDER?"
    elif error.status is None:
        step = f"Is {address} right (CARTBRIDGE_MAIL__HOST, __PORT, __SECURITY), and the network open?"
        return part.is_away(str(error), step)
    else:
        step = "Read what the server answered, and try again."
    return part.refuses(str(error), step)


def _probe_templates(mail: MailSettings) -> ProbeResult:
    problems = list(MailTemplates(mail.templates_directory).problems())
    where = "built in" if mail.templates_directory is None else f"{mail.templates_directory}, else built in"
    return ProbeResult(
        "mail templates",
        "mail",
        configured=True,
        accepted=not problems,
        detail="; ".join(problems) or where,
        next_step="Correct them; docs/mail.md says what a template is given." if problems else "",
    )


def _about_passwords(settings: Settings) -> ProbeResult:
    passwords = settings.passwords
    stored = _sealed_passwords(settings)
    keys = [] if passwords.key is None else keys_in(passwords.key)
    seal = PasswordSeal(keys) if keys else None
    shut = [run_id for run_id, ciphertext in stored if seal is None or not seal.opens(ciphertext, run_id=run_id)]
    if shut:
        return ProbeResult(
            "passwords",
            "mail",
            configured=True,
            accepted=False,
            detail=f"{len(shut)} of {counted(len(stored), 'kept password')} cannot be opened: that of run {shut[0]}",
            next_step="Put the key that sealed them into CARTBRIDGE_PASSWORDS__KEY, after the one in use.",
        )
    if passwords.mode == "drop" or passwords.key is None:
        step = (
            "A new customer asks LearningCart for a password. To mail them, set CARTBRIDGE_PASSWORDS__MODE=mail; "
            "`cartbridge check` then says how to make the key that this needs."
        )
        return Part("passwords", "mail").is_off(step)
    detail = (
        f"mailed to new customers; {len(stored)} kept now, sealed by {counted(len(keys), 'key')}, "
        f"for {counted_days(passwords.keep_days)} at most"
    )
    return ProbeResult("passwords", "mail", configured=True, accepted=True, detail=detail)


def _sealed_passwords(settings: Settings) -> list[tuple[str, str]]:
    """The passwords that are kept; none where the ledger cannot be read, which its own finding says."""
    return read_or_none(settings, sealed_passwords.all_sealed) or []


# Alerts


def send_test_alert(settings: Settings) -> ProbeResult:
    """Tell every receiver of alerts, and find who did not take it."""
    from worker.clients.alerts import AlertsClient

    part, variable = Part("alerts", "alerts"), "CARTBRIDGE_ALERTS__URLS"
    if not settings.alerts.is_configured:
        return part.is_off(f"Off. To be told of trouble, set {variable}.")
    try:
        client = AlertsClient(settings.alerts.addresses, secrets=known_secrets)
        failed = client.send(ALERT_TITLE, ALERT_TEXT)
    except ConfigurationError as error:
        return part.is_away("", str(error))
    except ApiError as error:
        return part.is_away(str(error), f"Correct {variable}, or look at what the service says.")
    if failed:
        return part.is_away(f"receiver {', '.join(failed)} did not take it", f"Correct them in {variable}.")
    many = len(settings.alerts.addresses)
    return part.works("a test was taken by " + ("its receiver" if many == 1 else f"all {many} receivers"))
