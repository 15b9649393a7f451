"""Walks a list that is known by offsets alone, without skipping a row while the list moves.

Rows that vanish pull the others up, and a walk that goes by offsets alone steps over as many. So each page begins a few
rows before the end of what was walked, and must begin with a row that was: nothing can lie between. Where it does not,
rows above it vanished or moved, and the walk goes back until one does. A row that was walked and has changed since (a
list in the order of changes moves it) is given again as it is now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from worker.clients.list_pages import ALIKE_PAGES, EndlessListError, Identified, PageSizes
from worker.errors import ApiError

OVERLAP_ROWS: Final = 10
"""Rows that a page shares with those before it: as many, less one, may vanish between two requests at no cost."""

SIZES: Final = (100, 25, 10, 3)
"""The sizes that are asked for one after the other while pages come too late: 100 orders may take a minute."""
_LIST: Final = "list"

_R = TypeVar("_R", bound=Identified)


def walk_by_offset(
    fetch: Callable[[int, int], Sequence[_R]],
    *,
    largest_page: int,
    page_limit: int,
    sizes: PageSizes | None = None,
) -> Iterator[list[_R]]:
    """Yield the list's rows in pages, none of them empty; each row once, and again where it changed meanwhile.

    `fetch(offset, limit)` asks for one page; the first row's offset is 1, and an empty page is past the end. A page
    that came too late is asked for again as a smaller one. The server may serve fewer rows than asked for: a page of
    fewer rows is the last only when a page before held more. Raises `EndlessListError` after `page_limit` requests, or
    when pages are answered alike, whatever is asked for: what was given is true then, and more may stand behind it.
    """
    sizes = sizes or PageSizes(SIZES)
    walked: dict[int, _R] = {}
    position = overlap = served = alike = 0
    before: list[int] = []
    step_back = OVERLAP_ROWS
    for _ in range(page_limit):
        start = max(0, position - overlap)
        asked = sizes.largest(_LIST, largest_page)
        try:
            rows = fetch(start + 1, asked)
        except ApiError as error:
            smaller = sizes.smaller_or_raise(_LIST, asked, error)
            # Smaller pages share fewer rows, and a page is short by their size, not by that of the larger ones.
            served = min(served, smaller)
            overlap = min(overlap, served // 4)
            continue
        if 0 < start < position and not (rows and rows[0].id in walked):
            position, overlap = start, step_back
            step_back *= 2
            continue
        fresh = [row for row in rows if walked.get(row.id) != row]
        walked.update((row.id, row) for row in rows)
        if fresh:
            yield fresh
        if len(rows) < max(served, 1):
            return
        ids = [row.id for row in rows]
        alike = alike + 1 if not fresh and ids == before else 0
        if alike == ALIKE_PAGES:
            raise EndlessListError("answers every page alike: later rows cannot be read")
        before = ids
        served = max(served, len(rows))
        position = start + len(rows)
        overlap, step_back = min(OVERLAP_ROWS, served // 4), OVERLAP_ROWS
    raise EndlessListError(f"has more than {page_limit} pages")
