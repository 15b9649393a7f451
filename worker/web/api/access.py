"""Who may use the JSON API: whoever presents its bearer token."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import structlog
from anyio import to_thread
from fastapi import Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from worker.errors import WebhookRejectedError
from worker.settings.settings import Settings
from worker.web.client_address import address_of
from worker.web.lockout import Lockout
from worker.web.webhooks.body import check_declared_size, read_body

TOKEN_VARIABLE = "CARTBRIDGE_WEB__API_TOKEN"  # noqa: S105 - the name of the variable that holds it

log = structlog.get_logger(__name__)

_bearer = HTTPBearer(auto_error=False, description=f"The value of {TOKEN_VARIABLE}.")


TokenCheck = Callable[[Request, HTTPAuthorizationCredentials | None], None]


def token_check(settings: Settings, lockout: Lockout) -> TokenCheck:
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


def bounded_route(check: TokenCheck) -> type[APIRoute]:
    """A route that reads a body only of who has the token, and no more of it than a webhook may have."""

    class BoundedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def answer(request: Request) -> Response:
                await to_thread.run_sync(check, request, await _bearer(request))
                try:
                    check_declared_size(request.headers.get("content-length"))
                    body = await read_body(request)
                except WebhookRejectedError as refusal:
                    raise HTTPException(refusal.status, str(refusal)) from None

                async def receive() -> dict[str, Any]:
                    return {"type": "http.request", "body": body, "more_body": False}

                return await handle(Request(request.scope, receive))

            return answer

    return BoundedRoute


def _refusal(request: Request, detail: str) -> HTTPException:
    log.warning("API request refused", status=401, client=address_of(request), why=detail)
    return HTTPException(401, detail, headers={"WWW-Authenticate": 'Bearer realm="cartbridge"'})
