"""A learner chooses their name, and a mail to them goes to nobody else for it."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.utils import getaddresses

import pytest

from worker.clients.mail.message import Mail, content_of
from worker.settings.mail_address import MailAddress

SENDER = MailAddress("shop@example.test", "Shop, Inc.")
LONG = "x" * 40


@pytest.mark.parametrize(
    "name",
    [
        f"evil@x.test, evil@y.test, {LONG} {LONG}",
        f"{LONG}, evil@x.test, ü {LONG}",
        f"ü, evil@x.test {LONG}, {LONG}",
        f"<evil@x.test>, {LONG} {LONG}",
        f'Jane "Quick" Doe (née Roe); {LONG} {LONG}',
        "=?utf-8?q?evil=40x=2Etest=2C?= =?utf-8?b?8J+YgA==?=",
        f".{LONG}, {LONG}\r\nBcc: evil@x.test",
    ],
)
def test_mail_names_its_learner_alone_when_their_name_looks_like_more(name: str) -> None:
    mail = Mail(MailAddress("jane@example.test", name), f"Hello {name}", "text", "ref-1")
    content = content_of(mail, sender=SENDER, reply_to=SENDER, now=datetime(2026, 3, 4, tzinfo=UTC))
    read = message_from_bytes(content)
    assert [address for _, address in getaddresses(read.get_all("To", []))] == ["jane@example.test"]
    assert [address for _, address in getaddresses(read.get_all("From", []))] == ["shop@example.test"]
    assert read["Bcc"] is None
    assert read["From"] == '"Shop, Inc." <shop@example.test>'


@pytest.mark.parametrize("name", ["Jane Doe", "Doe, Jane", "Zoë Ås", "O'Brien-Smith"])
def test_name_is_written_as_it_is_when_it_is_an_ordinary_one(name: str) -> None:
    assert MailAddress("jane@example.test", name).header.display_name == name
