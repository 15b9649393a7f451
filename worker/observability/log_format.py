"""How a log line looks: structlog's processors, with every secret masked in whatever is printed."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor

from worker.text.control_characters import CONTROL_CHARACTERS
from worker.text.email_address import without_emails
from worker.text.redaction import MASK, SecretRegistry

_MOST_NAMES = 200
# PostgreSQL's row that breaks a constraint, which may have several lines; and what pydantic could not read.
_QUOTED: Final = re.compile(
    r"^(DETAIL:)[^\n]*+(?:\n(?!HINT:|CONTEXT:|\[SQL:|\(Background|Traceback |The above |During |\n)[^\n]*+)*+"
    r"|(input_value=)[^\n]*+",
    re.MULTILINE,
)
_FIRST_MEMBERS = ("timestamp", "level", "logger", "event")


def configure_structlog() -> None:
    """Send what structlog's loggers are given to the standard library's. Safe to repeat."""
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


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(secrets: SecretRegistry, *last: Processor) -> structlog.stdlib.ProcessorFormatter:
    # Tracebacks become text before the masking, without the values of local variables.
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_add_what_it_is_about, *_shared_processors()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            _leave_out_values,
            _Masking(secrets),
            *last,
        ],
    )


def _leave_out_values(_logger: object, _method: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take out of a traceback what an error quotes of a row or a record: it may be somebody's name and address."""
    told = event_dict.get("exception")
    if isinstance(told, str):
        event_dict["exception"] = without_emails(_QUOTED.sub(lambda found: f"{found[1] or found[2]} …", told))
    return event_dict


def _add_what_it_is_about(_logger: object, _method: str, event_dict: EventDict) -> EventDict:
    """The members that a record of the standard library's brings as its `about`."""
    event_dict.update(getattr(event_dict["_record"], "about", ()))
    return event_dict


def formatter_of(log_format: str, *, colors: bool, secrets: SecretRegistry) -> logging.Formatter:
    """The formatter of one of the forms: `json`, one object a line, or `console`.

    JSON is masked member by member: masking the finished line could tear its quotes.
    """
    if log_format == "json":
        return _formatter(secrets, structlog.processors.JSONRenderer(sort_keys=False))
    return _formatter(
        secrets,
        _escape_control_characters,
        structlog.dev.ConsoleRenderer(
            colors=colors, exception_formatter=structlog.dev.plain_traceback, sort_keys=False
        ),
    )


class _Masking:
    """Masks every secret of an event, member by member."""

    def __init__(self, secrets: SecretRegistry) -> None:
        self._redact = secrets.redact
        self._secrets = secrets
        self._names: dict[str, tuple[str, bool]] = {}
        self._names_hold_for: object = None

    def __call__(self, _logger: object, _method: str, event_dict: EventDict) -> Mapping[str, Any]:
        ordered = {name: event_dict[name] for name in _FIRST_MEMBERS if name in event_dict} | dict(event_dict)
        stamp = ordered.pop("timestamp")  # ours, and new with every line: masking it took as long as all the rest
        masked: dict[str, Any] = self._masked(ordered)
        return {"timestamp": stamp} | masked

    def _masked(self, value: Any) -> Any:
        """`value` with every secret masked, made of what JSON knows: any other object becomes its masked repr."""
        if isinstance(value, str):
            return self._redact(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            text = str(value)
            masked = self._redact(text)
            return value if masked == text else masked
        if isinstance(value, Mapping):
            members = {}
            for name, item in value.items():
                shown, is_secret = self._name(str(name))
                members[shown] = MASK if is_secret and item is not None else self._masked(item)
            return members
        if isinstance(value, list | tuple | set | frozenset):
            return [self._masked(item) for item in value]
        return self._redact(repr(value))

    def _name(self, name: str) -> tuple[str, bool]:
        """A member's name, masked, and whether it says that what it holds is secret: that may not be known yet."""
        if self._names_hold_for is not self._secrets.spellings or len(self._names) > _MOST_NAMES:
            self._names, self._names_hold_for = {}, self._secrets.spellings
        found = self._names.get(name)
        if found is None:
            found = self._names[name] = self._redact(name), self._redact(f"{name}=x") != f"{name}=x"
        return found


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
