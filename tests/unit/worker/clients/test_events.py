from __future__ import annotations

import base64
import traceback
from datetime import UTC, datetime

import pytest
import requests
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook

from worker.clients.events import EventsClient
from worker.clients.transport import Answer, Exchange, NoAnswer, Transport
from worker.errors import ApiConnectionError, ApiError, ConfigurationError, InvalidRequestError, ServerError
from worker.settings.notifications import EventsSettings
from worker.text.redaction import SecretRegistry

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
URL = "https://hooks.example.test/in/planted-path?key=planted-query"

HIDDEN_URL, HIDDEN_SECRET = SecretStr(URL), SecretStr(SECRET)


class Access(EventsSettings):
    webhook_url: SecretStr | None = HIDDEN_URL
    webhook_secret: SecretStr | None = HIDDEN_SECRET


class FakeTransport(Transport):
    """Answers what it is told to, and keeps the requests."""

    def __init__(self, outcome: Answer | NoAnswer) -> None:
        super().__init__()
        self.outcome = outcome
        self.requests: list[requests.Request] = []

    def send(self, request: requests.Request, exchange: Exchange) -> Answer | NoAnswer:
        self.requests.append(request)
        return self.outcome


def answering(status: int, body: bytes = b"", **headers: str) -> FakeTransport:
    return FakeTransport(Answer(status, headers, body))


def test_event_is_signed_by_the_standard_when_it_is_sent() -> None:
    transport = answering(204)
    client = EventsClient(Access(), transport=transport)
    client.send("01event", '{"name":"Zoë"}')
    client.close()
    (request,) = transport.requests
    assert (request.method, request.url) == ("POST", URL)
    assert request.headers["webhook-id"] == "01event"
    assert Webhook(SECRET).verify(request.data, dict(request.headers)) == {"name": "Zoë"}


def test_signature_is_of_this_moment_when_an_event_is_sent_again() -> None:
    transport = answering(200)
    moments = [datetime(2026, 3, 10, 12, tzinfo=UTC), datetime(2026, 3, 10, 13, tzinfo=UTC)]
    client = EventsClient(Access(), transport=transport, now=lambda: moments.pop(0))
    for _ in range(2):
        client.send("01event", "{}")
    first, second = (request.headers for request in transport.requests)
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 3600
    assert first["webhook-signature"] != second["webhook-signature"]


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Answer(500, {}, b""), ServerError),
        (Answer(302, {"Location": "https://elsewhere.example.test"}, b""), ApiError),
        (Answer(422, {}, b'{"message": "no planted-path; key planted-query"}'), InvalidRequestError),
        (NoAnswer("connection", "ConnectionRefusedError", sent=False), ApiConnectionError),
    ],
)
def test_error_is_raised_without_the_address_when_the_event_is_not_taken(
    outcome: Answer | NoAnswer, kind: type[ApiError]
) -> None:
    client = EventsClient(Access(), transport=FakeTransport(outcome))
    with pytest.raises(kind) as caught:
        client.send("01event", "{}")
    shown = "".join(traceback.format_exception(caught.value)) + repr(client)
    assert "planted-" not in shown
    assert SECRET not in shown


def test_event_is_taken_when_the_rest_of_the_answer_is_lost() -> None:
    transport = FakeTransport(Answer(200, {}, b"", broken="cut short"))
    EventsClient(Access(), transport=transport).send("01event", "{}")
    assert len(transport.requests) == 1


def test_address_and_secret_are_known_as_secrets_when_a_client_is_made() -> None:
    registry = SecretRegistry()
    EventsClient(Access(), secrets=registry)
    assert registry.redact(f"{URL} {SECRET} in/planted-path") == "*** *** in/planted-path"


def test_secret_is_taken_when_it_has_no_prefix_or_padding() -> None:
    assert Access(webhook_secret=SecretStr(SECRET.removeprefix("whsec_").rstrip("="))).signing_key == KEY


@pytest.mark.parametrize("access", [Access(webhook_url=None), Access(webhook_secret=None)])
def test_client_is_refused_when_it_has_nowhere_to_send(access: Access) -> None:
    with pytest.raises(ConfigurationError) as caught:
        EventsClient(access)
    assert "planted" not in str(caught.value)
