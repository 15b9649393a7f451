"""`worker.clients.mail.client` against real SMTP servers: what is trusted, what is mailed, what every failure means."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.loopback import Server, serving
from tests.integration.servers import free_port
from worker.clients.base import CallLimits
from worker.clients.mail.client import Mail, MailAddress, MailClient
from worker.errors import (
    ApiConnectionError,
    ApiError,
    ApiTimeoutError,
    AuthenticationError,
    ConfigurationError,
    InvalidRequestError,
    RateLimitedError,
)
from worker.sandbox.mailbox import Mailbox, MailFault
from worker.settings.mail import MailSettings
from worker.settings.settings import load_settings
from worker.text.redaction import SecretRegistry

USER, PASSWORD = "courses", "planted-pässword"
LEARNERS_PASSWORD = "planted-learners-password"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A throw-away authority's certificate, and in `server.pem` beside it that of 127.0.0.1 which it has signed."""
    folder = tmp_path_factory.mktemp("tls")
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "throw-away")])
    now = dt.datetime.now(dt.UTC)

    def certificate(name: x509.Name, public_key: ec.EllipticCurvePublicKey, *, ca: bool) -> bytes:
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            made = made.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        return made.sign(root_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    (folder / "authority.pem").write_bytes(certificate(issuer, root_key.public_key(), ca=True))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    (folder / "server.pem").write_bytes(private + certificate(subject, key.public_key(), ca=False))
    return folder / "authority.pem"


@pytest.fixture
def server_tls(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.with_name("server.pem"))
    return context


@pytest.fixture
def trusting(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority))


