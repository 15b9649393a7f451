from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook

from worker.settings.settings import FrontcoreSettings, StudiocartSettings
from worker.web.webhooks.authentication import WebhookAuthentication, signing_keys
from worker.web.webhooks.body import BodyKind

API_KEY = "the-api-key"
HOOK_SECRET = "the-hook-secret"
KEY = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


def studiocart(secret: str | None = HOOK_SECRET) -> WebhookAuthentication:
    webhook_secret = None if secret is None else SecretStr(secret)
    return WebhookAuthentication(StudiocartSettings(api_key=SecretStr(API_KEY), webhook_secret=webhook_secret))


def frontcore(secret: str | None = HOOK_SECRET) -> WebhookAuthentication:
    return WebhookAuthentication(FrontcoreSettings(webhook_secret=None if secret is None else SecretStr(secret)))


def signed(key: bytes, body: bytes) -> dict[str, str]:
    now = datetime.now(tz=UTC)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(key).sign("msg_1", now, body.decode()),
    }


@pytest.mark.parametrize("secret", [HOOK_SECRET, "schlüssel", " spaces around "])
def test_header_is_accepted_when_it_holds_the_secret(secret: str) -> None:
    as_received = secret.strip().encode().decode("latin-1")
    assert frontcore(secret).accepts_headers({"x-webhook-secret": as_received}, b"")


@pytest.mark.parametrize("presented", ["", "wrong", API_KEY, "\xe9\xff", "\u20ac", HOOK_SECRET + "x", HOOK_SECRET[:-1]])
def test_header_is_refused_when_it_holds_another_secret(presented: str) -> None:
    assert not studiocart().accepts_headers({"x-webhook-secret": presented}, b"")


@pytest.mark.parametrize("secret", [None, "  "])
def test_nothing_is_accepted_when_no_secret_is_set(secret: str | None) -> None:
    authentication = frontcore(secret)
    assert not authentication.has_secret
    assert authentication.variable == "CARTBRIDGE_FRONTCORE__WEBHOOK_SECRET"
    for headers in ({}, {"x-webhook-secret": ""}, {"x-webhook-secret": "  "}, signed(b"x", b"{}")):
        assert not authentication.accepts_headers(headers, b"{}")
    assert not authentication.accepts_fields({"studiocart_secret": "  "})
    assert not authentication.body_may_authenticate


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        (f"whsec_{KEY}", base64.b64decode(KEY)),
        (f"whsec_{KEY.rstrip('=')}", base64.b64decode(KEY)),
        (KEY, base64.b64decode(KEY)),
        (KEY, KEY.encode()),
        ("a plain text, no base64", b"a plain text, no base64"),
        ("whsec_a plain text", b"whsec_a plain text"),
        ("whsec_", b"whsec_"),
    ],
)
def test_signature_is_accepted_when_its_key_is_the_secret(secret: str, key: bytes) -> None:
    body = '{"id": 1, "name": "Åse"}'.encode()
    assert frontcore(secret).accepts_headers(signed(key, body), body)
    assert not frontcore(secret).accepts_headers(signed(key, body), b'{"id": 2}')
    assert not frontcore("another secret").accepts_headers(signed(key, body), body)


def test_key_is_not_the_text_when_it_is_marked_as_base64() -> None:
    assert signing_keys(f"whsec_{KEY}") == [base64.b64decode(KEY)]


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,%%%"},
        {"webhook-signature": "v1,AAA"},
        {"webhook-signature": "v1,\u00e9"},
        {"webhook-signature": "v1,a,b"},
        {"webhook-signature": "v2,AAAA"},
        {"webhook-signature": ""},
        {"webhook-timestamp": "x"},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "1e400"},
        {"webhook-timestamp": "0"},
        {"webhook-timestamp": "99999999999"},
        {"webhook-id": ""},
        {"webhook-id": "\xff"},
    ],
)
def test_signature_is_refused_when_it_is_malformed(changes: dict[str, str]) -> None:
    headers = signed(HOOK_SECRET.encode(), b"{}") | changes
    assert not studiocart().accepts_headers(headers, b"{}")


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_signature_is_refused_when_a_header_is_missing(missing: str) -> None:
    headers = signed(HOOK_SECRET.encode(), b"{}")
    del headers[missing]
    assert not studiocart().accepts_headers(headers, b"{}")


def test_signature_is_refused_when_the_body_is_not_utf_8() -> None:
    assert not studiocart().accepts_headers(signed(HOOK_SECRET.encode(), b"{}"), b"\xff")


@pytest.mark.parametrize("secret", [API_KEY, HOOK_SECRET])
def test_body_is_accepted_when_studiocarts_field_holds_a_secret(secret: str) -> None:
    assert studiocart().accepts_fields({"studiocart_secret": secret})


