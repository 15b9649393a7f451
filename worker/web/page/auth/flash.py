"""What came of an action, told once on the page that the browser is sent to: a signed cookie, gone when it is read."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from worker.web.page.cookies import PageCookie

COOKIE = PageCookie("cartbridge_notice")
_LASTS_SECONDS = 60
_MOST_CHARACTERS = 900
"""A cookie holds 4,096 bytes, and a character takes up to four there."""

Tone = Literal["good", "ask", "bad"]


@dataclass(frozen=True)
class Notice:
    """A few sentences, the most important one first."""

    tone: Tone
    lines: tuple[str, ...]


class Notices:
    """Writes and reads notices. `key` is asked for when it is first needed."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._key = key

    def leave(self, request: Request, answer: Response, notice: Notice) -> None:
        """Leave a notice for the next page this browser opens; what is too long is cut."""
        lines, left = [], _MOST_CHARACTERS
        for line in notice.lines:
            lines.append(line if len(line) <= left else f"{line[: max(0, left)]}…")
            left -= len(line)
            if left <= 0:
                break
        text = json.dumps([notice.tone, *lines], ensure_ascii=False)
        payload = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        COOKIE.set(request, answer, f"{payload}.{self._sign(payload)}", max_age_seconds=_LASTS_SECONDS)

    def read(self, request: Request) -> Notice | None:
        """The notice that was left; None for none, and for one that is not ours."""
        return next(filter(None, map(self._read_one, COOKIE.values(request))), None)

    def _read_one(self, cookie: str) -> Notice | None:
        payload, _, signature = cookie.partition(".")
        if not payload or not hmac.compare_digest(signature.encode(), self._sign(payload).encode()):
            return None
        try:
            tone, *lines = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (binascii.Error, ValueError):
            return None
        return Notice(tone, tuple(lines))

    def _sign(self, payload: str) -> str:
        digest = hmac.digest(self._key(), f"notice:{payload}".encode("utf-8", "replace"), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")
