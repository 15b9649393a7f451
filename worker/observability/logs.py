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
from contextlib import AbstractContextManager, suppress
from functools import lru_cache
from types import TracebackType
from typing import TextIO

from worker.settings.settings import Settings
from worker.text.redaction import SecretRegistry

known_secrets = SecretRegistry()
"""The process's secrets: those of the settings, from `configure_logging` on, and each token as it is received."""

QUIET_LOGGERS = {
    "urllib3": "a debug line holds the URL, and with it a password or a token",
    "requests": "as urllib3",
    "uvicorn.access": "a line holds the URL's query",
    "celery.app.trace": "two lines a message; the ledger holds what happened",
    "celery.worker.strategy": "as celery.app.trace",
    "celery.beat": "a line every sweep, some 40,000 a day",
    "alembic.runtime.plugins": "seven lines at each start, of what Alembic is made of",
    "alembic.runtime.migration": "two lines of plumbing a look at the schema; `migrate` itself says what it did",
}
"""Loggers that are heard from WARNING on, whoever sets them lower, and why."""


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
    handler.setFormatter(_FirstNeededFormatter(log_format, colors=on_terminal))
    handler.addFilter(_is_heard)
    _take_over_loggers()
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    if "structlog" in sys.modules:
        from worker.observability.log_format import configure_structlog  # noqa: PLC0415 -- see `_FirstNeededFormatter`

        configure_structlog()


def log_context(
    *, run_id: str | None = None, step: str | None = None, attempt: int | None = None, order: str | None = None
) -> AbstractContextManager[None]:
    """Put these on every line logged inside the `with`, by this thread or task; what is None is left as it is.

    `order` is written `source/id`. None of them is personal data.
    """
    from structlog.contextvars import bound_contextvars  # noqa: PLC0415 -- see `_FirstNeededFormatter`

    given = {"run_id": run_id, "step": step, "attempt": attempt, "order": order}
    return bound_contextvars(**{name: value for name, value in given.items() if value is not None})


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


class _FirstNeededFormatter(logging.Formatter):
    """Structlog's formatter, imported with the first line: it brings Rich, and most commands log nothing."""

    def __init__(self, log_format: str, *, colors: bool) -> None:
        super().__init__()
        self._log_format, self._colors = log_format, colors
        self._formatter: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line, every secret masked."""
        if self._formatter is None:
            from worker.observability.log_format import formatter_of  # noqa: PLC0415 -- see above

            self._formatter = formatter_of(self._log_format, colors=self._colors, secrets=known_secrets)
        return self._formatter.format(record)


class _Handler(logging.StreamHandler[TextIO]):
    """A stream handler that does not print a record it could not render: logging would, arguments and all."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        kind = type(sys.exc_info()[1]).__name__
        # Where the stream itself is broken or closed there is nobody left to tell.
        with suppress(OSError, ValueError):
            self.stream.write(f"a log record of {record.name} could not be written ({kind})\n")


def _is_heard(record: logging.LogRecord) -> bool:
    """False for what a quiet logger, or one below it, says under WARNING, whatever level a library has set it to."""
    return record.levelno >= logging.WARNING or not _is_quiet(record.name)


@lru_cache(maxsize=256)
def _is_quiet(logger: str) -> bool:
    return any(logger == name or logger.startswith(f"{name}.") for name in QUIET_LOGGERS)


def _take_over_loggers() -> None:
    """Leave every logger without handlers of its own, so that its records reach the root's."""
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger) and logger.handlers:
            logger.handlers.clear()
            logger.propagate = True
