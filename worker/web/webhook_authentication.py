"""Whether a webhook comes from its source: a secret in a header or in the body, or a Standard Webhooks signature.

Secrets are compared in constant time, and none of this raises for what a stranger sends.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping

from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from worker.settings import SourceSettings, StudiocartSettings
from worker.web.webhook_body import Fields
from worker.web.webhook_fields import BODY_SECRET_FIELD

SECRET_HEADER = "x-webhook-secret"  # noqa: S105 - the name of a header
SIGNATURE_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
_KEY_PREFIX = "whsec_"


class WebhookAuthentication:
    """The secrets by which one source's webhooks are told from a stranger's."""

    def __init__(self, section: SourceSettings) -> None:
        self._header_secret = _plain(section.webhook_secret)
        self._signing_keys = [] if self._header_secret is None else signing_keys(self._header_secret)
        self._body_secrets: list[str] = []
        if isinstance(section, StudiocartSettings):
            # The vendor's plugin sends the site's own API key.
            secrets = (_plain(section.api_key), self._header_secret)
            self._body_secrets = [secret for secret in secrets if secret is not None]
        self.variable = section.variable("webhook_secret")
        """The variable that holds the secret."""

    @property
    def has_secret(self) -> bool:
        """False while nothing is set by which a webhook could be told from a stranger's."""
        return self._header_secret is not None or bool(self._body_secrets)

    @property
    def body_may_authenticate(self) -> bool:
        """True where the sender cannot set headers, so that the secret may be in the body."""
        return bool(self._body_secrets)

    def accepts_headers(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether the headers prove the sender: by `X-Webhook-Secret`, or a signature not older than five minutes."""
        if self._header_secret is None:
            return False
        # Servers decode header bytes as Latin-1; a secret beyond ASCII is sent as UTF-8. No header keeps outer spaces.
        presented = headers.get(SECRET_HEADER, "").encode("latin-1", "replace")
        return hmac.compare_digest(presented, self._header_secret.strip().encode()) or self._is_signed(headers, body)

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


def has_credentials(headers: Mapping[str, str]) -> bool:
    """Whether the headers try to prove the sender at all."""
    return SECRET_HEADER in headers or "webhook-signature" in headers


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
