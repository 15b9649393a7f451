"""Reading a webhook's body: which media types are taken, how large and how deep a body may be, and what it says."""

from __future__ import annotations

import asyncio
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

from worker.clients.charset import decode
from worker.clients.json_text import UnreadableError, decoder, parse_json
from worker.errors import WebhookRejectedError

LARGEST_BODY_BYTES = 1024 * 1024
LARGEST_UNPROVEN_BODY_BYTES = 64 * 1024
"""Of a sender whom neither the address nor a header proves: it holds any Studiocart record."""
DEEPEST_NESTING = 32
MOST_FORM_FIELDS = 1000
BODY_TIMEOUT_SECONDS = 10.0
"""A sender that takes longer holds a connection for nothing."""
_LONGEST_BOUNDARY = 70  # RFC 2046
_BLANK = b" \t\r\n\xef\xbb\xbf"
_LONGEST_NUMBER = 40
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


def check_declared_size(content_length: str | None, largest_bytes: int = LARGEST_BODY_BYTES) -> None:
    """Raise `WebhookRejectedError` (413) if the sender announces too large a body. It may not tell the truth."""
    announced = _CONTENT_LENGTH.fullmatch(content_length or "")
    if announced and int(announced[0]) > largest_bytes:
        _refuse_size(largest_bytes)


async def read_body(request: Request, largest_bytes: int = LARGEST_BODY_BYTES) -> bytes:
    """The whole body, refused (413) as soon as more than `largest_bytes` have come, whatever was announced."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > largest_bytes:
                    _refuse_size(largest_bytes)
    except TimeoutError:
        raise rejected(408, f"The body was not complete within {BODY_TIMEOUT_SECONDS:.0f} seconds.") from None
    except ClientDisconnect:
        raise rejected(400, "The connection was closed before the body was complete.") from None
    return bytes(body)


def parse_document(kind: BodyKind, content_type: str, body: bytes) -> object:
    """What the body says: any JSON document, or a form's members; `WebhookRejectedError` (400) if it is malformed or
    nested too deep.

    JSON under a form's media type is read as JSON. Of a name that is given twice the last value counts. Files in a
    multipart form are left out.
    """
    if kind is BodyKind.JSON or (kind is BodyKind.FORM and body.lstrip(_BLANK).startswith((b"{", b"["))):
        return _parse_json(body)
    if kind is BodyKind.FORM:
        return _parse_form(body)
    return _parse_multipart(content_type, body)


def fields_of(document: object) -> Fields | None:
    """The members of an object, or of the one object in an array (3dcart's form); None for anything else."""
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    return document if isinstance(document, dict) else None


def _refuse_size(largest_bytes: int) -> NoReturn:
    raise rejected(413, f"A webhook's body may have {largest_bytes} bytes at most here.")


def _parse_json(body: bytes) -> object:
    if is_deeper_than(body, DEEPEST_NESTING):
        raise rejected(400, f"The body is nested deeper than {DEEPEST_NESTING} levels.")
    try:
        return parse_json(decode(body, "utf-8"), _DECODER)
    except UnreadableError as error:
        raise rejected(400, f"The body {error}.") from None


def _finite(text: str) -> float | str:
    """A number as JSON's columns hold it; the text itself, which no field takes for a number, if it is beyond."""
    number = float(text)
    return number if isfinite(number) else text[:_LONGEST_NUMBER]


_DECODER = decoder(_finite)


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


# A quote that nothing closes takes the rest of the text, so that the pattern never goes back: linear for any input.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SAME_BRACKETS = bytes.maketrans(b"{}", b"[]")


def is_deeper_than(document: bytes, levels: int) -> bool:
    """Whether arrays and objects are nested in more than `levels`. Linear in the document's size, which may be broken:
    of brackets that do not close each other nothing is told but that they are not too deep.
    """
    brackets = _STRING.sub(b"", document).translate(_SAME_BRACKETS, _NOT_BRACKETS)
    for _ in range(levels):
        shallower = brackets.replace(b"[]", b"")  # the innermost level
        if len(shallower) == len(brackets):
            return brackets.count(b"[") > levels
        brackets = shallower
    return bool(brackets)
