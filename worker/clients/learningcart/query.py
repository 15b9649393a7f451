"""LearningCart's queries: their dates, and their limit, for which addresses are cut, never a name or a reference."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote, urlencode

from worker.errors import InvalidRequestError

log = logging.getLogger(__name__)

QUERY_LIMIT_BYTES: Final = 2047
"""IIS answers 404 to a query of more than 2,048 bytes; its question mark is counted here."""

_ADDRESSES: Final = frozenset(
    f"{kind}{part}"
    for kind in ("", "Shipping")
    for part in ("Address1", "Address2", "City", "State", "Province", "CountryName", "Zip")
)


def query_bytes(parameters: Mapping[str, str]) -> int:
    """How long the parameters are as a query, escaped as they are sent."""
    return len(urlencode(parameters, quote_via=quote))


def fitting(operation: str, parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters, with addresses cut at their ends where the query would be too long for LearningCart.

    Says so in the log. Raises `InvalidRequestError`, of which nothing was sent, where that does not help; it names the
    longest field and its length.
    """
    fitted = dict(parameters)
    # Escaped, a byte takes three at most: most queries are known to fit before they are.
    if 3 * sum(len(part.encode()) + 1 for item in fitted.items() for part in item) <= QUERY_LIMIT_BYTES:
        return fitted
    whole = query_bytes(fitted)
    if whole <= QUERY_LIMIT_BYTES:
        return fitted
    cut: set[str] = set()
    while (left := query_bytes(fitted) - QUERY_LIMIT_BYTES) > 0:
        name = max(
            (name for name in fitted if name in _ADDRESSES),
            key=lambda name: (len(quote(fitted[name])), name),
            default=None,
        )
        if name is None:
            raise _too_long(operation, parameters, whole)
        cut.add(name)
        fitted[name] = _shortened(fitted[name], len(quote(fitted[name])) - left)
        if not fitted[name]:
            del fitted[name]
    log.warning(
        "learningcart %s: the query would have %d bytes, LearningCart takes %d; %s shortened",
        operation,
        whole,
        QUERY_LIMIT_BYTES,
        " and ".join(sorted(cut)),
    )
    return fitted


def _shortened(text: str, most_bytes: int) -> str:
    """The beginning of a text, at most so long when it is escaped."""
    short, length = "", 0
    for letter in text:
        length += len(quote(letter))
        if length > most_bytes:
            break
        short += letter
    return short.strip()


def _too_long(operation: str, parameters: Mapping[str, str], whole: int) -> InvalidRequestError:
    name = max(parameters, key=lambda name: len(quote(parameters[name])))
    return InvalidRequestError(
        f"learningcart {operation}: not sent, the query would have {whole} bytes and LearningCart takes "
        f"{QUERY_LIMIT_BYTES}; {name} alone has {len(quote(parameters[name]))} ({len(parameters[name])} characters). "
        "Shorten it in the source system.",
        system="learningcart",
        operation=operation,
        sent=False,
    )


def window(begin_at: datetime | None, end_at: datetime | None) -> dict[str, str]:
    """Return the parameters of a window.

    ISO 8601 is the one notation .NET reads alike in every culture (05/06 is May or June); and without a zone, because
    with one it would be converted to the server's own, and every date it answers is without one too.
    """
    parameters: dict[str, str] = {}
    if begin_at is not None:
        parameters["BeginDate"] = _iso(begin_at)
    if end_at is not None:
        # Cut to the second, the window would end before the moment asked for.
        parameters["EndDate"] = _iso(end_at + timedelta(seconds=1) if end_at.microsecond else end_at)
    return parameters


def _iso(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError("a date needs its zone")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
