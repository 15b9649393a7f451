"""The page's cookies: read whatever else the browser sends under their names, and set so that no other host can.

Another host of the same domain can plant a cookie of any name for this one, with a longer path, so that it comes first
or last. Over https the name begins with `__Host-`, which browsers take from this very host alone (RFC 6265bis); where a
name comes several times every value is offered, and the one that was signed here counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from worker.web.page.auth.forms import is_secure

_PREFIX: Final = "__Host-"


class PageCookie:
    """One cookie of the page, by its name without a prefix."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.name_over_https = f"{_PREFIX}{name}"

    def set(self, request: Request, answer: Response, value: str, *, max_age_seconds: int) -> None:
        """Give the cookie to the browser, for this host alone, and out of reach of scripts and other sites."""
        is_by_https = is_secure(request)
        answer.set_cookie(
            self.name_over_https if is_by_https else self.name,
            value,
            max_age=max_age_seconds,
            path="/",
            httponly=True,
            samesite="strict",
            secure=is_by_https,
        )

    def values(self, request: Request) -> Iterator[str]:
        """Each value the browser sent, those under the name that is safe from other hosts first.

        Where it is known to be https, they alone count. Behind a proxy that does not say so both names are read.
        """
        pairs = [part.strip().partition("=") for line in request.headers.getlist("cookie") for part in line.split(";")]
        names = (self.name_over_https,) if request.url.scheme == "https" else (self.name_over_https, self.name)
        for wanted in names:
            for name, _, value in pairs:
                if name == wanted:
                    yield value

    def delete(self, request: Request, answer: Response) -> None:
        """Take it from the browser, by whichever name it was sent."""
        if any(self.values(request)):
            answer.delete_cookie(self.name, path="/", httponly=True, samesite="strict", secure=is_secure(request))
            answer.delete_cookie(self.name_over_https, path="/", httponly=True, samesite="strict", secure=True)
