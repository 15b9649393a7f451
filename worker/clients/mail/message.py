"""A mail as it is handed over, and the bytes it becomes: headers that nothing can be smuggled into, text and HTML."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from worker.settings.mail_address import MailAddress, one_line

_LONGEST_SUBJECT: Final = 250


@dataclass(frozen=True)
class Mail:
    """What is sent to whom. Its repr shows neither: a mail may hold a password."""

    to: MailAddress
    subject: str = field(repr=False)
    text: str = field(repr=False)
    reference: str
    """Our mark on this mail, the same at every attempt: it makes the Message-ID, by which mail systems and programs
    recognise a repetition. Printable ASCII without spaces."""
    html: str = field(default="", repr=False)
    """The same again for programs that show HTML; empty: text alone."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What in it is secret, to be masked should a server quote it."""


def message_id(reference: str, sender: MailAddress) -> str:
    """The Message-ID of the mail with this reference."""
    return f"<{reference}@{sender.domain}>"


def content_of(mail: Mail, *, sender: MailAddress, reply_to: MailAddress | None, now: datetime) -> bytes:
    """The mail as it goes over the wire, with CRLF and in seven bits, before dots are doubled.

    Marked as `Auto-Submitted` (RFC 3834), so that no holiday reply answers it. A line break or control character in a
    name or a subject becomes a space or nothing.
    """
    # Seven bits need nothing of the server. Only an address beyond ASCII does, and with it come UTF-8 headers.
    rules = policy.SMTP.clone(cte_type="7bit", utf8=mail.to.needs_smtputf8)
    message = EmailMessage(policy=rules)
    message["From"] = sender.header
    message["To"] = mail.to.header
    if reply_to is not None:
        message["Reply-To"] = reply_to.header
    message["Subject"] = one_line(mail.subject)[:_LONGEST_SUBJECT]
    message["Date"] = format_datetime(now)
    message["Message-ID"] = message_id(mail.reference, sender)
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(mail.text)
    if mail.html:
        message.add_alternative(mail.html, subtype="html")
    return message.as_bytes()
