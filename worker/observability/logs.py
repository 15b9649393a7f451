"""One way out for every log line of the process: structlog over the standard library, with every secret masked.

Ours and the libraries' records (Celery, kombu, uvicorn, SQLAlchemy, warnings) meet in one handler on the root logger,
so that no other handler can print what this one would have masked. To keep it so, uvicorn is started with
`log_config=None`, and Celery's `setup_logging` signal is connected to a call of `configure_logging`.
Use: `log = structlog.get_logger(__name__)`, then `log.info("order planned", order="studiocart/1109")`.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

from worker.settings.settings import Settings
from worker.text.control_characters import CONTROL_CHARACTERS
from worker.text.redaction import MASK, SecretRegistry

known_secrets = SecretRegistry()
"""The process's secrets: those of the settings, from `configure_logging` on, and each token as it is received."""

QUIET_LOGGERS = {
    "urllib3": "a debug line holds the URL, and with it a password or a token",
    "requests": "as urllib3",
    "uvicorn.access": "a line holds the URL's query",
    "celery.app.trace": "two lines a message; the ledger holds what happened",
    "celery.worker.strategy": "as celery.app.trace",
    "celery.beat": "a line every sweep, some 40,000 a day",
    "alembic.runtime.migration": "two lines of plumbing a look at the schema; `migrate` itself says what it did",
}
"""Loggers that are heard from WARNING on, whoever sets them lower, and why."""

_FIRST_MEMBERS = ("timestamp", "level", "logger", "event")


def configure_logging(settings: Settings, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send every log line to `stream` (default: stderr as it is now), as `settings.log_format` says; safe to repeat.

    Adds the settings' secrets to `known_secrets`. Takes the handlers off every logger there is, the root included: call
    it before a framework starts, and again after one has set up its own.
    """
    for value in settings.secret_values():
        known_secrets.add(value)
    output = sys.stderr if stream is None else stream
    on_terminal = output.isatty()
    log_format = settings.log_format or ("console" if on_terminal else "json")
    handler = _Handler(output)
    handler.setFormatter(_console_formatter(colors=on_terminal) if log_format == "console" else _json_formatter())
    handler.addFilter(_is_heard)
    _take_over_loggers()
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared_processors(),
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def log_context(
    *, run_id: str | None = None, step: str | None = None, attempt: int | None = None, order: str | None = None
) -> AbstractContextManager[None]:
    """Put these on every line logged inside the `with`, by this thread or task; what is None is left as it is.

    `order` is written `source/id`. None of them is personal data.
    """
    given = {"run_id": run_id, "step": step, "attempt": attempt, "order": order}
    return structlog.contextvars.bound_contextvars(
        **{name: value for name, value in given.items() if value is not None}
    )


def log_uncaught_exceptions() -> None:
    """Have exceptions that nobody caught, in any thread, logged and so masked, instead of printed as they are.

    For the entry point of a process; Ctrl-C keeps its usual end.
    """
    logger = logging.getLogger("worker")

    def log_it(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, traceback)
        else:
            logger.critical("uncaught exception", exc_info=(kind, error, traceback))

    def log_threads(args: threading.ExceptHookArgs) -> None:
        # As `threading` itself: a thread may end itself by SystemExit, and an error may be gone when it is reported.
        if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
            log_it(args.exc_type, args.exc_value, args.exc_traceback)

    sys.excepthook = log_it
    threading.excepthook = log_threads


class _Handler(logging.StreamHandler[TextIO]):
    """A stream handler that does not print a record it could not render: logging would, arguments and all."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        kind = type(sys.exc_info()[1]).__name__
        # Where the stream itself is broken or closed there is nobody left to tell.
        with suppress(OSError, ValueError):
            self.stream.write(f"a log record of {record.name} could not be written ({kind})\n")


def _is_heard(record: logging.LogRecord) -> bool:
    """False for what a quiet logger, or one below it, says under WARNING, whatever level a library has set it to."""
    return record.levelno >= logging.WARNING or not any(
        record.name == name or record.name.startswith(f"{name}.") for name in QUIET_LOGGERS
    )


def _take_over_loggers() -> None:
    """Leave every logger without handlers of its own, so that its records reach the root's."""
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger) and logger.handlers:
            logger.handlers.clear()
            logger.propagate = True


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(*last: Processor) -> structlog.stdlib.ProcessorFormatter:
    # Tracebacks become text before the masking, without the values of local variables.
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared_processors(),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            _mask_secrets,
            *last,
        ],
    )


def _json_formatter() -> logging.Formatter:
    """One JSON object a line. Masked member by member: masking the finished line could tear its quotes."""
    return _formatter(structlog.processors.JSONRenderer(sort_keys=False))


def _console_formatter(*, colors: bool) -> logging.Formatter:
    return _formatter(
        _escape_control_characters,
        structlog.dev.ConsoleRenderer(
            colors=colors, exception_formatter=structlog.dev.plain_traceback, sort_keys=False
        ),
    )


def _mask_secrets(_logger: object, _method: str, event_dict: EventDict) -> Mapping[str, Any]:
    ordered = {name: event_dict[name] for name in _FIRST_MEMBERS if name in event_dict} | dict(event_dict)
    masked: dict[str, Any] = _masked(ordered)
    return masked


def _masked(value: Any) -> Any:
    """`value` with every secret masked, made of what JSON knows: any other object becomes its masked repr."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return known_secrets.redact(value)
    if isinstance(value, int | float):
        text = str(value)
        masked = known_secrets.redact(text)
        return value if masked == text else masked
    if isinstance(value, Mapping):
        return {known_secrets.redact(str(key)): _masked_member(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(item) for item in value]
    return known_secrets.redact(repr(value))


def _masked_member(name: str, value: Any) -> Any:
    """A member whose name says that it is secret is masked whatever it holds: it may not be known yet."""
    is_secret = known_secrets.redact(f"{name}=x") != f"{name}=x"
    return MASK if is_secret and value is not None else _masked(value)


def _escape_control_characters(
    _logger: object, _method: str, event_dict: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Show what would move a terminal's cursor, and indent a text's further lines: none must pass for a log line."""
    return {
        name: value.translate(CONTROL_CHARACTERS).strip("\n").replace("\n", "\n    ")
        if isinstance(value, str)
        else value
        for name, value in event_dict.items()
    }
