"""`worker.observability.logs`: every line of every logger takes one way out, and no secret is on it."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from pydantic import BaseModel, SecretStr

from worker.observability import logs
from worker.settings.settings import Settings
from worker.text.redaction import SecretRegistry

PLANTED = "planted'Secret\"91"
SETTINGS = Settings.model_validate({"learningcart": {"password": SecretStr(PLANTED)}, "log_format": "json"})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Shy:
    def __repr__(self) -> str:
        return f"Shy({PLANTED!r})"


@pytest.fixture(autouse=True)
def logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logs, "known_secrets", SecretRegistry())
    with warnings.catch_warnings():
        yield
        logging.captureWarnings(capture=False)
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    logs.configure_logging(SETTINGS, stream)
    return stream


@pytest.fixture
def terminal() -> Terminal:
    terminal = Terminal()
    logs.configure_logging(SETTINGS.model_copy(update={"log_format": None}), terminal)
    return terminal


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


# --- form


def test_line_is_a_json_object_when_not_on_a_terminal() -> None:
    stream = io.StringIO()
    logs.configure_logging(SETTINGS.model_copy(update={"log_format": None}), stream)
    structlog.get_logger("worker.ingest").info("order %s", "planned", order="studiocart/1109", runs=2, price=1.5)
    (line,) = lines(stream)
    assert list(line)[:4] == ["timestamp", "level", "logger", "event"]
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "worker.ingest",
        "event": "order planned",
        "order": "studiocart/1109",
        "runs": 2,
        "price": 1.5,
    }


def test_line_is_for_people_when_on_a_terminal(terminal: Terminal) -> None:
    structlog.get_logger("worker.ingest").info("order planned", order="studiocart/1109")
    text = terminal.getvalue()
    assert "order planned" in text
    assert "studiocart/1109" in text
    assert "\x1b[" in text
    assert not text.startswith("{")


@pytest.mark.parametrize(("log_format", "start"), [("json", "{"), ("console", "2")])
def test_setting_decides_when_it_names_a_form(log_format: str, start: str) -> None:
    for stream in (io.StringIO(), Terminal()):
        logs.configure_logging(SETTINGS.model_copy(update={"log_format": log_format}), stream)
        logging.getLogger("kombu").warning("hello")
        assert stream.getvalue().replace("\x1b[2m", "").startswith(start)


def test_lines_go_to_stderr_when_no_stream_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logging(SETTINGS)
    logging.getLogger("kombu").warning("hello")
    captured = capsys.readouterr()
    assert json.loads(captured.err)["event"] == "hello"
    assert captured.out == ""


def test_one_line_is_written_when_configured_twice(stream: io.StringIO) -> None:
    logs.configure_logging(SETTINGS, stream)
    logging.getLogger("kombu").warning("hello")
    assert len(lines(stream)) == 1


def test_level_decides_when_given(stream: io.StringIO) -> None:
    log = structlog.get_logger("worker")
    log.debug("not heard")
    logs.configure_logging(SETTINGS, stream, level=logging.DEBUG)
    log.debug("heard")
    assert [line["event"] for line in lines(stream)] == ["heard"]


# --- context


def test_context_is_on_every_line_when_inside_the_with(stream: io.StringIO) -> None:
    log = structlog.get_logger("worker")
    with logs.log_context(run_id="7", order="studiocart/1109"):
        with logs.log_context(step="add_customer", attempt=2):
            log.info("inner")
            logging.getLogger("celery").warning("foreign")
        log.info("outer")
    log.info("outside")
    names = ("run_id", "order", "step", "attempt")
    assert [{name: line[name] for name in names if name in line} for line in lines(stream)] == [
        {"run_id": "7", "order": "studiocart/1109", "step": "add_customer", "attempt": 2},
        {"run_id": "7", "order": "studiocart/1109", "step": "add_customer", "attempt": 2},
        {"run_id": "7", "order": "studiocart/1109"},
        {},
    ]


# --- secrets


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secret_is_masked_when_any_logger_speaks_of_it(log_format: str) -> None:
    stream = io.StringIO()
    logs.configure_logging(SETTINGS.model_copy(update={"log_format": log_format}), stream)
    log = structlog.get_logger("worker")
    whole_event = f"event {PLANTED}"
    log.info(whole_event, value=PLANTED, nested={"list": [PLANTED, {PLANTED: 1}], "tuple": (PLANTED,)})
    log.info("object", thing=Shy(), raw=PLANTED.encode(), error=ValueError(PLANTED), members={PLANTED})
    log.bind(bound=PLANTED).warning("%s", PLANTED)
    for name in ("celery.worker", "kombu", "uvicorn.error", "urllib3.connectionpool", "any.other"):
        logging.getLogger(name).warning("told %s", PLANTED)
        try:
            raise RuntimeError(PLANTED) from ValueError(PLANTED)
        except RuntimeError:
            logging.getLogger(name).exception("failed")
            log.exception("failed")
    logging.getLogger("kombu").warning("with a stack %s", PLANTED, stack_info=True)
    written = stream.getvalue()
    assert "RuntimeError: ***" in written
    assert "planted" not in written
    assert "91" not in written.replace("T", " ").replace(".", " ").split()


def test_masked_line_is_still_json_when_the_secret_ends_at_a_quote(stream: io.StringIO) -> None:
    logging.getLogger("kombu").warning('password=abc" and more')
    logging.getLogger("kombu").warning("token=abc\\")
    assert [line["event"] for line in lines(stream)] == ['password=***" and more', "token=***"]


def test_secret_is_masked_when_learnt_while_running(stream: io.StringIO) -> None:
    logs.known_secrets.add("0d6f7f43-fresh-token", rotating=True)
    structlog.get_logger("worker").info("got 0d6f7f43-fresh-token")
    assert lines(stream)[0]["event"] == "got ***"


def test_number_is_masked_when_it_is_a_secret(stream: io.StringIO) -> None:
    logs.known_secrets.add("90210")
    structlog.get_logger("worker").info("numbers", secret_like=90210, plain=7, yes=True, nothing=None)
    line = lines(stream)[0]
    assert (line["secret_like"], line["plain"], line["yes"], line["nothing"]) == ("***", 7, True, None)


def test_member_is_masked_when_its_name_says_that_it_is_secret(stream: io.StringIO) -> None:
    structlog.get_logger("worker").info("call", api_key="not known yet", params={"password": 12345, "token": None})
    line = lines(stream)[0]
    assert (line["api_key"], line["params"]) == ("***", {"password": "***", "token": None})


def test_nothing_of_the_record_is_printed_when_it_cannot_be_rendered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stream = io.StringIO()
    logs.configure_logging(SETTINGS, stream)  # here: between a fixture and its test pytest adds handlers of its own
    logging.getLogger("kombu").warning("%d", PLANTED)
    assert stream.getvalue() == "a log record of kombu could not be written (TypeError)\n"
    assert capsys.readouterr().err == ""


def test_logging_goes_on_when_the_stream_is_closed(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    logs.configure_logging(SETTINGS, stream)
    stream.close()
    logging.getLogger("kombu").warning("hello")
    assert capsys.readouterr().err == ""


# --- one way out


def test_other_handlers_are_removed_when_a_library_has_put_them_up() -> None:
    elsewhere = io.StringIO()
    noisy = logging.getLogger("library.with.handler")
    noisy.addHandler(logging.StreamHandler(elsewhere))
    noisy.propagate = False
    logging.getLogger().addHandler(logging.StreamHandler(elsewhere))
    stream = io.StringIO()
    logs.configure_logging(SETTINGS, stream)
    noisy.warning("hello")
    assert elsewhere.getvalue() == ""
    assert [line["event"] for line in lines(stream)] == ["hello"]


@pytest.mark.parametrize(
    "name", ["urllib3", "urllib3.connectionpool", "requests", "requests.sessions", "uvicorn.access"]
)
def test_quiet_logger_is_heard_from_warning_on_when_set_to_debug(stream: io.StringIO, name: str) -> None:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.debug("GET /requestToken?password=abc")
    logger.info("GET /requestToken?password=abc")
    logger.warning("connection pool is full")
    logger.setLevel(level)
    assert [line["event"] for line in lines(stream)] == ["connection pool is full"]


def test_logger_is_heard_when_its_name_only_begins_like_a_quiet_one(stream: io.StringIO) -> None:
    logging.getLogger("requests_mock").info("hello")
    assert len(lines(stream)) == 1


def test_warning_becomes_a_line_when_issued(stream: io.StringIO) -> None:
    warnings.simplefilter("always")
    warnings.warn(f"deprecated {PLANTED}", UserWarning, stacklevel=1)
    (line,) = lines(stream)
    assert line["logger"] == "py.warnings"
    assert "UserWarning: deprecated ***" in line["event"]


def test_text_cannot_forge_a_line_when_on_a_terminal(terminal: Terminal) -> None:
    logging.getLogger("kombu").warning("name\x1b[2J\r\n2026-01-01 [info] all is well\n\n")
    text = terminal.getvalue()
    assert "name\\x1b[2J\\x0d\n    2026-01-01 [info] all is well" in text


# --- uncaught


def test_uncaught_exception_is_a_masked_line_when_logged(stream: io.StringIO) -> None:
    logs.log_uncaught_exceptions()
    error = ValueError(PLANTED)
    sys.excepthook(ValueError, error, None)
    (line,) = lines(stream)
    assert (line["level"], line["event"], line["exception"]) == ("critical", "uncaught exception", "ValueError: ***")


def test_uncaught_exception_of_a_thread_is_a_masked_line_when_logged(stream: io.StringIO) -> None:
    logs.log_uncaught_exceptions()

    def fail() -> None:
        raise ValueError(PLANTED)

    def leave() -> None:
        raise SystemExit

    for target in (fail, leave):
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
    (line,) = lines(stream)
    assert line["exception"].endswith("ValueError: ***")


def test_interrupt_keeps_its_usual_end_when_uncaught(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(sys, "__excepthook__", lambda *args: seen.append(args[0]))
    logs.log_uncaught_exceptions()
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert seen == [KeyboardInterrupt]
    assert stream.getvalue() == ""


class Record(BaseModel):
    quantity: int


ROW = "null value\nDETAIL:  Failing row contains (7, Jane, 1 Elm\nStreet, jane@example.test).\n[SQL: INSERT INTO runs]"
WHO = "Jane of Elm Street"


def refuse(told: str) -> None:
    raise RuntimeError(told)


@pytest.mark.parametrize(
    ("raised_by", "quoted", "kept"),
    [
        (lambda told: Record(quantity=told), WHO, "Input should be a valid integer"),
        (int, "jane@example.test", "invalid literal for int"),
        (refuse, ROW, "[SQL: INSERT INTO runs]"),
    ],
)
def test_nobody_is_named_when_an_error_quotes_a_row_or_a_record(
    stream: io.StringIO, raised_by: Callable[[str], object], quoted: str, kept: str
) -> None:
    try:
        raised_by(quoted)
    except (ValueError, RuntimeError):
        logging.getLogger("worker.test").exception("failed")
    (line,) = lines(stream)
    assert kept in line["exception"]
    for trace in ("Jane", "Elm", "Street", "jane@example"):
        assert trace not in line["exception"]
