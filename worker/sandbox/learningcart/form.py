"""How LearningCart writes its answers: wrapped or bare, spaced or joined keys, JSON or XML, dates in four notations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final
from xml.sax.saxutils import escape

from worker.sandbox.config import LearningCartConfig
from worker.sandbox.wire import Answer

_NAMESPACE: Final = "http://schemas.datacontract.org/2004/07/LearningCart"
_INSTANCE: Final = "http://www.w3.org/2001/XMLSchema-instance"
_WCF_DATE: Final = re.compile(r"/Date\((-?\d+)(?:[+-]\d{4})?\)/")
_US_DATES: Final = ("%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M %p", "%m/%d/%Y %I:%M:%S %p")


REQUEST_ERROR_PAGE: Final = (
    b'<?xml version="1.0" encoding="utf-8"?>\r\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" '
    b'"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\r\n<html xmlns="http://www.w3.org/1999/xhtml"><head>'
    b'<title>Request Error</title></head><body><div id="content"><p class="heading1">Request Error</p><p>The server '
    b"encountered an error processing the request. See server logs for more details.</p></div></body></html>"
)
"""What WCF makes of any exception that nobody handles, with status 400."""


def render(value: object, *, method: str, kind: str, config: LearningCartConfig) -> Answer:
    """Return `value` as the answer of `method`.

    `value` is JSON with spaced keys, in which a `datetime` stands for a vendor date. `kind` names the type of what it
    holds (`Order`, `boolean`) for the XML form, where a list becomes `ArrayOf<kind>`.
    """
    if config.form == "xml":
        return Answer.of_xml(_xml_document(value, kind, config))
    shown = _jsonable(value, config)
    if config.wrap == "d":
        shown = {"d": shown}
    elif config.wrap == "result":
        shown = {f"{method}Result": shown}
    return Answer.of_json(shown)


def site_zone(config: LearningCartConfig) -> timezone:
    """Return the site's time zone."""
    return timezone(timedelta(minutes=config.utc_offset_minutes))


def date_fields(name: str, moment: datetime | None, config: LearningCartConfig) -> dict[str, Any]:
    """Return a date as every record carries it: under its name, and as text in the site's time beside it."""
    text = None if moment is None else us_text(moment.astimezone(site_zone(config)))
    return {name: moment, f"{name} String": text}


def us_text(local: datetime) -> str:
    """Return .NET's default American notation, `5/27/2023 1:44:00 PM`."""
    hour = local.hour % 12 or 12
    half = "AM" if local.hour < 12 else "PM"
    return f"{local.month}/{local.day}/{local.year} {hour}:{local:%M:%S} {half}"


def read_date(text: str, config: LearningCartConfig) -> datetime:
    """Read a date parameter: ISO 8601, American, or `/Date(ms)/`; without an offset it is in the site's time.

    Raises `ValueError` for anything else.
    """
    wcf = _WCF_DATE.fullmatch(text.strip())
    if wcf:
        try:
            return datetime.fromtimestamp(int(wcf[1]) / 1000, UTC)
        except (OverflowError, OSError) as error:
            raise ValueError("a date out of range") from error
    moment = _read_written_date(text.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=site_zone(config))
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a date out of range") from error


def _read_written_date(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        for pattern in _US_DATES:
            try:
                return datetime.strptime(text, pattern)  # noqa: DTZ007 -- the site's zone is added by the caller
            except ValueError:
                continue
        raise


def _vendor_date(moment: datetime, config: LearningCartConfig) -> str:
    milliseconds = round(moment.timestamp() * 1000)
    if config.dates == "wcf":
        return f"/Date({milliseconds})/"
    local = moment.astimezone(site_zone(config))
    if config.dates == "wcf_offset":
        return f"/Date({milliseconds}{local:%z})/"
    return local.replace(tzinfo=None).isoformat(timespec="seconds")


def _jsonable(value: object, config: LearningCartConfig) -> object:
    if isinstance(value, datetime):
        return _vendor_date(value, config)
    if isinstance(value, Mapping):
        joined = config.keys == "joined"
        return {name.replace(" ", "") if joined else name: _jsonable(item, config) for name, item in value.items()}
    if isinstance(value, list):
        return [_jsonable(item, config) for item in value]
    return value


def _xml_document(value: object, kind: str, config: LearningCartConfig) -> str:
    root = f"ArrayOf{kind}" if isinstance(value, list) else kind
    return _xml_element(root, value, config, attributes=f' xmlns="{_NAMESPACE}" xmlns:i="{_INSTANCE}"')


def _xml_element(name: str, value: object, config: LearningCartConfig, attributes: str = "") -> str:
    tag = name.replace(" ", "_x0020_" if config.keys == "spaced" else "")
    if value is None:
        return f'<{tag}{attributes} i:nil="true"/>'
    if isinstance(value, Mapping):
        inner = "".join(_xml_element(key, item, config) for key, item in value.items())
    elif isinstance(value, list):
        # The rows of a list carry the name of their type, which for a list inside a record is its name without the "s".
        row = tag.removeprefix("ArrayOf").removesuffix("s")
        inner = "".join(_xml_element(row, item, config) for item in value)
    elif isinstance(value, bool):
        inner = str(value).lower()
    elif isinstance(value, datetime):
        inner = value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    else:
        inner = escape(str(value))
    return f"<{tag}{attributes}>{inner}</{tag}>"
