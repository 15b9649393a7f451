"""Sends mail through one mail server, each mail at most once, and knows whether it may have been taken."""

from __future__ import annotations

import base64
import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from requests.adapters import DEFAULT_CA_BUNDLE_PATH

from worker.clients.base import NO_LIMITS, CallLimits
from worker.clients.mail.message import Mail, content_of, message_id
from worker.clients.mail.outcomes import (
    SYSTEM,
    Stage,
    error_for_mail,
    error_for_reply,
    error_for_silence,
    error_for_tls,
)
from worker.clients.rate import RateLimit, SharedSlots
from worker.clients.watchdog import WATCHDOG, Watched
from worker.errors import AuthenticationError, ConfigurationError
from worker.settings.mail import MailSettings
from worker.settings.mail_address import MailAddress
from worker.text.redaction import SecretRegistry, redact

__all__ = ["Mail", "MailAddress", "MailClient"]

_T = TypeVar("_T")

IDLE_LIMIT_SECONDS: Final = 4.0
"""A connection that was made ready longer ago is made anew: the server may be about to close it."""
_LARGEST_REPLY_BYTES: Final = 64 * 1024
_LEADING_DOT = re.compile(rb"(?m)^\.")
_monotonic: Final = time.monotonic


class MailClient:
    """Sends through one mail server. Safe to share between threads; make one per process, after it forked.

    One connection a mail, made and logged in by `ready` or by `send` itself. Repeats nothing, verifies the server's
    certificate, and goes on unprotected only where the settings say so. Raises `ConfigurationError` for settings that
    lack something. `secrets` learns the password. `context` replaces the certificates that are trusted.
    """

    def __init__(
        self,
        access: MailSettings,
        *,
        secrets: SecretRegistry | None = None,
        slots: SharedSlots | None = None,
        context: ssl.SSLContext | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if access.host is None or access.sender is None or (access.username is None) != (access.password is None):
            raise ConfigurationError(
                "Mail is not configured. Set CARTBRIDGE_MAIL__HOST and __SENDER, and for a login both __USERNAME and "
                "__PASSWORD."
            )
        self._access = access
        self._host = access.host
        self._secrets = SecretRegistry() if secrets is None else secrets
        if access.password is not None:
            self._secrets.add(access.password.get_secret_value())
        self._sender = MailAddress.parse(access.sender)
        self._reply_to = None if access.reply_to is None else MailAddress.parse(access.reply_to)
        self._rate_limit = RateLimit(SYSTEM, access.requests_per_second, shared=slots)
        self._context = context or _trusting()
        self._now = now
        self._local = threading.local()
        self._lock = threading.Lock()
        self._ready: set[_Session] = set()

    def __repr__(self) -> str:
        return f"MailClient({self._host!r})"

    def ready(self, *, limits: CallLimits = NO_LIMITS) -> None:
        """Wait until the next mail can go out at once: the rate limit's slot taken, a connection open and logged in.

        For a caller that commits an intent first; the mail is then sent by the same thread, with `slot_taken=True`.
        Nothing is mailed: every `ApiError` raised here leaves nothing open.
        """
        if not limits.slot_taken:
            self._rate_limit.take()
        self._drop()
        session = self._open(self._deadline(limits))
        session.watched.finish()
        session.ready_at = _monotonic()
        self._local.session = session
        with self._lock:
            self._ready.add(session)

    def send(self, mail: Mail, *, limits: CallLimits = NO_LIMITS) -> str:
        """Hand over one mail to one recipient, and return its Message-ID once the server has taken it.

        **Not safe to repeat**: a second call is a second mail, with the same Message-ID. Raises the `ApiError` that
        fits: with `outcome_unknown` when the answer to the whole mail was lost; certainly not mailed after every other.
        `limits.before_send` is asked before the mail's own bytes; what it raises comes out, and nothing was mailed.
        """
        content = self._written(mail)
        if not limits.slot_taken:
            self._rate_limit.take()
        deadline = self._deadline(limits)
        session = self._take_ready()
        if session is None:
            session = self._open(deadline)
        else:
            session.watch(deadline)
        session.redact = lambda text: redact(self._secrets.redact(text), mail.secrets)
        try:
            self._hand_over(session, mail, content, limits)
        finally:
            session.end()
        return message_id(mail.reference, self._sender)

    def verify(self) -> str:
        """Connect, protect, log in, and send nothing; return how it was reached, for people."""
        session = self._open(self._deadline(NO_LIMITS))
        try:
            session.ask(Stage.NOOP, "NOOP")
        finally:
            session.end()
        login = "logged in" if self._access.username is not None else "no login"
        return f"{self._host}:{self._access.port_number}, {self._access.security}, {login}"

    def close(self) -> None:
        """Close the connections that were made ready and not used. The client can be used again."""
        with self._lock:
            sessions, self._ready = self._ready, set()
        for session in sessions:
            session.end()

    # The connection

    def _deadline(self, limits: CallLimits) -> float:
        seconds = limits.deadline_seconds
        if seconds is None:
            seconds = self._access.connect_timeout_seconds + self._access.read_timeout_seconds
        return _monotonic() + seconds

    def _take_ready(self) -> _Session | None:
        """The connection that this thread made ready, if it is fresh."""
        session: _Session | None = getattr(self._local, "session", None)
        self._local.session = None
        if session is None:
            return None
        with self._lock:
            is_open = session in self._ready
            self._ready.discard(session)
        if is_open and _monotonic() - session.ready_at <= IDLE_LIMIT_SECONDS:
            return session
        session.end()
        return None

    def _drop(self) -> None:
        session = self._take_ready()
        if session is not None:
            session.end()

    def _open(self, deadline: float) -> _Session:
        session = _Session(self._access, self._context, deadline, self._secrets.redact)
        try:
            self._connect(session)
            if self._access.username is not None and self._access.password is not None:
                self._log_in(session, self._access.username, self._access.password.get_secret_value())
        except BaseException:
            session.end()
            raise
        return session

    def _connect(self, session: _Session) -> None:
        answer = session.during(Stage.CONNECT, session.connect, self._host, self._access.port_number)
        session.judge(Stage.GREETING, answer)
        session.judge(Stage.EHLO, session.during(Stage.EHLO, session.ehlo))
        if self._access.security == "starttls":
            if not session.has_extn("starttls"):
                raise error_for_tls("the server does not offer STARTTLS")
            session.ask(Stage.STARTTLS, "STARTTLS")
            session.during(Stage.TLS, session.protect)
            session.judge(Stage.EHLO, session.during(Stage.EHLO, session.ehlo))

    @staticmethod
    def _log_in(session: _Session, username: str, password: str) -> None:
        """By PLAIN (RFC 4616), or by LOGIN where only that is offered; UTF-8, which smtplib's own login refuses."""
        offered = session.esmtp_features.get("auth", "").upper().split()
        if "PLAIN" in offered:
            session.ask(Stage.AUTH, f"AUTH PLAIN {_base64(f'{chr(0)}{username}{chr(0)}{password}')}")
        elif "LOGIN" in offered:
            session.ask(Stage.AUTH, "AUTH LOGIN", wanted=3)
            session.ask(Stage.AUTH, _base64(username), wanted=3)
            session.ask(Stage.AUTH, _base64(password))
        else:
            raise AuthenticationError(
                f"{SYSTEM} {Stage.AUTH}: the server offers no login by PLAIN or LOGIN on this connection",
                system=SYSTEM,
                operation=Stage.AUTH,
            )

    # The mail

    def _written(self, mail: Mail) -> bytes:
        try:
            content = content_of(mail, sender=self._sender, reply_to=self._reply_to, now=self._now())
            return _LEADING_DOT.sub(b"..", content)
        except (ValueError, LookupError) as error:
            problem = type(error).__name__
        raise error_for_mail(f"it cannot be written as it stands ({problem})")

    def _hand_over(self, session: _Session, mail: Mail, content: bytes, limits: CallLimits) -> None:
        options = ""
        if mail.to.needs_smtputf8:
            if not session.has_extn("smtputf8"):
                raise error_for_mail("the recipient's address is beyond ASCII, and the server does not support that")
            options = " SMTPUTF8 BODY=8BITMIME"
            session.command_encoding = "utf-8"
        session.ask(Stage.SENDER, f"MAIL FROM:<{self._sender.wire}>{options}")
        session.ask(Stage.RECIPIENT, f"RCPT TO:<{mail.to.wire}>")
        if limits.before_send is not None:
            limits.before_send()
        session.ask(Stage.DATA, "DATA", wanted=3)
        session.during(Stage.CONTENT, session.send, content)
        # From here on the server may take it. On its own, so that what was lost before it was certainly not mailed.
        session.ask(Stage.ACCEPT, ".")


class _BoundedReplies:
    """A connection's lines, of which one reply has no more bytes than a reply needs: it may have lines without end."""

    def __init__(self, lines: Any) -> None:
        self._lines = lines
        self._left_bytes = _LARGEST_REPLY_BYTES

    def begin(self) -> None:
        """What comes now is another reply."""
        self._left_bytes = _LARGEST_REPLY_BYTES

    def readline(self, size: int) -> bytes:
        """The next line. Raises `OSError` where the reply is too large."""
        line: bytes = self._lines.readline(size)
        self._left_bytes -= len(line)
        if self._left_bytes < 0:
            raise OSError("too large a reply")
        return line

    def close(self) -> None:
        """Close what is read from."""
        self._lines.close()


class _Session(smtplib.SMTP):
    """One connection, over by its deadline. Says nothing to anybody but the server."""

    def __init__(
        self, access: MailSettings, context: ssl.SSLContext, deadline: float, redact: Callable[[str], str]
    ) -> None:
        # smtplib would look this machine's own name up, which can take seconds and tells it to strangers.
        super().__init__(local_hostname="[127.0.0.1]", timeout=access.read_timeout_seconds)
        self._access = access
        self._context = context
        self.redact = redact
        """Takes out what must not show of a server's words."""
        self.ready_at = 0.0
        self.watched = Watched(deadline=deadline)
        WATCHDOG.watch(self.watched)

    def watch(self, deadline: float) -> None:
        """Begin another deadline for the connection that is open already."""
        self.watched = Watched(deadline=deadline)
        if isinstance(self.sock, socket.socket):
            with suppress(OSError):
                self.watched.attach(self.sock)
        WATCHDOG.watch(self.watched)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        self._plain = connected = socket.create_connection((host, port), self._access.connect_timeout_seconds)
        self.watched.attach(connected)
        connected.settimeout(timeout)
        address = connected.getsockname()[0]
        self.local_hostname = f"[IPv6:{address}]" if ":" in address else f"[{address}]"
        return self._wrapped(connected) if self._access.security == "tls" else connected

    def _wrapped(self, connected: socket.socket) -> socket.socket:
        try:
            return self._context.wrap_socket(connected, server_hostname=self._access.host)
        except BaseException:
            connected.close()
            raise

    def getreply(self) -> tuple[int, bytes]:
        """One reply. Raises `SMTPServerDisconnected` for one that does not end as well."""
        if self.file is None and self.sock is not None:
            self.file = _BoundedReplies(self.sock.makefile("rb"))
        if isinstance(self.file, _BoundedReplies):
            self.file.begin()
        return super().getreply()

    def protect(self) -> None:
        """Speak TLS from here on, and forget what the server said in clear (RFC 3207)."""
        self.sock = self._wrapped(self._plain)
        self.file = None
        self.helo_resp = self.ehlo_resp = None
        self.esmtp_features = {}
        self.does_esmtp = False

    def ask(self, stage: Stage, command: str, *, wanted: int = 2) -> None:
        """Send a command. Raises the stage's error where no answer comes, or not one of the wanted hundred."""
        self.judge(stage, self.during(stage, self.docmd, command), wanted=wanted)

    def judge(self, stage: Stage, answer: tuple[int, bytes], *, wanted: int = 2) -> None:
        """Raise the error of a reply unless it is of the wanted hundred: a client goes by that alone (RFC 5321)."""
        code, text = answer
        if code // 100 != wanted:
            raise error_for_reply(stage, code, text, self.redact)

    def during(self, stage: Stage, act: Callable[..., _T], *arguments: Any) -> _T:
        """Do one thing on the wire. Raises the stage's error, which carries nothing of what the connection raised."""
        try:
            return act(*arguments)
        except smtplib.SMTPResponseException:  # smtplib's own word for a line that never ends
            error = error_for_reply(stage, -1, b"", str)
        except (OSError, smtplib.SMTPException, ValueError) as problem:
            cause = type(problem).__name__
            is_cut = self.watched.expired or isinstance(problem, ssl.SSLEOFError | ssl.SSLZeroReturnError)
            if isinstance(problem, ssl.SSLError) and stage in {Stage.CONNECT, Stage.TLS} and not is_cut:
                # A handshake that was refused is final; one that was merely cut, or any later fault, is a lost one.
                error = error_for_tls(cause)
            else:
                # smtplib hides a read's timeout behind a word of its own.
                met = (problem, problem.__context__)
                timed_out = self.watched.expired or any(isinstance(each, TimeoutError) for each in met)
                error = error_for_silence(stage, timed_out=timed_out, cause=cause)
        raise error

    def end(self) -> None:
        """Say goodbye without waiting for an answer, and close. Safe to repeat."""
        with suppress(OSError, smtplib.SMTPException):
            if not self.watched.expired:
                self.putcmd("QUIT")
        with suppress(OSError):
            self.close()
        self.watched.finish()


def _trusting() -> ssl.SSLContext:
    """The system's certificates and those the other clients trust: a slim container may have none of its own."""
    context = ssl.create_default_context()
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
