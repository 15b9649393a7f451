"""No secret, token or learner's password in any log line, exception text or ledger column, whatever goes wrong."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from tests.faults.harness.mail_product import KEY, LEARNERS_PASSWORD, MailRig
from tests.faults.harness.product import ON_SQLITE, NewRig, Rig
from worker.observability.logs import configure_logging
from worker.sandbox import SECRET_MARKS, Fault, Sandbox
from worker.sandbox.mailbox import Mailbox, MailFault

pytestmark = pytest.mark.faults

PAGES: dict[str, dict[str, Any]] = {
    "hang": {"kind": "hang"},
    "cut": {"kind": "cut"},
    "half_answer": {"kind": "half_answer"},
    "html": {"kind": "html"},
    "empty": {"kind": "empty"},
    "dribble": {"kind": "dribble", "seconds": 0.05},
    "400": {"kind": "status", "status": 400},
    "401": {"kind": "status", "status": 401},
    "403": {"kind": "status", "status": 403},
    "404": {"kind": "status", "status": 404},
    "429": {"kind": "status", "status": 429},
    "500": {"kind": "status", "status": 500},
    "503": {"kind": "status", "status": 503},
    "302": {"kind": "status", "status": 302, "headers": {"Location": "/elsewhere?password=sandbox-password-x"}},
}
OPERATIONS = ("requestToken", "addCustomer", "addCustomerToGroup", "addCompOrder", "getOrdersByDate")


class EverythingSaid(logging.Handler):
    """Keeps every record of every logger as it would be written without any masking, causes and contexts included."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name} {record.getMessage()} {record.args!r}")
        if record.exc_info and record.exc_info[1] is not None:
            self.lines += texts_of(record.exc_info[1])


def texts_of(error: BaseException) -> list[str]:
    """All that an exception and everything it carries along could tell whoever prints it."""
    reported = ["".join(traceback.format_exception(error))]
    waiting: list[BaseException | None] = [error]
    seen: list[BaseException] = []
    while waiting:
        each = waiting.pop()
        if each is not None and each not in seen:
            seen.append(each)
            reported += [str(each), repr(each), repr(each.args), repr(vars(each))]
            waiting += [each.__cause__, each.__context__]
    return reported


