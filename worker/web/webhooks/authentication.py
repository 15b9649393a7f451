"""Whether a webhook comes from its source: a secret in a header, in the address or in the body, or a Standard Webhooks
signature.

Secrets are compared in constant time, and none of this raises for what a stranger sends.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from urllib.parse import unquote_plus

from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from worker.settings.settings import SourceSettings, StudiocartSettings
from worker.web.webhooks.body import BodyKind, Fields
from worker.web.webhooks.fields import BODY_SECRET_FIELD

SECRET_HEADER = "x-webhook-secret"  # noqa: S105 - the name of a header
SIGNATURE_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
_KEY_PREFIX = "whsec_"
_FIELD_NAME = BODY_SECRET_FIELD.encode()
_JSON_FIELD = re.compile(rb'"' + _FIELD_NAME + rb'"[ \t\r\n]{0,16}:[ \t\r\n]{0,16}("(?:[^"\\]++|\\.)*+")', re.DOTALL)
_FORM_FIELD = re.compile(rb"(?:^|&)" + _FIELD_NAME + rb"=([^&]*+)")
_MOST_VALUES = 20
"""Of the field's occurrences in one body that are looked at: nobody repeats a field so often who means well."""


class WebhookAuthentication:
    """The secrets by which one source's webhooks are told from a stranger's."""

    def __init__(self, section: SourceSettings) -> None:
        self._url_token = _plain(section.webhook_url_token)
        self._header_secret = _plain(section.webhook_secret)
        self._signing_keys = [] if self._header_secret is None else signing_keys(self._header_secret)
        self._body_secrets: list[str] = []
        if isinstance(section, StudiocartSettings):
            # The vendor's plugin sends the site's own API key.
            secrets = (_plain(section.api_key), self._header_secret)
            self._body_secrets = [secret for secret in secrets if secret is not None]
        self.variable = section.variable("webhook_secret")
        """The variable that holds the secret."""
        self.url_variable = section.variable("webhook_url_token")
        """The variable that holds the token of the address."""

    @property
    def has_secret(self) -> bool:
        """False while nothing is set by which a webhook could be told from a stranger's."""
        return self._header_secret is not None or bool(self._body_secrets)

    @property
    def body_may_authenticate(self) -> bool:
        """True where the sender cannot set headers, so that the secret may be in the body."""
        return bool(self._body_secrets)

    @property
    def has_url_token(self) -> bool:
        """False while the addresses with a token are closed."""
        return self._url_token is not None

    def accepts_url_token(self, token: str) -> bool:
        """Whether it is the token of the source's own address."""
        if self._url_token is None:
            return False
        return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self._url_token.strip().encode())

    def accepts_secret_header(self, headers: Mapping[str, str]) -> bool:
        """Whether `X-Webhook-Secret` holds the secret."""
        if self._header_secret is None:
            return False
        # Servers decode header bytes as Latin-1; a secret beyond ASCII is sent as UTF-8. No header keeps outer spaces.
        presented = headers.get(SECRET_HEADER, "").encode("latin-1", "replace")
        return hmac.compare_digest(presented, self._header_secret.strip().encode())

    def may_be_signed(self, headers: Mapping[str, str]) -> bool:
        """Whether a signature of the body is among the headers, and a key to verify it with is set."""
        return bool(self._signing_keys) and all(name in headers for name in SIGNATURE_HEADERS)

    def may_be_proven_by(self, kind: BodyKind, body: bytes) -> bool:
        """Whether parsing the body could prove the sender: a look at its bytes, so that a document from anybody else is
        never built. True without being proof.
        """
        if not self._body_secrets or _FIELD_NAME not in body:
            return False
        if kind is BodyKind.MULTIPART:
            return True
        values = _json_values(body) if kind is BodyKind.JSON or _JSON_FIELD.search(body) else _form_values(body)
        return any(self.accepts_fields({BODY_SECRET_FIELD: value}) for value in values)

    def accepts_headers(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether the headers prove the sender: by `X-Webhook-Secret`, or a signature not older than five minutes."""
        return self.accepts_secret_header(headers) or self._is_signed(headers, body)

    def accepts_fields(self, fields: Fields) -> bool:
        """Whether the body holds the source's secret in `studiocart_secret`. Always False but for Studiocart."""
        presented = fields.get(BODY_SECRET_FIELD)
        if not isinstance(presented, str):
            return False
        given = presented.encode("utf-8", "surrogatepass")
        return any(hmac.compare_digest(given, secret.encode()) for secret in self._body_secrets)

    def _is_signed(self, headers: Mapping[str, str], body: bytes) -> bool:
        signed = {name: headers[name] for name in SIGNATURE_HEADERS if name in headers}
        if len(signed) < len(SIGNATURE_HEADERS):
            return False
        return any(_verifies(key, signed, body) for key in self._signing_keys)


def _json_values(body: bytes) -> Iterator[str]:
    """The texts that stand behind the secret's name, each read by itself."""
    for found in islice(_JSON_FIELD.finditer(body), _MOST_VALUES):
        with suppress(ValueError):
            yield json.loads(found[1].decode())


def _form_values(body: bytes) -> Iterator[str]:
    for found in islice(_FORM_FIELD.finditer(body), _MOST_VALUES):
        yield unquote_plus(found[1].decode("utf-8", "replace"))


def signing_keys(secret: str) -> list[bytes]:
    """The keys a secret may stand for: of `whsec_…` and plain base64, as the standard has it, or the text itself."""
    text = secret.strip()
    encoded = text.removeprefix(_KEY_PREFIX).rstrip("=")
    try:
        decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        decoded = b""
    if decoded and text.startswith(_KEY_PREFIX):
        return [decoded]
    return [key for key in (decoded, text.encode()) if key]


def _verifies(key: bytes, headers: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(key).verify(body, headers, json_parse=False)
    except (WebhookVerificationError, binascii.Error, UnicodeError, ValueError):
        # The library raises its own error for a wrong signature only, and Python's for a malformed one.
        return False
    return True


def _plain(secret: SecretStr | None) -> str | None:
    """The secret's text; None for one of spaces, which a request without any secret would match."""
    text = "" if secret is None else secret.get_secret_value()
    return text if text.strip() else None
