from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

from hypothesis import given, settings
from hypothesis import strategies as st

from worker.clients.mail.message import Mail, content_of
from worker.settings.mail_address import MailAddress

SENDER = MailAddress.parse("Academy <courses@academy.example>")
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def written(mail: Mail, reply_to: MailAddress | None = None) -> bytes:
    return content_of(mail, sender=SENDER, reply_to=reply_to, now=NOW)


def read(content: bytes) -> EmailMessage:
    return message_from_bytes(content, policy=policy.default)


def test_headers_name_the_mail_when_it_is_written() -> None:
    mail = Mail(MailAddress("jane@exämple.com", "Jäne, Doe"), "Velkommen åå", "Hello\n", "cb-abc", html="<p>Hello</p>")
    message = read(written(mail, MailAddress("operator@academy.example")))
    assert {name: str(message[name]) for name in message if not name.startswith(("Content", "MIME"))} == {
        "From": "Academy <courses@academy.example>",
        "To": '"Jäne, Doe" <jane@xn--exmple-cua.com>',
        "Reply-To": "operator@academy.example",
        "Subject": "Velkommen åå",
        "Date": "Wed, 04 Mar 2026 12:00:00 +0000",
        "Message-ID": "<cb-abc@academy.example>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert "Hello" not in repr(mail)
    assert "jane" not in repr(mail)


@settings(max_examples=50)
@given(subject=st.text(max_size=300), name=st.text(max_size=300), text=st.text(st.characters(codec="utf-8")))
def test_no_header_can_be_added_when_texts_are_hostile(subject: str, name: str, text: str) -> None:
    mail = Mail(MailAddress("jane@example.com", name), f"{subject}\r\nBcc: x@example.com\n\nbody", text, "cb-abc")
    try:
        content = written(mail)
    except ValueError:
        return  # half a character: refused as it stands
    message = read(content)
    ours = {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress"}
    assert set(message) == ours | {"Content-Type", "Content-Transfer-Encoding", "MIME-Version"}
    assert len(message) == 10
    assert message["To"].addresses[0].addr_spec == "jane@example.com"
    assert content.isascii()
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))


def test_headers_are_utf_8_when_the_address_is_beyond_ascii() -> None:
    content = written(Mail(MailAddress("jäne@example.com", "Jäne"), "Grüße", "Text", "cb-abc"))
    assert "To: Jäne <jäne@example.com>\r\n".encode() in content
