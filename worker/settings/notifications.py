"""The settings of what goes out to people and systems: alerts, completions that are read, and events."""

from __future__ import annotations

import base64
import re
from datetime import time
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from worker.settings.types import BaseUrl, Seconds, Secret, Section, TimeZone

_BETWEEN_URLS = re.compile(r"(?<![\s,])[\s,]++(?=[A-Za-z0-9]+://)")
_HOUR = re.compile(r"[0-9]{2}:[0-9]{2}")


def _hour(value: str) -> str:
    text = value.strip()
    if not text:
        return ""
    if not _HOUR.fullmatch(text):
        raise PydanticCustomError("setting", "should be a time of day such as 07:00, or empty for no summary")
    try:
        time.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("setting", "should be a time of day such as 07:00, or empty for no summary") from None
    return text


TimeOfDay = Annotated[str, AfterValidator(_hour)]


class AlertsSettings(Section):
    """Who is told when something needs a person. Off until an address is given."""

    urls: Secret | None = Field(
        None,
        description="Apprise addresses, apart by spaces or commas: mailto://…, slack://…, msteams://…, json://… "
        "(see its list of services). Each may hold a password: they count as one secret.",
    )
    page_url: BaseUrl | None = Field(
        None, description="Where your browser finds the operator's page; alerts link to it."
    )
    group_seconds: Seconds = Field(300.0, description="Alerts that come sooner after the last wait, and come as one.")
    repeat_seconds: Seconds = Field(86_400.0, description="What lasts is told again after so long.")
    summary_at: TimeOfDay = Field("07:00", description="When the day is summed up, as hours:minutes; empty: never.")
    time_zone: TimeZone | None = Field(
        None, description="The zone of that time, such as Europe/Oslo. Default: CARTBRIDGE_TIME_ZONE."
    )

    @property
    def is_configured(self) -> bool:
        """True when there is somebody to tell."""
        return self.urls is not None

    @property
    def addresses(self) -> list[str]:
        """Each address by itself. Secrets: for sending alone."""
        return [] if self.urls is None else _BETWEEN_URLS.split(self.urls.get_secret_value().strip(" \t\r\n,"))


SHORTEST_KEY_BYTES = 24
"""The standard's own."""


def _webhook_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise PydanticCustomError("setting", "should be a URL with a valid host and port") from None
    if parts.scheme not in {"http", "https"} or not host or " " in text or not text.isascii():
        raise PydanticCustomError("setting", "should be a full URL that begins with https:// (or http://)")
    if "@" in parts.netloc or parts.fragment:
        raise PydanticCustomError("setting", "should hold no user name, password or fragment")
    return value


def _signing_key(secret: str) -> bytes:
    encoded = secret.strip().removeprefix("whsec_").rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        return b""


def _signing_secret(value: SecretStr) -> SecretStr:
    if len(_signing_key(value.get_secret_value())) < SHORTEST_KEY_BYTES:
        raise PydanticCustomError("setting", "should be whsec_ and the base64 of at least 24 random bytes")
    return value


WebhookUrl = Annotated[Secret, AfterValidator(_webhook_url)]
SigningSecret = Annotated[Secret, AfterValidator(_signing_secret)]


class CompletionsSettings(Section):
    """How LearningCart's completions are read."""

    baseline_days: int = Field(
        30, ge=0, le=36_500, description="How many days back the first poll of completions looks."
    )
    span_days: float = Field(
        7.0,
        ge=0.25,
        le=366,
        description="Days that one call for completions spans at most; one that is refused is halved.",
    )


class EventsSettings(Section):
    """Who is told of events. Off until both are set."""

    webhook_url: WebhookUrl | None = Field(
        None, description="Where events are sent by POST (Standard Webhooks), such as https://hooks.example/cartbridge."
    )
    webhook_secret: SigningSecret | None = Field(
        None, description="What events are signed with: whsec_ and the base64 of 24 random bytes or more."
    )

    @property
    def is_configured(self) -> bool:
        """True when events have somewhere to go and something to be signed with."""
        return self.webhook_url is not None and self.webhook_secret is not None

    @property
    def signing_key(self) -> bytes:
        """The key that the secret stands for, with or without the standard's prefix; empty where none is set."""
        return b"" if self.webhook_secret is None else _signing_key(self.webhook_secret.get_secret_value())
