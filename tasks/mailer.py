"""Makes the process's mailroom from the settings."""

from __future__ import annotations

from limits.storage import Storage

from worker.clients.mail.client import MailClient
from worker.ledger.learners.sealed_passwords import PasswordSeal
from worker.mail_templates import MailTemplates
from worker.observability.logs import known_secrets
from worker.settings.mail import keys_in
from worker.settings.settings import Settings
from workflows.enrolment.mailer import Mailroom


def make_mailroom(settings: Settings, storage: Storage | None) -> Mailroom | None:
    """The mailroom; None where mail is not configured. Registers the password and the keys as secrets."""
    mail, passwords = settings.mail, settings.passwords
    if not mail.is_configured:
        return None
    keys = [] if passwords.key is None else keys_in(passwords.key)
    for key in keys:
        known_secrets.add(key)
    host = (settings.learningcart.site_hostname or "").removeprefix("https://").removeprefix("http://").rstrip("/")
    return Mailroom(
        MailClient(mail, secrets=known_secrets, storage=storage),
        MailTemplates(mail.templates_directory),
        login_url=f"https://{host}",
        seal=PasswordSeal(keys) if keys else None,
        mails_passwords=passwords.mode == "mail" and bool(keys),
    )
