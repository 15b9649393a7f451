"""Who may use the JSON API: whoever presents its bearer token."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Annotated

import structlog
from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from worker.settings.settings import Settings
from worker.web.client_address import address_of
from worker.web.lockout import Lockout

TOKEN_VARIABLE = "CARTBRIDGE_WEB__API_TOKEN"  # noqa: S105 - the name of the variable that holds it

log = structlog.get_logger(__name__)

_bearer = HTTPBearer(auto_error=False, description=f"The value of {TOKEN_VARIABLE}.")


def token_check(settings: Settings, lockout: Lockout) -> Callable[..., None]:
    """A dependency: 401 without the token (and for all until it is set), 429 for an address that keeps failing.

    Such an address is not told either that a guess was right: that would be all it wants to know.
    """
    token = settings.web.api_token
    # A token of spaces would be matched by a request without any.
    expected = (token.get_secret_value().strip().encode() or None) if token is not None else None

    def check(request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]) -> None:
        if expected is None:
            raise _refusal(request, f"The API is closed until {TOKEN_VARIABLE} is set.")
        # Servers decode header bytes as Latin-1; a token beyond ASCII is sent as UTF-8.
        presented = b"" if credentials is None else credentials.credentials.strip().encode("latin-1", "replace")
        is_right = hmac.compare_digest(presented, expected)
        address = address_of(request)
        wait_seconds = lockout.wait_seconds(address) if is_right else lockout.admit(address)
        if wait_seconds is not None:
            raise HTTPException(
                429,
                "Too many requests from this address failed to authenticate.",
                headers={"Retry-After": str(wait_seconds)},
            )
        if not is_right:
            raise _refusal(request, "The API takes the bearer token it was given in its settings.")

    return check


def _refusal(request: Request, detail: str) -> HTTPException:
    log.warning("API request refused", status=401, client=address_of(request), why=detail)
    return HTTPException(401, detail, headers={"WWW-Authenticate": 'Bearer realm="cartbridge"'})
