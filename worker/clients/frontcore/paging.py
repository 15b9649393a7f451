"""Walks a list that is newest first and known by page numbers alone, without skipping a row while the list moves.

Rows that appear on top push the others down: a walk by page numbers then sees some twice, which does no harm. Rows that
vanish pull the others up: a walk by page numbers steps over as many rows as vanished, and nobody notices. So pages here
overlap. Page numbers allow that because the page size may differ with each request: after 250 rows, page 2 of 240 holds
rows 241 to 480. A page joins what was walked when its first row was walked before: a page is one unbroken piece of the
list, so nothing can lie between. Where it does not join, rows above it vanished, and the walk goes back until one does.

Every row that is in the list from the first request to the last is met, whatever comes and goes around it. It needs
rows that do not change places among themselves, as an order's creation does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from worker.clients.list_pages import ALIKE_PAGES, EndlessListError, Identified, LastPage, Smaller, never_smaller
from worker.errors import ApiError

OVERLAP_ROWS: Final = 10
"""Rows that a page shares with those before it: as many, less one, may vanish between two requests at no cost."""

_R = TypeVar("_R", bound=Identified)


def walk_newest_first(
    fetch: Callable[[int, int], Sequence[_R]], *, largest_page: int, page_limit: int, smaller: Smaller = never_smaller
) -> Iterator[list[_R]]:
    """Yield the list's rows in pages, each row once, none of the pages empty.

    `fetch(page, limit)` asks for one page, numbered from 1; an empty one, or a `LastPage` that is not full, is the end:
    a full one is looked behind, as what calls it the last may be the same for every request. After one that failed,
    `smaller` tells of how many rows at most the next are. The server may serve fewer rows than asked for: a page of
    fewer rows is the last only when a page before held at least as many as were asked for. A server that serves only a
    handful of rows a page may leave no room for an overlap; such pages are taken as they come; so are those of a server
    that has a page size of its own. Raises `EndlessListError` after `page_limit` requests, or when the server answers
    the same page to every request: a list answered so is never taken for its end, however short it is.
    """
    walked: set[int] = set()
    served = position = alike = 0
    first_id: int | None = None
    step_back = OVERLAP_ROWS
    largest = largest_page
    for number in range(page_limit):
        page, limit = overlapping_page(position, min(served or largest, largest))
        start = (page - 1) * limit
        try:
            rows = fetch(page, limit)
        except ApiError as error:
            largest = smaller(limit, error)
            continue
        if len(rows) > limit or alike == ALIKE_PAGES:
            fresh = _fresh(rows, walked)
            if fresh:
                yield fresh
            yield from _walk_as_numbered(fetch, walked, largest=largest, page_limit=page_limit - number)
            return
        if not (start in {0, position} or (rows and rows[0].id in walked)):
            position = max(0, start - step_back)
            step_back *= 2
            continue
        fresh = _fresh(rows, walked)
        if fresh:
            yield fresh
        if not rows or len(rows) < limit <= served or (isinstance(rows, LastPage) and len(rows) < limit):
            return
        alike = alike + 1 if not fresh and rows[0].id == first_id else 0
        first_id = rows[0].id
        served = max(served, len(rows))
        position = start + len(rows)
        step_back = OVERLAP_ROWS
    raise EndlessListError(f"has more than {page_limit} pages")


def _walk_as_numbered(
    fetch: Callable[[int, int], Sequence[_R]], walked: set[int], *, largest: int, page_limit: int
) -> Iterator[list[_R]]:
    """Yield what a server that does not read the page's size has in its own pages, from the second on."""
    is_known = False
    for page in range(2, page_limit + 2):
        rows = fetch(page, largest)
        fresh = _fresh(rows, walked)
        if fresh:
            yield fresh
        elif not rows:
            return
        elif is_known:
            raise EndlessListError("answers every page alike: later rows cannot be read")
        is_known = not fresh
    raise EndlessListError(f"has more than {page_limit} pages")


def _fresh(rows: Sequence[_R], walked: set[int]) -> list[_R]:
    """Return the rows that were not walked, each once, and note them."""
    fresh = list({row.id: row for row in rows if row.id not in walked}.values())
    walked.update(row.id for row in fresh)
    return fresh


def overlapping_page(position: int, largest_page: int) -> tuple[int, int]:
    """Return the (page number, page size) that brings most new rows after `position` and repeats enough before it.

    Fewer are repeated where no size allows the overlap wanted, none at position 0 and where every size divides it.
    """
    overlap = min(OVERLAP_ROWS, max(1, largest_page // 4))
    limit = max(range(1, largest_page + 1), key=lambda size: (min(position % size, overlap), size - position % size))
    return position // limit + 1, limit