class Taking:
    """Takes every mail, and every login with the right password."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.helos: list[str] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  (aiosmtpd's)
        self.envelopes.append(envelope)
        self.helos.append(str(session.host_name))
        return "250 taken"


def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, login: LoginPassword) -> AuthResult:
    is_right = (login.login.decode(), login.password.decode()) == (USER, PASSWORD)
    return AuthResult(success=is_right, handled=False)  # the server says which


@pytest.fixture
def serve() -> Iterator[Callable[..., Controller]]:
    controllers: list[Controller] = []

    def start(handler: Taking, **options: Any) -> Controller:
        controller = Controller(handler, hostname="127.0.0.1", port=free_port(), **options)
        controllers.append(controller)
        controller.start()
        return controller

    yield start
    for controller in controllers:
        controller.stop()


def settings(port: int, **values: Any) -> MailSettings:
    given = {"host": "127.0.0.1", "port": port, "security": "none", "sender": "Academy <courses@academy.example>"}
    return MailSettings.model_validate({"requests_per_second": 0, "read_timeout_seconds": 5} | given | values)


def welcome(to: str = "jane@example.com") -> Mail:
    return Mail(
        MailAddress(to, "Jane"),
        "Welcome",
        f"Password: {LEARNERS_PASSWORD}\n.\n.dot\n",
        "cb-abc",
        secrets=(LEARNERS_PASSWORD,),
    )


def failure(act: Callable[[], object]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        act()
    reported = "".join(traceback.format_exception(caught.value))
    for secret in (PASSWORD, LEARNERS_PASSWORD, "jane@example.com"):
        assert secret not in reported
    assert caught.value.__context__ is None
    return caught.value


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox.start() as running:
        yield running


def client_of(mailbox: Mailbox, **overrides: str) -> MailClient:
    return MailClient(load_settings(mailbox.environment(**overrides), env_file=None).mail)


# What is trusted


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_goes_out_protected_and_logged_in_when_the_certificate_is_trusted(
    serve: Callable[..., Controller], server_tls: ssl.SSLContext, trusting: ssl.SSLContext, security: str
) -> None:
    taking = Taking()
    options: dict[str, Any] = {"authenticator": authenticate}
    if security == "tls":
        options |= {"ssl_context": server_tls, "auth_require_tls": False}
    else:
        options |= {"tls_context": server_tls, "require_starttls": True}
    access = settings(serve(taking, **options).port, security=security, username=USER, password=PASSWORD)
    secrets = SecretRegistry()
    client = MailClient(access, secrets=secrets, context=trusting)
    assert client.verify() == f"127.0.0.1:{access.port}, {security}, logged in"
    client.ready()
    assert client.send(welcome()) == "<cb-abc@academy.example>"
    (envelope,) = taking.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("courses@academy.example", ["jane@example.com"])
    assert isinstance(envelope.content, bytes)
    assert f"Password: {LEARNERS_PASSWORD}\r\n.\r\n.dot\r\n".encode() in envelope.content
    assert taking.helos == ["[127.0.0.1]"]
    assert PASSWORD in secrets.values()
    wrong = MailClient(access.model_copy(update={"username": "nobody"}), context=trusting)
    assert isinstance(failure(wrong.verify), AuthenticationError)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_nothing_is_sent_when_the_certificate_is_not_trusted(
    serve: Callable[..., Controller], server_tls: ssl.SSLContext, security: str
) -> None:
    taking = Taking()
    options = {"ssl_context" if security == "tls" else "tls_context": server_tls}
    # The controller's own look at whether it answers does not trust it either.
    controller = serve(taking, **options)
    client = MailClient(settings(controller.port, security=security, username=USER, password=PASSWORD))
    error = failure(client.ready)
    assert (type(error), error.retryable, error.sent) == (ApiConnectionError, False, False)
    assert "SSLCertVerificationError" in str(error)
    assert taking.envelopes == []


def test_nothing_is_sent_in_clear_when_the_server_offers_no_starttls(mailbox: Mailbox) -> None:
    client = client_of(mailbox, CARTBRIDGE_MAIL__SECURITY="starttls")
    error = failure(lambda: client.send(welcome()))
    assert (error.retryable, error.sent) == (False, False)
    assert "does not offer STARTTLS" in str(error)
    assert mailbox.received == []


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("refused", [True, False])
def test_handshake_is_tried_again_just_when_it_was_merely_cut(security: str, refused: bool) -> None:
    def behave(server: Server, connection: socket.socket) -> None:
        if security == "starttls":
            for answer in (b"220 hello", b"250-hello\r\n250 STARTTLS", b"220 go on"):
                connection.sendall(answer + b"\r\n")
                if not connection.recv(65_536):
                    return
        else:
            connection.recv(65_536)
        if refused:
            connection.sendall(b"500 what is this?\r\n" * 3)

    with serving() as start:
        client = MailClient(settings(start(behave).port, security=security))
        error = failure(client.ready)
    assert (type(error), error.retryable, error.sent) == (ApiConnectionError, not refused, False)


# What is mailed


def test_one_mail_arrives_when_it_was_made_ready_or_not(mailbox: Mailbox) -> None:
    client = client_of(mailbox, CARTBRIDGE_MAIL__USERNAME=USER, CARTBRIDGE_MAIL__PASSWORD=PASSWORD)
    asked: list[int] = []
    client.ready()
    client.ready()  # the connection before is let go of
    client.send(welcome(), limits=CallLimits(before_send=lambda: asked.append(len(mailbox.received)), slot_taken=True))
    client.send(welcome("jäne@exämple.com"))
    client.ready()
    client.close()
    client.send(welcome())
    assert asked == [0]
    assert [each.recipient for each in mailbox.received] == [
        "jane@example.com",
        "jäne@xn--exmple-cua.com",
        "jane@example.com",
    ]
    assert {each.message_id for each in mailbox.received} == {"<cb-abc@academy.example.test>"}
    assert "planted" not in repr(client)


def test_connection_is_made_anew_when_it_was_made_ready_long_ago(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(mailbox)
    client.ready()
    mailbox.inject(MailFault("connect", code=554))
    monkeypatch.setattr("worker.clients.mail.client.IDLE_LIMIT_SECONDS", -1.0)
    assert failure(lambda: client.send(welcome())).status == 554


def test_login_is_by_the_older_way_when_only_that_is_offered(serve: Callable[..., Controller]) -> None:
    taking = Taking()
    controller = serve(taking, authenticator=authenticate, auth_require_tls=False, auth_exclude_mechanism=["PLAIN"])
    access = settings(controller.port, username=USER, password=PASSWORD)
    MailClient(access).send(welcome())
    assert len(taking.envelopes) == 1
    wrong = MailClient(access.model_copy(update={"username": "nobody"}))
    assert isinstance(failure(lambda: wrong.send(welcome())), AuthenticationError)


def test_login_is_refused_when_the_server_offers_none(serve: Callable[..., Controller]) -> None:
    taking = Taking()
    access = settings(serve(taking).port, username=USER, password=PASSWORD)
    assert "offers no login" in str(failure(MailClient(access).verify))


def test_address_beyond_ascii_is_refused_when_the_server_cannot_take_it(serve: Callable[..., Controller]) -> None:
    taking = Taking()
    client = MailClient(settings(serve(taking, enable_SMTPUTF8=False).port))
    error = failure(lambda: client.send(welcome("jäne@example.com")))
    assert (type(error), error.sent) == (InvalidRequestError, False)


def test_mail_is_refused_unsent_when_it_cannot_be_written(mailbox: Mailbox) -> None:
    mail = Mail(MailAddress("jane@example.com"), "Welcome", f"{LEARNERS_PASSWORD}\ud800", "cb-abc")
    error = failure(lambda: client_of(mailbox).send(mail))
    assert (type(error), error.sent) == (InvalidRequestError, False)
    assert mailbox.received == []


# What failures mean


class LeaseEndedError(Exception):
    pass


def test_nothing_is_mailed_when_the_caller_says_no_at_the_last_moment(mailbox: Mailbox) -> None:
    def refuse() -> None:
        raise LeaseEndedError

    with pytest.raises(LeaseEndedError):
        client_of(mailbox).send(welcome(), limits=CallLimits(before_send=refuse))
    assert mailbox.received == []


@pytest.mark.parametrize("stage", ["connect", "ehlo", "auth", "mail", "rcpt", "data"])
@pytest.mark.parametrize("kind", ["reply", "cut", "hang"])
def test_it_may_be_sent_again_when_anything_fails_before_the_whole_mail(
    mailbox: Mailbox, stage: Any, kind: Any
) -> None:
    client = client_of(mailbox, CARTBRIDGE_MAIL__USERNAME=USER, CARTBRIDGE_MAIL__PASSWORD=PASSWORD)
    mailbox.inject(MailFault(stage, kind))
    error = failure(lambda: client.send(welcome(), limits=CallLimits(deadline_seconds=0.15)))
    assert (error.retryable, error.outcome_unknown) == (True, False)
    assert mailbox.received == []
    client.send(welcome())
    assert len(mailbox.received) == 1


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize(("kind", "error_type"), [("cut", ApiConnectionError), ("hang", ApiTimeoutError)])
def test_outcome_is_unknown_when_the_answer_to_the_final_dot_is_lost(
    mailbox: Mailbox, kind: Any, error_type: type[ApiError], taken: bool
) -> None:
    mailbox.inject(MailFault("content", kind, taken=taken))
    # Long enough for all that goes before, on the slowest machine; a cut is noticed at once.
    limits = CallLimits(deadline_seconds=20.0 if kind == "cut" else 2.0)
    error = failure(lambda: client_of(mailbox).send(welcome(), limits=limits))
    assert (type(error), error.retryable, error.outcome_unknown) == (error_type, False, True)
    assert len(mailbox.received) == taken


@pytest.mark.parametrize(
    ("stage", "code", "error_type"),
    [
        ("rcpt", 450, RateLimitedError),
        ("content", 451, RateLimitedError),
        ("rcpt", 550, InvalidRequestError),
        ("content", 554, InvalidRequestError),
    ],
)
def test_answer_decides_when_the_server_refuses_the_mail(
    mailbox: Mailbox, stage: Any, code: int, error_type: type[ApiError]
) -> None:
    mailbox.inject(MailFault(stage, code=code, text=f"5.1.1 <jane@example.com> {PASSWORD} {LEARNERS_PASSWORD}"))
    client = client_of(mailbox, CARTBRIDGE_MAIL__USERNAME=USER, CARTBRIDGE_MAIL__PASSWORD=PASSWORD)
    error = failure(lambda: client.send(welcome()))
    assert (type(error), error.status, error.outcome_unknown) == (error_type, code, False)
    assert mailbox.received == []


def test_call_ends_at_its_read_timeout_when_the_server_is_silent(mailbox: Mailbox) -> None:
    mailbox.inject(MailFault("ehlo", "hang"), MailFault("connect", text="x" * 9000))
    client = client_of(mailbox, CARTBRIDGE_MAIL__READ_TIMEOUT_SECONDS="0.5")
    assert "cannot be read" in str(failure(client.verify))  # a line that never ends
    began = time.monotonic()
    error = failure(client.verify)
    assert isinstance(error, ApiTimeoutError)
    assert time.monotonic() - began < 8  # the deadline alone would be 10 s and more


def test_nobody_answers_when_the_port_is_closed(mailbox: Mailbox) -> None:
    client = client_of(mailbox)
    mailbox.stop()
    error = failure(client.ready)
    assert (type(error), error.unreachable) == (ApiConnectionError, True)


def test_mails_of_many_threads_each_arrive_once_when_they_share_a_client(mailbox: Mailbox) -> None:
    client = client_of(mailbox)

    def send(number: int) -> None:
        client.ready()
        client.send(welcome(f"learner-{number}@example.com"))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(each.recipient for each in mailbox.received) == [f"learner-{n}@example.com" for n in range(8)]


def test_client_is_refused_when_its_settings_lack_something() -> None:
    for lacking in ({"host": None}, {"sender": None}, {"username": USER}):
        with pytest.raises(ConfigurationError, match="CARTBRIDGE_MAIL__HOST"):
            MailClient(settings(25, **lacking))
