"""What all lists that come in pages share: smaller pages where large ones come too late, and lists that do not page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from worker.errors import ApiConnectionError, ApiError, ApiTimeoutError, ServerError, UnexpectedResponseError


class Identified(Protocol):
    """A row that can be recognised."""

    @property
    def id(self) -> int: ...


_R = TypeVar("_R")
_I = TypeVar("_I", bound=Identified)

PAGE_SIZES: Final = (250, 100, 50, 25, 10)
"""The sizes that are tried one after the other. Sites are known that time out at 100 rows and answer at 25."""
REMEMBERED_SECONDS: Final = 6 * 3600.0

Smaller = Callable[[int, ApiError], int]
"""Tells how many rows to ask for after a page of so many failed; raises the error where fewer would fare no better."""
ALIKE_PAGES: Final = 3
"""Pages in a row that begin with the same row and bring nothing new: then the server does not read the page's number,
or not its size."""
IN_FRONT: Final = (
    "Something in front of the API (a cache, a CDN or a proxy) drops a request's parameters or answers every request "
    "alike: let requests pass as they are"
)
"""Why a list's parameters are not read, and what to do about it."""


def never_smaller(_size: int, error: ApiError) -> int:
    """Raise the error: all pages are as large as they are."""
    raise error


class EndlessListError(Exception):
    """The list never ends, or its pages do not follow each other. The message completes "the list …"."""


class UnpageableListError(UnexpectedResponseError):
    """A list that answers the same page to every request, or not what was asked for.

    What it showed is true, and more may stand behind it: it is never the end of the list.
    """


class LastPage(list[_R]):
    """Rows behind which there are no more, by the server's own word."""


class PageSizes:
    """The largest pages that a system answers in time, by list. They are forgotten after some hours, or when even the
    smallest fail: then it is not their size. Safe to share between threads.
    """

    def __init__(self, sizes: Sequence[int] = PAGE_SIZES, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._sizes = sizes
        self._clock = clock
        self._found: dict[str, tuple[int, float]] = {}

    def largest(self, operation: str, asked: int) -> int:
        """Return how many rows to ask for, where `asked` are wanted."""
        size, until = self._found.get(operation, (asked, 0.0))
        return min(asked, size) if until > self._clock() else asked

    def smaller(self, operation: str, size: int, error: ApiError) -> int | None:
        """Return the size to ask for after a page of `size` failed; None where a smaller one would fare no better."""
        following = next((each for each in self._sizes if each < size), None) if _is_of_the_size(error) else None
        if following is None:
            self._found.pop(operation, None)
        else:
            self._found[operation] = (following, self._clock() + REMEMBERED_SECONDS)
        return following

    def smaller_or_raise(self, operation: str, size: int, error: ApiError) -> int:
        """Do as `smaller`, and raise the error where it says None."""
        following = self.smaller(operation, size, error)
        if following is None:
            raise error
        return following


def unpageable(system: str, operation: str, problem: str) -> UnpageableListError:
    """Return the error of a list that cannot be walked; `problem` completes "the list …"."""
    message = f"{system} {operation}: the list {problem}. {IN_FRONT}"
    return UnpageableListError(message, system=system, operation=operation, retryable=True)


def walked(system: str, operation: str, walk: Iterator[_R]) -> Iterator[_R]:
    """The pages of a walk; `UnpageableListError` where it found no end."""
    problem = ""
    try:
        yield from walk
    except EndlessListError as endless:
        problem = str(endless)
    if problem:
        raise unpageable(system, operation, problem)


def prove_paging(
    system: str, operation: str, ask: Callable[[int], Sequence[_I]], *, size: str, number: str
) -> _I | None:
    """Return a list's first row, having proved that the list can be walked; None where it is empty.

    `ask(1)` and `ask(2)` ask for its first and second pages of one row. Raises `UnpageableListError`, which names the
    parameter that is not read, `size` or `number`.
    """
    first = ask(1)
    second = ask(2) if first else []
    # Whole pages of the server's own size can be walked, too: what tells is whether the second brings anything.
    if second and is_within(second, first) and is_within(second, ask(1)):  # or a row came meanwhile, and moved them
        if len(first) > 1:
            raise unpageable(system, operation, f"does not read {size}: later rows may stay unseen")
        raise unpageable(system, operation, f"does not read {number}: later rows cannot be read")
    return first[0] if first else None


def is_within(rows: Sequence[Identified], others: Sequence[Identified]) -> bool:
    """Whether rows bring nothing beside others."""
    return {row.id for row in rows} <= {other.id for other in others}


def _is_of_the_size(error: ApiError) -> bool:
    """Whether a page may have been too long for the server, its gateway or the deadline."""
    if not (error.retryable and error.sent) or error.retry_after_seconds is not None:
        return False
    return isinstance(error, ApiTimeoutError | ServerError | ApiConnectionError)


def total_of(headers: Mapping[str, Any]) -> int | None:
    """Return how many rows the whole list has, as WordPress says in `X-WP-Total`; None where nothing says so."""
    written = str(headers.get("X-WP-Total", "")).strip()
    return int(written) if written.isascii() and written.isdecimal() and len(written) <= 12 else None
