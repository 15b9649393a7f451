"""Walks one of Studiocart's lists, page by page, to its end; and tells a list that cannot be walked from one that ends.

A page without rows is the end. A short page is not: a site may cap the size, or read no parameters at all and always
show its newest ten. Nor is it where `X-WP-Total` says that all rows were seen: a site may count the page's own. But one
that then brings nothing new is the end. Two pages in a row that bring nothing new, or ids in another order than asked
for, say that the parameters are not read: then the other way of sending them is tried, and where that is no better the
walk fails, never ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from worker.clients.list_pages import PageSizes, UnpageableListError, unpageable
from worker.clients.studiocart.models import IdentifiedRecord
from worker.clients.studiocart.requests import SYSTEM, StudiocartRequests
from worker.clients.unreadable import Rows
from worker.errors import ApiError, UnexpectedResponseError

PAGE_LIMIT: Final = 10_000
"""A list of more requests than this is taken for a server that never ends."""

_MOST_PAGES_WITHOUT_NEW_ROWS: Final = 2
"""So many in a row, and the page's number is not read. One alone may come of rows that moved down meanwhile."""

_R = TypeVar("_R", bound=IdentifiedRecord)


@dataclass(frozen=True)
class Listed(Generic[_R]):
    """One page as the site answered it; `total` is how many rows it says the list has."""

    records: Rows[_R]
    total: int | None = None


@dataclass
class ListWalk(Generic[_R]):
    """One walk. `fetch(parameters)` asks for a page; `parameters` are its filters and `per_page`."""

    operation: str
    parameters: Mapping[str, Any]
    fetch: Callable[[Mapping[str, Any]], Listed[_R]]
    requests: StudiocartRequests
    sizes: PageSizes
    page_limit: int = PAGE_LIMIT
    _seen: set[int] = field(default_factory=set)
    _position: int = 0
    """Rows that were walked, in the order of the list."""
    _largest: int = 0
    """Rows of the longest page served."""
    _pages_without_new_rows: int = 0
    _has_changed_way: bool = False

    def pages(self) -> Iterator[Rows[_R]]:
        """Yield the pages, none empty. A row may come again where the list moved, or the walk began anew."""
        size, number = self._first_size(), 1
        for _ in range(self.page_limit):
            try:
                page = self.fetch({**self.parameters, "per_page": size, "page": number})
            except ApiError as error:
                smaller = self.sizes.smaller(self.operation, size, error)
                if self._has_changed_way and not self._position:
                    raise self._unpageable() from error
                if smaller is None:
                    raise
                size, number = self._resize(smaller)
                continue
            if not page.records:
                if self._has_changed_way and not self._position:
                    raise self._unpageable()
                return
            is_read = self._is_read(page)
            is_whole = self._is_whole(page)
            if not (is_read or is_whole or self._has_changed_way):
                size, number = self._change_way()
                continue
            self._note(page)
            if not self._pages_without_new_rows:
                yield page.records
            if is_whole and self._pages_without_new_rows:
                return
            if not is_read:
                raise self._unpageable()
            number += 1
        raise UnexpectedResponseError(
            f"{SYSTEM} {self.operation}: more than {self.page_limit} pages", system=SYSTEM, operation=self.operation
        )

    def _first_size(self) -> int:
        return self.sizes.largest(self.operation, int(self.parameters["per_page"]))

    def _resize(self, smaller: int) -> tuple[int, int]:
        """The size and number of the page, of `smaller` rows at most, that holds the next row."""
        size = min(smaller, self._largest or smaller)
        return size, self._position // size + 1

    def _change_way(self) -> tuple[int, int]:
        self._has_changed_way = True
        self.requests.change_way()
        self._position = self._largest = self._pages_without_new_rows = 0
        return self._first_size(), 1

    def _note(self, page: Listed[_R]) -> None:
        self._seen.update(record.id for record in page.records)
        self._position += len(page.records)
        self._largest = max(self._largest, len(page.records))

    def _is_read(self, page: Listed[_R]) -> bool:
        """Whether the site seems to read the parameters: pages bring news, and ids come in the order asked for."""
        ids = [record.id for record in page.records]
        self._pages_without_new_rows = self._pages_without_new_rows + 1 if self._seen.issuperset(ids) else 0
        if self._pages_without_new_rows >= _MOST_PAGES_WITHOUT_NEW_ROWS:
            return False
        is_by_id = self.parameters.get("orderby") == "id" and "order" in self.parameters
        named = [each for each in ids if each > 0]  # of what cannot be read, not every row shows its id
        return not is_by_id or named == sorted(named, reverse=self.parameters["order"] == "desc")

    def _is_whole(self, page: Listed[_R]) -> bool:
        """Whether the site itself says that there are no more rows than were seen."""
        return page.total is not None and len(self._seen.union(record.id for record in page.records)) >= page.total

    def _unpageable(self) -> UnpageableListError:
        """The walk's failure; the next one begins with the first way again."""
        self.requests.begin_anew()
        return unpageable(
            SYSTEM,
            self.operation,
            "is answered as if no parameters were read, neither of the query nor of the body: "
            f"{len(self._seen)} records were read, and more may stand behind them",
        )
