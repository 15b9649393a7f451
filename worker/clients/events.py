"""Tells one receiver of events, as https://www.standardwebhooks.com has it: signed, and never redirected."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import requests
from standardwebhooks.webhooks import Webhook

from worker.clients.base import USER_AGENT
from worker.clients.outcomes import error_for_answer, error_for_no_answer
from worker.clients.transport import Answer, Exchange, Transport
from worker.errors import ConfigurationError
from worker.settings.notifications import EventsSettings
from worker.text.redaction import SecretRegistry

SYSTEM: Final = "events"
OPERATION: Final = "webhook"
CONNECT_TIMEOUT_SECONDS: Final = 5.0
READ_TIMEOUT_SECONDS: Final = 15.0
_ANSWER_LIMIT_BYTES: Final = 64 * 1024


class EventsClient:
    """Sends events to one receiver. Safe to share between threads; make one per process, after it forked.

    Repeats nothing by itself, verifies TLS, and uses no proxy. Raises `ConfigurationError` for settings that lack the
    address or the secret. `secrets` learns both: with many receivers, whoever knows the address may send.
    """

    def __init__(
        self,
        settings: EventsSettings,
        *,
        secrets: SecretRegistry | None = None,
        transport: Transport | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
    ) -> None:
        if settings.webhook_url is None or settings.webhook_secret is None:
            raise ConfigurationError(
                "Events are told to nobody. Set CARTBRIDGE_EVENTS__WEBHOOK_URL and __WEBHOOK_SECRET."
            )
        self._url = settings.webhook_url.get_secret_value()
        parts = urlsplit(self._url)
        secret = settings.webhook_secret.get_secret_value()
        self._signer = Webhook(settings.signing_key)
        # A part of it may be what makes the address a secret, and may be a common word: masked in answers alone.
        hidden = [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query)), parts.query]
        self._secrets = SecretRegistry([self._url, secret, *hidden])
        for each in (self._url, secret):
            if secrets is not None:
                secrets.add(each)
        self._transport = transport or Transport(body_limit_bytes=_ANSWER_LIMIT_BYTES)
        self._now = now
        self._connect_timeout_seconds = connect_timeout_seconds
        self._read_timeout_seconds = read_timeout_seconds

    def __repr__(self) -> str:
        return "EventsClient()"

    def send(self, event_id: str, body: str) -> None:
        """Send an event under its id, once, and return when the receiver has answered 2xx.

        Safe to repeat under the same id: by `webhook-id` the receiver tells a repetition. Raises the `ApiError` that
        fits; a redirection is a refusal.
        """
        sent_at = self._now()
        request = requests.Request(
            "POST",
            self._url,
            data=body.encode(),
            headers={
                "User-Agent": USER_AGENT,
                "Content-Type": "application/json",
                "webhook-id": event_id,
                "webhook-timestamp": str(int(sent_at.timestamp())),
                "webhook-signature": self._signer.sign(event_id, sent_at, body),
            },
        )
        exchange = Exchange(
            connect_timeout_seconds=self._connect_timeout_seconds,
            read_timeout_seconds=self._read_timeout_seconds,
            deadline_seconds=self._connect_timeout_seconds + self._read_timeout_seconds,
        )
        outcome = self._transport.send(request, exchange)
        if not isinstance(outcome, Answer):
            raise error_for_no_answer(outcome, system=SYSTEM, operation=OPERATION, safe_to_repeat=True)
        if 200 <= outcome.status < 300:
            return  # whatever the rest of the answer is: the receiver has taken the event
        error = error_for_answer(
            outcome,
            system=SYSTEM,
            operation=OPERATION,
            safe_to_repeat=True,
            now=sent_at,
            redact=self._secrets.redact,
        )
        if error is not None:
            raise error

    def close(self) -> None:
        """Close the idle connections. The client can be used again."""
        self._transport.close()
