"""Reading a webhook's body: which media types are taken, how large and how deep a body may be, and what it says."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from enum import Enum, auto
from http import HTTPStatus
from math import isfinite
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, FormParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from worker.errors import WebhookRejectedError

LARGEST_BODY_BYTES = 1024 * 1024
DEEPEST_NESTING = 32
MOST_FORM_FIELDS = 1000
BODY_TIMEOUT_SECONDS = 30.0
"""A sender that takes longer holds a connection for nothing."""
_LONGEST_BOUNDARY = 70  # RFC 2046
_CONTENT_LENGTH = re.compile(r"[0-9]{1,20}", re.ASCII)
# Above the largest body, so that nothing a stranger sends is ever written to disk.
_MEMORY_FILE_BYTES = 2 * LARGEST_BODY_BYTES

# Its warnings quote the body, and whatever they are about is refused or left out anyway.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

Fields = dict[str, Any]
"""A webhook's top-level members. Those of a form are texts."""


class BodyKind(Enum):
    """How a body is written."""

    JSON = auto()
    FORM = auto()
    MULTIPART = auto()


def rejected(status: int, message: str) -> WebhookRejectedError:
    """The refusal of a webhook, with its status's own title."""
    return WebhookRejectedError(message, status=status, title=HTTPStatus(status).phrase)


def kind_of_body(content_type: str) -> BodyKind:
    """How a body of this `Content-Type` is to be read; `WebhookRejectedError` (415) if it cannot be."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json")):
        return BodyKind.JSON
    if media_type == "application/x-www-form-urlencoded":
        return BodyKind.FORM
    if media_type == "multipart/form-data":
        return BodyKind.MULTIPART
    raise rejected(
        415,
        "A webhook is JSON (application/json) or a form (application/x-www-form-urlencoded or multipart/form-data).",
    )


def check_declared_size(content_length: str | None) -> None:
    """Raise `WebhookRejectedError` (413) if the sender announces too large a body. It may not tell the truth."""
    announced = _CONTENT_LENGTH.fullmatch(content_length or "")
    if announced and int(announced[0]) > LARGEST_BODY_BYTES:
        _refuse_size()


async def read_body(request: Request) -> bytes:
    """The whole body, refused (413) as soon as more than `LARGEST_BODY_BYTES` have come, whatever was announced."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_BODY_BYTES:
                    _refuse_size()
    except TimeoutError:
        raise rejected(408, f"The body was not complete within {BODY_TIMEOUT_SECONDS:.0f} seconds.") from None
    except ClientDisconnect:
        raise rejected(400, "The connection was closed before the body was complete.") from None
    return bytes(body)


def parse_body(kind: BodyKind, content_type: str, body: bytes) -> Fields:
    """The body's members; `WebhookRejectedError` (400) if it is malformed, no object, or nested too deep.

    Of a name that is given twice the last value counts. Files in a multipart form are left out.
    """
    if kind is BodyKind.JSON:
        return _parse_json(body)
    if kind is BodyKind.FORM:
        return _parse_form(body)
    return _parse_multipart(content_type, body)


def _refuse_size() -> NoReturn:
    raise rejected(413, f"A webhook's body may have {LARGEST_BODY_BYTES} bytes at most.")


def _parse_json(body: bytes) -> Fields:
    malformed = rejected(400, "The body is not valid JSON in UTF-8.")
    try:
        document = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        # Of JSON's grammar, of UTF-8, of a number that is none, or with more digits than Python converts.
        raise malformed from None
    if not isinstance(document, dict):
        raise rejected(400, "The body is JSON, but not an object.")
    _check_depth(document)
    return document


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError("a number beyond what can be stored")
    return number


def _check_depth(document: dict[str, Any]) -> None:
    level: list[dict[str, Any] | list[Any]] = [document]
    for _ in range(DEEPEST_NESTING):
        members = (member for each in level for member in (each.values() if isinstance(each, dict) else each))
        level = [member for member in members if isinstance(member, dict | list)]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> WebhookRejectedError:
    return rejected(400, f"The body is nested deeper than {DEEPEST_NESTING} levels.")


def _parse_form(body: bytes) -> Fields:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FORM_FIELDS)
    except ValueError:
        raise rejected(400, "The body is not a form in UTF-8, or has too many fields.") from None
    return dict(pairs)


def _parse_multipart(content_type: str, body: bytes) -> Fields:
    malformed = rejected(400, "The body is not a multipart form in UTF-8, or has too many fields.")
    _, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary", b"")
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
        raise malformed
    parts: list[Field | File] = []
    ends: list[bool] = []

    def take(part: Field | File) -> None:
        parts.append(part)
        if len(parts) > MOST_FORM_FIELDS:
            raise FormParserError("too many fields")

    try:
        parser = FormParser(
            "multipart/form-data",
            take,
            take,
            lambda: ends.append(True),
            boundary=boundary,
            config={"MAX_MEMORY_FILE_SIZE": _MEMORY_FILE_BYTES},
        )
        parser.write(body)
        parser.finalize()
        fields = {
            (part.field_name or b"").decode(): (part.value or b"").decode() for part in parts if isinstance(part, Field)
        }
    except ValueError:
        # The parser's own errors and those of UTF-8 are of this kind.
        raise malformed from None
    if not ends:
        raise malformed
    return fields