@pytest.fixture
def said() -> Iterator[EverythingSaid]:
    """Every logger at DEBUG, the noisiest included."""
    handler = EverythingSaid()
    root = logging.getLogger()
    loggers = [root, *(each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    before = [(logger, logger.level, logger.disabled) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.disabled = False
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    for logger, level, disabled in before:
        logger.setLevel(level)
        logger.disabled = disabled


def assert_no_secret(rig: Rig, *texts: str) -> None:
    secrets = [*SECRET_MARKS, *rig.settings.secret_values()]
    for text in texts:
        for secret in secrets:
            assert secret not in text, f"{secret} in: …{around(text, secret)}…"


def around(text: str, secret: str) -> str:
    at = text.index(secret)
    return text[max(at - 200, 0) : at + 60]


@ON_SQLITE
@pytest.mark.parametrize("refusal", ["401", "403", "200", "500"])
def test_no_secret_shows_when_every_fault_hits_every_call(new_rig: NewRig, said: EverythingSaid, refusal: Any) -> None:
    rig = new_rig(CARTBRIDGE_RETRY__MAX_ATTEMPTS="50")
    rig.sandbox.config.learningcart.refusal = refusal
    raised: list[str] = []
    judge_errors(rig, raised)
    names = ["cut", "html", "500", "401"] if refusal != "401" else list(PAGES)
    for number, name in enumerate(names):
        for operation in OPERATIONS:
            rig.sandbox.inject(Fault("learningcart", operation, **PAGES[name]))
        if name != "cut":  # so that there is something to look up
            rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut"))
        rig.sandbox.learningcart.revoke_tokens()
        rig.enrol(7001 + number, email=f"learner-{number}@example.test")
        for _ in range(4):
            rig.finish()
            rig.runtime.operations.resume("learningcart", actor="operator:test")
    rig.sandbox.config.learningcart.password = "sandbox-password-rotated"
    rig.sandbox.learningcart.revoke_tokens()
    rig.enrol(7100, email="late@example.test")
    for _ in range(5):  # it waits for good: the wrong password is refused, or hidden in the server's own page
        rig.go_on()
        rig.clock.move(3600)
    assert raised
    assert len(said.lines) > 100
    assert_no_secret(rig, rig.everything_stored(), *raised, *said.lines)
    assert LEARNERS_PASSWORD not in rig.everything_stored()


def judge_errors(rig: Rig, raised: list[str]) -> None:
    """Note all that the errors tell which come out of the client."""
    client = rig.runtime.clients["learningcart"]
    for method in ("ready", "add_customer", "add_customer_to_group", "add_comp_order", "get_orders_by_date"):
        setattr(client, method, noting(getattr(client, method), raised))


def noting(call: Callable[..., Any], raised: list[str]) -> Callable[..., Any]:
    def noted(*arguments: Any, **options: Any) -> Any:
        try:
            return call(*arguments, **options)
        except Exception as error:
            raised.extend(texts_of(error))
            raise

    return noted


@ON_SQLITE
def test_no_secret_shows_when_cartbridge_itself_fails(rig: Rig, said: EverythingSaid) -> None:
    """A fault of our own may carry anything in its text: the ledger gets its name alone, and the log masks it."""
    stream = StringIO()
    run_id = rig.enrol()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"https://x.example/?password={rig.sandbox.config.learningcart.password}")

    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging(rig.settings, stream=stream, level=logging.DEBUG)
    try:
        rig.runtime.clients["learningcart"].add_customer = fail
        rig.go_on()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert rig.state(run_id) == ("waiting", "retrying")
    assert rig.run(run_id)["note"] == "RuntimeError in Cartbridge itself"
    assert "RuntimeError" in stream.getvalue()
    assert_no_secret(rig, rig.everything_stored(), stream.getvalue())


@ON_SQLITE
def test_no_password_is_kept_when_a_customer_is_new(rig: Rig, said: EverythingSaid) -> None:
    rig.enrol()
    rig.finish()
    assert_no_secret(rig, rig.everything_stored(), *said.lines)


def test_no_secret_shows_when_parts_are_printed(rig: Rig) -> None:
    rig.enrol()
    rig.finish()
    parts = [rig.settings, rig.runtime, rig.ledger, rig.ledger.engine, rig.executor, *rig.runtime.clients.values()]
    assert_no_secret(rig, *(repr(part) + str(part) for part in parts))


@ON_SQLITE
def test_no_password_shows_when_it_is_mailed_and_everything_goes_wrong(
    sandbox: Sandbox, ledger_url: str, tmp_path: Path, said: EverythingSaid
) -> None:
    """A new customer's password is sealed, mailed and erased; the mail's own login and the seal's key are as secret."""
    with Mailbox.start() as mailbox:
        login: dict[str, Any] = {
            "CARTBRIDGE_MAIL__USERNAME": "courses",
            "CARTBRIDGE_MAIL__PASSWORD": "sandbox-password-mail",
        }
        rig = MailRig(sandbox, ledger_url, tmp_path, mailbox, **login)
        raised: list[str] = []
        judge_errors(rig, raised)
        for method in ("ready", "send"):
            rig.around("mail", method, lambda call: noting(call, raised))
        word = "5.7.1 sandbox-password-mail is no password of <jane@example.test>"
        stages: tuple[Any, ...] = ("connect", "ehlo", "auth", "mail", "rcpt", "data", "content")
        faults = [MailFault(stage, kind) for stage in stages for kind in ("reply", "cut")]
        faults += [MailFault("content", "hang", taken=True), MailFault("rcpt", code=550, text=word)]
        for number, fault in enumerate(faults):
            mailbox.inject(fault)
            rig.enrol(7201 + number, email=f"learner-{number}@example.test")
            rig.go_on()
            rig.clock.move(3600)
            rig.runtime.operations.resume("mail", actor="operator:test")
        (tmp_path / "welcome.txt").write_text("Subject: x\n\n{{ learner[password] }}{{ password / 2 }}")
        broken = MailRig(
            sandbox,
            ledger_url,
            tmp_path,
            mailbox,
            clock=rig.clock,
            CARTBRIDGE_MAIL__TEMPLATES_DIRECTORY=str(tmp_path),
            **login,
        )
        broken.enrol(7300, email="late@example.test")
        broken.go_on()
        assert raised
        assert len(mailbox.received) > 5
        assert any(broken.stored_passwords)
        stored = broken.everything_stored()
        reported = [stored, *raised, *said.lines, repr(broken.runtime.clients), repr(broken.settings)]
        assert_no_secret(rig, *reported)
        assert KEY not in stored
        rig.close()
        broken.close()
