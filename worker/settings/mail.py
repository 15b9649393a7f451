"""The settings of outgoing mail, and of what becomes of new customers' passwords."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, SecretStr, StringConstraints
from pydantic_core import PydanticCustomError

from worker.settings.environment import PREFIX, Problem
from worker.settings.mail_address import MailAddress
from worker.settings.types import LOOPBACK_HOSTS, Rate, Seconds, Secret, Section, Text

PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}
"""The port of each kind of connection where none is set (RFC 8314, RFC 6409, RFC 5321)."""
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|\[?[0-9A-Fa-f:]+\]?")
MAKE_A_KEY: Final = (
    'python3 -c "import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())"'  # a Fernet key
)


def _host(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise PydanticCustomError("setting", "should be a bare host name, such as smtp.example.com")
    return value.strip("[]")


def _mailbox(value: str) -> str:
    problem = False
    try:
        sender = MailAddress.parse(value)
        problem = sender.needs_smtputf8
    except ValueError:
        problem = True
    if problem:
        raise PydanticCustomError("setting", "should be an address, such as Academy <courses@example.com>")
    return value


def _fernet_keys(value: SecretStr) -> SecretStr:
    from cryptography.fernet import Fernet  # noqa: PLC0415 -- it loads OpenSSL, and few mail passwords

    keys = keys_in(value)
    are_keys = bool(keys)
    for key in keys:
        try:
            Fernet(key)
        except ValueError:
            are_keys = False
    if not are_keys:
        raise PydanticCustomError(
            "setting", "should be Fernet keys (32 bytes in URL-safe base64) with commas between them"
        )
    return value


def keys_in(value: SecretStr) -> list[str]:
    """The keys of a setting, the one that encrypts first."""
    return [key.strip() for key in value.get_secret_value().split(",") if key.strip()]


MailHost = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_host)]
Mailbox = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_mailbox)]
FernetKeys = Annotated[Secret, AfterValidator(_fernet_keys)]


class MailSettings(Section):
    """How mail is sent. Off until a host and a sender are set."""

    host: MailHost | None = Field(
        None, description="The mail server that takes outgoing mail, such as smtp.example.com."
    )
    port: int | None = Field(
        None, ge=1, le=65_535, description="Its port. Default: 587 with starttls, 465 with tls, 25 with none."
    )
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the connection is protected: starttls, tls from its first byte, or none."
    )
    username: Text | None = Field(None, description="User name at the mail server; without one there is no login.")
    password: Secret | None = Field(None, description="Password of that user.")
    sender: Mailbox | None = Field(None, description="Whom mail comes from: Academy <courses@example.com>.")
    reply_to: Mailbox | None = Field(None, description="Where answers go, if not to the sender.")
    templates_directory: Path | None = Field(
        None, description="A directory of your own welcome.txt and follow_on.txt, which replace the built-in ones."
    )
    connect_timeout_seconds: Seconds = Field(10.0, description="Seconds to wait for a connection to the mail server.")
    read_timeout_seconds: Seconds = Field(60.0, description="Seconds to wait for each answer of the mail server.")
    requests_per_second: Rate = Field(2.0, description="Mails a second at most; 0: no limit.")

    @property
    def is_configured(self) -> bool:
        """True when mail can be sent: a host, a sender, and a password wherever there is a user name."""
        return not self.missing()

    @property
    def is_begun(self) -> bool:
        """True when the operator has set some of it by hand, whether or not the rest is there."""
        return bool(self.model_fields_set)

    def missing(self) -> list[str]:
        """The full names of the variables without which nothing is sent, in the order of the table."""
        required = ["host", "sender"]
        if (self.username is None) != (self.password is None):
            required[1:1] = ["username", "password"]
        return [f"{PREFIX}MAIL__{name.upper()}" for name in required if getattr(self, name) is None]

    @property
    def port_number(self) -> int:
        """The port that is set, or the usual one for this kind of connection."""
        return PORTS[self.security] if self.port is None else self.port


class ReportSettings(Section):
    """Who gets the month's report by mail. Off until an address is given, and mail is set."""

    mail_to: Mailbox | None = Field(
        None, description="Who gets the report of the month before, on the 1st by mail: Ann <ann@example.com>."
    )


class PasswordsSettings(Section):
    """What becomes of the password that LearningCart makes up for a new customer and tells once."""

    mode: Literal["drop", "mail"] = Field(
        "drop",
        description="What becomes of a new customer's password: drop (the learner asks for a new one), or mail.",
    )
    key: FernetKeys | None = Field(
        None, description="Fernet keys with commas between them: the first encrypts passwords, all decrypt them."
    )
    keep_days: float = Field(
        7.0, gt=0, le=366, description="Days after which a password that could not be mailed is erased."
    )


def password_problems(mail: MailSettings, passwords: PasswordsSettings) -> Iterator[Problem]:
    """What keeps passwords from being mailed although they should be: one problem that names every variable."""
    if passwords.mode != "mail":
        return
    missing = mail.missing()
    if passwords.key is None:
        missing.append(f"{PREFIX}PASSWORDS__KEY")
    if missing:
        yield Problem(
            f"{PREFIX}PASSWORDS__MODE",
            f"mail needs {' and '.join(missing)} too. A key is made by: {MAKE_A_KEY}",
        )


def mail_warnings(mail: MailSettings, *, lease_seconds: float) -> Iterator[str]:
    """What runs and should not surprise."""
    if mail.is_begun and not mail.is_configured:
        yield f"mail is off: {', '.join(mail.missing())} not set."
    if mail.host is not None and mail.security == "none" and mail.host not in LOOPBACK_HOSTS:
        yield (
            f"{PREFIX}MAIL__SECURITY is none and {PREFIX}MAIL__HOST another machine: mail, passwords and the login "
            "travel in clear. Use starttls or tls."
        )
    call_seconds = mail.connect_timeout_seconds + mail.read_timeout_seconds
    if mail.is_configured and lease_seconds < call_seconds:
        yield (
            f"CARTBRIDGE_LEASE_SECONDS ({lease_seconds:g}) is below the connect and read timeouts of mail together "
            f"({call_seconds:g}): a slow mail server may never get a mail."
        )
