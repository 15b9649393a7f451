"""What a browser posts: a small form, read whole and only if it came from our own page."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

FORM_TOKEN = "form_token"  # noqa: S105 - the name of a field
LARGEST_FORM_BYTES = 256 * 1024
FORM_SECONDS = 10.0
_MOST_FIELDS = 2000
_DEFAULT_PORTS = {"http": 80, "https": 443}

Form = dict[str, list[str]]
"""Each field's values, in the order of the form."""


async def read_form(request: Request) -> Form:
    """The posted fields. Raises `HTTPException`: 415 for another kind of body, 413 if it is large, 408 if it is slow,
    400 if broken.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise HTTPException(415, "The page takes its own forms only.")
    body = bytearray()
    try:
        async with asyncio.timeout(FORM_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_FORM_BYTES:
                    raise HTTPException(413, "The form is larger than any of this page.")
    except TimeoutError:
        raise HTTPException(408, f"The form was not complete within {FORM_SECONDS:.0f} seconds.") from None
    except ClientDisconnect:
        raise HTTPException(400, "The form cannot be read.") from None
    form: Form = {}
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise HTTPException(400, "The form cannot be read.") from None
    for name, value in fields:
        if "\0" in value:
            raise HTTPException(400, "The form cannot be read.")
        form.setdefault(name, []).append(value)
    return form


def first(form: Form, name: str) -> str:
    """A field's first value, trimmed; empty when it is not there."""
    return form.get(name, [""])[0].strip()


def is_from_here(request: Request) -> bool:
    """Whether the browser says that the form stood on a page of this very host. Every browser says so on a POST."""
    try:
        origin = urlsplit(request.headers.get("origin", ""))
        port = origin.port or _DEFAULT_PORTS.get(origin.scheme)
        here = urlsplit(f"//{request.headers.get('host', '')}")
        # Behind a proxy that speaks TLS the scheme differs: without a port of its own, the host means the origin's.
        return bool(origin.hostname) and (origin.hostname, port) == (
            here.hostname,
            here.port or _DEFAULT_PORTS.get(origin.scheme),
        )
    except ValueError:
        return False


def is_secure(request: Request) -> bool:
    """Whether the browser came by https, as far as this process or the browser's own word can tell."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")
