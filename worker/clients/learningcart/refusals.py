"""What a LearningCart answer says of the token it was asked with: nothing, a refusal, or an error page that hides one.

WCF turns any unhandled exception, a spent token among them, into HTTP 400 with an HTML page "Request Error", without
the reason; elsewhere into a fault, as XML or as JSON, with 500, 400 or 200, or the page with 200. The page also comes
for good requests.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

from worker.clients.base import Answer
from worker.clients.learningcart.token import speaks_of_token
from worker.clients.reading import UnreadableError, decode, fold, is_html, read_document

_NOT_REFUSALS: Final = {408, 425, 429}
_GATEWAY: Final = {502, 503, 504}
_PAGE_LIMIT_BYTES: Final = 20_000
_REQUEST_ERROR: Final = re.compile(r"<title>\s*Request Error\b|class=\"heading1\">\s*Request Error\b", re.IGNORECASE)
_FAULT: Final = re.compile(r"(?:<\?xml[^>]*>|\s)*<(?:\w+:)?(?:Fault|Envelope)\b")
_JSON_FAULTS: Final = (frozenset({"exceptiondetail"}), frozenset({"exceptiontype"}), frozenset({"code", "reason"}))
"""Members, folded, by any of which sets a JSON object is WCF's fault and no word of LearningCart's."""
_MAY_BE_FAULT: Final = re.compile(rb"exception|reason|\\u|\0", re.IGNORECASE)
"""What any of them has in its name, or a name that is not written plainly."""


class Refusal(Enum):
    """Why a call gets a new token and is made once more."""

    TOKEN = auto()
    """The token, or whoever it stands for, is refused: the call was not carried out."""
    PAGE = auto()
    """An error page, which may hide that, or a failure before or after the call was carried out."""
    PLAIN = auto()
    """Refused in plain words that do not speak of the token; but of one without an end, so that it may be spent."""


def is_error_page(answer: Answer) -> bool:
    """Tell WCF's own way to fail from an answer, from a refusal in plain words, and from a gateway's page."""
    text = decode(answer.body[:_PAGE_LIMIT_BYTES])
    if not (answer.status < 300 or answer.status in {400, 500}):
        return False
    if _FAULT.match(text) is not None or _is_json_fault(answer):
        return True
    return is_html(text) and (answer.status == 400 or _REQUEST_ERROR.search(text) is not None)


def is_page(answer: Answer) -> bool:
    """Tell what LearningCart does not say in words of its own: a page of something in between, too."""
    return is_html(decode(answer.body[:_PAGE_LIMIT_BYTES])) or is_error_page(answer)


def _is_json_fault(answer: Answer) -> bool:
    if len(answer.body) > _PAGE_LIMIT_BYTES or not answer.body.lstrip().startswith(b"{"):
        return False
    if not _MAY_BE_FAULT.search(answer.body):  # most answers: each is read for what it says anyway
        return False
    try:
        document = read_document(answer.body)
    except UnreadableError:
        return False
    names = {fold(key) for key in document} if isinstance(document, dict) else set()
    return any(fault <= names for fault in _JSON_FAULTS)


def refusal_of(answer: Answer, operation: str, *, safe_to_repeat: bool, is_undated: bool) -> Refusal | None:
    """Judge an answer of whatever status; None for one that a new token cannot better, a good one among them.

    `is_undated`: the token it was asked with names no end, so any refusal may be for it. For a call that is not safe
    to repeat only what is certainly not carried out is a refusal; one that was cut short is none, as what is missing
    may have been a page.
    """
    if answer.broken and (not safe_to_repeat or answer.status in {401, 403}):
        return Refusal.PAGE if safe_to_repeat else None
    status, speaks = answer.status, speaks_of_token(answer, operation)
    is_page = is_html(decode(answer.body[:_PAGE_LIMIT_BYTES]))
    if status < 300 and speaks and (safe_to_repeat or not is_error_page(answer)):
        return Refusal.TOKEN
    is_refusal = 400 <= status < 500 and status not in _NOT_REFUSALS
    # A page for people may come from something in between, before LearningCart acted or after.
    is_refusal = is_refusal and (safe_to_repeat or not is_page)
    if is_error_page(answer):
        return Refusal.PAGE if safe_to_repeat else None
    if is_refusal and (speaks or status in {401, 403}):
        return Refusal.TOKEN
    if safe_to_repeat and status >= 500 and status not in _GATEWAY and (speaks or is_undated):
        return Refusal.PAGE
    if is_undated and is_refusal:
        return Refusal.PLAIN
    return Refusal.PAGE if is_undated and safe_to_repeat and status < 300 and (is_page or not answer.body) else None


def hides_a_refusal(answer: Answer, operation: str) -> bool:
    """Whether the token may be spent, though the call was not repeated: the next one had better have a new one."""
    return is_error_page(answer) or answer.status in {401, 403} or speaks_of_token(answer, operation)
