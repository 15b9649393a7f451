"""What settings are made of: the group, and the types of single values.

A type says what a text must look like to be an address, a duration, a moment or a secret. Every refusal is a
`PydanticCustomError` whose sentence holds no part of the value: an address may hold a password.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated
from urllib.parse import parse_qsl, unquote, urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, StringConstraints
from pydantic_core import PydanticCustomError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

_HOST = re.compile(r"[a-z0-9.-]+(:[0-9]+)?")
_OFFSET = re.compile(r"([+-])(0[0-9]|1[0-4]):?([0-5][0-9])")
_STATUS_ID = re.compile(r"[1-9][0-9]{0,8}")

YEAR_SECONDS = 366 * 24 * 3600.0
"""The longest duration taken: far beyond it `timedelta` and socket timeouts overflow."""
BROKER_SCHEMES = ("memory", "redis", "rediss")
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
_ROUTE = re.compile(r"/[\w./~-]*")


class Section(BaseModel):
    """A group of settings that share the first part of their names. Never changed after it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _refuse(sentence: str) -> PydanticCustomError:
    # Through the context, as pydantic would take braces in a template for its own.
    return PydanticCustomError("setting", "{sentence}", {"sentence": sentence})


def _base_url(value: str) -> str:
    if not value.isprintable() or " " in value:
        raise _refuse("should be a URL without spaces or control characters")
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _refuse("should be a URL with a valid host and port") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise _refuse("should be a full URL that begins with https:// (or http://)")
    if "@" in parts.netloc:
        raise _refuse("should hold no user name or password")
    if "?" in value or "#" in value:
        raise _refuse("should hold no query or fragment")
    return value.rstrip("/")


def _site_url(value: str) -> str:
    """A WordPress with plain permalinks takes its routes in the query: `https://site/?rest_route=/sc/v1`."""
    address, mark, query = value.partition("?")
    name, _, route = unquote(query).partition("=")
    if not mark or name != "rest_route" or not _ROUTE.fullmatch(route):
        return _base_url(value)
    checked = _base_url(address)
    return f"{checked}{'' if checked.endswith('.php') else '/'}?rest_route={route.rstrip('/')}"


def _store_host(value: str) -> str:
    host = value.lower().removeprefix("https://").removeprefix("http://").rstrip("/")
    if not _HOST.fullmatch(host):
        raise _refuse("should be a bare host name, such as store.example")
    return host


def zone_of(text: str) -> tzinfo | None:
    """The time zone that an offset (`-05:00`) or an IANA name stands for; None where there is none of that name."""
    offset = _OFFSET.fullmatch(text)
    if offset:
        width = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(-width if offset[1] == "-" else width)
    try:
        return ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        return None


def _time_zone(value: str) -> str:
    if zone_of(value) is None:
        raise _refuse("should be an offset, such as -05:00, or a time zone's name, such as America/New_York")
    return value


def _status_ids(value: str) -> str:
    ids = [part.strip() for part in value.split(",")]
    if not all(_STATUS_ID.fullmatch(each) for each in ids):
        raise _refuse("should be whole numbers with commas between them, such as 2,4")
    return ",".join(dict.fromkeys(ids))


def networks_of(text: str) -> list[IPv4Network | IPv6Network]:
    """The networks of a list with commas; a single address is a network of one. Raises `ValueError`."""
    return [ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip()]


def _networks(value: str) -> str:
    try:
        networks_of(value)
    except ValueError:
        raise _refuse("should be addresses or networks with commas between, such as 10.0.0.5,172.16.0.0/12") from None
    return value


def _secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text:
        raise _refuse("should not be empty")
    if not text.isprintable():
        raise _refuse("should hold no line break or other control character")
    return value


def _header_secret(value: SecretStr) -> SecretStr:
    """A secret that is sent as a header: anything else there makes `requests` raise an error that quotes it."""
    text = value.get_secret_value()
    if not text.isascii() or text != text.strip():
        raise _refuse("should be plain ASCII without a space at either end")
    return value


def _utc(value: object) -> object:
    moment = value
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment.strip())
        except ValueError:
            raise _refuse(
                "should be an ISO 8601 date or time, such as 2026-01-31 or 2026-01-31T08:00:00+01:00"
            ) from None
    if not isinstance(moment, datetime):
        raise _refuse("should be an ISO 8601 date or time")
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise _refuse("is outside the calendar") from None


def _database_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().strip()
    scheme, separator, rest = text.partition("://")
    if separator and scheme in {"postgres", "postgresql"}:
        text = f"postgresql+psycopg://{rest}"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise _refuse("should be a URL, such as sqlite:///cartbridge.db") from None
    if url.drivername == "sqlite":
        if url.host or url.database in {None, "", ":memory:"}:
            raise _refuse("should name a file (sqlite:///cartbridge.db): a ledger in memory would not outlive a crash")
    elif url.drivername != "postgresql+psycopg":
        raise _refuse("should begin with sqlite:/// or postgresql+psycopg://; no other database is supported")
    return SecretStr(text)


def _broker_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().strip()
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise _refuse("should be a URL; a password in it is percent-encoded") from None
    if parts.scheme not in BROKER_SCHEMES or "://" not in text:
        # File-system and SQL transports lose a killed worker's message; AMQP's processes could not share a rate limit.
        raise _refuse("should begin with memory://, redis:// or rediss://")
    if "@" in parts.path:
        raise _refuse("should be a URL; a password in it is percent-encoded")
    return SecretStr(text)


def without_password(url: str) -> str:
    """`url` for people: no password (`***` in its place), no query, no fragment."""
    parts = urlsplit(url)
    user, at, address = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    return f"{parts.scheme}://{name}{colon}{'***' if colon else ''}{at}{address}{parts.path}"


def passwords_in_url(url: str) -> list[str]:
    """The passwords `url` holds, as written and percent-decoded: before the host, and in its query."""
    parts = urlsplit(url)
    user, _, _ = parts.netloc.rpartition("@")
    _, _, password = user.partition(":")
    found = [password, unquote(password)]
    found += [value for key, value in parse_qsl(parts.query) if "pass" in key.lower()]
    return [text for text in dict.fromkeys(found) if text]


def is_clear_text_to_elsewhere(base_url: str) -> bool:
    """True for an `http://` address that is not this machine: passwords and tokens would travel readable."""
    parts = urlsplit(base_url)
    return parts.scheme == "http" and not _is_loopback(parts.hostname or "")


def _is_loopback(host: str) -> bool:
    if host in LOOPBACK_HOSTS:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
MethodName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Seconds = Annotated[float, Field(gt=0, le=YEAR_SECONDS, allow_inf_nan=False)]
PollSeconds = Annotated[float, Field(ge=0, le=YEAR_SECONDS, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)]
BaseUrl = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_base_url)]
SiteUrl = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_site_url)]
StoreHost = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_store_host)]
TimeZone = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_time_zone)]
StatusIds = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_status_ids)]
Networks = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_networks)]
UtcDatetime = Annotated[datetime, BeforeValidator(_utc)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
HeaderSecret = Annotated[SecretStr, AfterValidator(_secret), AfterValidator(_header_secret)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
BrokerUrl = Annotated[SecretStr, AfterValidator(_broker_url)]