@pytest.mark.parametrize("secret", ["", "wrong", "é", "\ud800", 5, None, [API_KEY], API_KEY + " "])
def test_body_is_refused_when_studiocarts_field_holds_anything_else(secret: Any) -> None:
    assert not studiocart().accepts_fields({"studiocart_secret": secret})


def test_body_is_accepted_by_the_key_alone_when_no_webhook_secret_is_set() -> None:
    authentication = studiocart(None)
    assert authentication.has_secret
    assert authentication.body_may_authenticate
    assert authentication.accepts_fields({"studiocart_secret": API_KEY})
    assert not authentication.accepts_headers({"x-webhook-secret": API_KEY}, b"")


def test_body_is_refused_when_the_source_is_not_studiocart() -> None:
    assert not frontcore().accepts_fields({"studiocart_secret": HOOK_SECRET})


TOKEN = "the-token-of-the-address"


@pytest.mark.parametrize("presented", ["", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), HOOK_SECRET, API_KEY, "é", "\udcff"])
def test_token_is_refused_when_it_is_another(presented: str) -> None:
    section = StudiocartSettings(
        api_key=SecretStr(API_KEY), webhook_secret=SecretStr(HOOK_SECRET), webhook_url_token=SecretStr(TOKEN)
    )
    assert WebhookAuthentication(section).accepts_url_token(TOKEN)
    assert not WebhookAuthentication(section).accepts_url_token(presented)
    assert not studiocart().accepts_url_token(presented)


@pytest.mark.parametrize("token", [None, "  "])
def test_address_is_closed_when_no_token_is_set(token: str | None) -> None:
    section = FrontcoreSettings(webhook_url_token=None if token is None else SecretStr(token))
    assert not WebhookAuthentication(section).has_url_token
    assert not WebhookAuthentication(section).accepts_url_token("")
    assert not WebhookAuthentication(section).accepts_url_token("  ")


@pytest.mark.parametrize("length", range(len(API_KEY)))
def test_prefix_of_a_body_secret_is_refused(length: int) -> None:
    assert not studiocart().accepts_fields({"studiocart_secret": API_KEY[:length]})
    body = b'{"studiocart_secret":"%s"}' % API_KEY[:length].encode()
    assert not studiocart().may_be_proven_by(BodyKind.JSON, body)


@pytest.mark.parametrize(
    ("secret", "kind", "body"),
    [
        (HOOK_SECRET, BodyKind.JSON, b'{"id":1,"studiocart_secret":"the-hook-secret"}'),
        (HOOK_SECRET, BodyKind.JSON, b'[{"studiocart_secret" :\n "the-hook-secret"}]'),
        (HOOK_SECRET, BodyKind.JSON, b'{"studiocart_secret":"x","studiocart_secret":"the-hook-secret"}'),
        ('a/b"c\\d \u00e9', BodyKind.JSON, rb'{"studiocart_secret":"a\/b\"c\\d \u00e9"}'),
        (HOOK_SECRET, BodyKind.FORM, b"id=1&studiocart_secret=the%2Dhook%2Dsecret"),
        ("a b&c", BodyKind.FORM, b"studiocart_secret=a+b%26c&id=1"),
        (HOOK_SECRET, BodyKind.FORM, b'{"id":1,"studiocart_secret":"the-hook-secret"}'),
        (HOOK_SECRET, BodyKind.MULTIPART, b'name="studiocart_secret"'),
    ],
)
def test_body_is_worth_parsing_when_its_bytes_hold_the_secret(secret: str, kind: BodyKind, body: bytes) -> None:
    assert studiocart(secret).may_be_proven_by(kind, body)
    assert not frontcore(secret).may_be_proven_by(kind, body)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (BodyKind.JSON, b""),
        (BodyKind.JSON, b'{"a":[' + b"{}," * 20_000 + b"{}]}"),
        (BodyKind.JSON, b'{"id":1,"secret":"the-hook-secret"}'),
        (BodyKind.JSON, b'{"studiocart_secret":"wrong"}'),
        (BodyKind.JSON, b'{"studiocart_secret":' * 3000),
        (BodyKind.JSON, b'{"studiocart_secret":"' * 3000),
        (BodyKind.JSON, b'"studiocart_secret":"' + b"\\" * 60_000),
        (BodyKind.JSON, b'"studiocart_secret":"\xff\\u12"'),
        (BodyKind.JSON, b'"studiocart_secret":5'),
        (BodyKind.FORM, b"studiocart_secret=" * 3000),
        (BodyKind.FORM, b"xstudiocart_secret=the-hook-secret"),
        (BodyKind.MULTIPART, b"the-hook-secret"),
    ],
)
def test_body_is_not_parsed_when_its_bytes_hold_no_secret(kind: BodyKind, body: bytes) -> None:
    assert not studiocart().may_be_proven_by(kind, body)
