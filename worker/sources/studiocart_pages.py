"""Pages of Studiocart's lists with the moment each was asked for, and with a look behind a first page that is short.

A site whose parameters are dropped on the way shows its newest ten orders and nothing else. Who has seen all ten before
would stop there and never learn that the list does not go on. So behind a short first page the next is asked for at
once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TypeVar

from worker.clients.studiocart.client import PAGE_SIZE
from worker.errors import ApiError

_R = TypeVar("_R")


def looked_behind(
    pages: Iterator[Sequence[_R]], clock: Callable[[], datetime]
) -> Iterator[tuple[Sequence[_R], datetime, ApiError | None]]:
    """Yield each page, when it was asked for, and why nothing behind it can be read; that error is then raised."""

    def ask() -> tuple[Sequence[_R], datetime] | None:
        asked_at = clock()
        page = next(pages, None)
        return None if page is None else (page, asked_at)

    asked = ask()
    following = None
    if asked is not None and len(asked[0]) < PAGE_SIZE:
        problem: ApiError | None = None
        try:
            following = ask()
        except ApiError as error:
            problem = error
        yield *asked, problem
        if problem is not None:
            raise problem
        asked = following
    while asked is not None:
        yield *asked, None
        asked = ask()
