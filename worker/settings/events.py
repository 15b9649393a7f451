"""The settings of what flows back: how completions are read, and who is told of events."""

from __future__ import annotations

import base64
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from worker.settings.section import Section
from worker.settings.types import Secret

SHORTEST_KEY_BYTES = 24


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


def _signing_secret(value: SecretStr) -> SecretStr:
    encoded = value.get_secret_value().strip().removeprefix("whsec_").rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        key = b""
    if len(key) < SHORTEST_KEY_BYTES:
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
