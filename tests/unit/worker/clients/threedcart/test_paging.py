"""`worker.clients.threedcart.paging`: no row is stepped over, whatever comes, moves and goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import pytest

from worker.clients.list_pages import EndlessListError, PageSizes
from worker.clients.threedcart.paging import SIZES, walk_by_offset
from worker.errors import ApiError, ApiTimeoutError, AuthenticationError, ServerError, VendorNotice


@dataclass(frozen=True)
class Row:
    id: int
    version: int = 1


class Listed:
    """A list by offsets, which something happens to between two requests."""

    def __init__(
        self, rows: list[Row], *, cap: int = 1000, meanwhile: Callable[[int, list[Row]], None] | None = None
    ) -> None:
        self.rows = rows
        self.cap = cap
        self.meanwhile = meanwhile
        self.asked: list[tuple[int, int]] = []

    def fetch(self, offset: int, limit: int) -> list[Row]:
        if self.asked and self.meanwhile:
            self.meanwhile(len(self.asked), self.rows)
        self.asked.append((offset, limit))
        return self.rows[offset - 1 : offset - 1 + min(limit, self.cap)]

    def walk(self, *, largest_page: int = 20, page_limit: int = 400) -> list[Row]:
        pages = list(walk_by_offset(self.fetch, largest_page=largest_page, page_limit=page_limit))
        assert all(pages)
        return list(chain.from_iterable(pages))


def rows(count: int) -> list[Row]:
    return [Row(number) for number in range(1, count + 1)]


def test_every_row_comes_once_when_nothing_moves() -> None:
    for count in (0, 1, 2, 5, 19, 20, 21, 40, 95):
        for cap in (1, 2, 3, 7, 20, 1000):
            assert Listed(rows(count), cap=cap).walk() == rows(count), (count, cap)


def test_few_requests_are_made_when_the_list_is_short() -> None:
    for count, asked in ((0, [1]), (1, [1, 2]), (5, [1, 5]), (20, [1, 16])):
        listed = Listed(rows(count))
        listed.walk()
        assert [offset for offset, _ in listed.asked] == asked


def test_no_row_is_missed_when_others_vanish_above() -> None:
    for vanished in (1, 4, 5, 12, 19):

        def vanish(number: int, listed: list[Row], count: int = vanished) -> None:
            if number <= 2:
                del listed[:count]

        seen = Listed(rows(100), meanwhile=vanish).walk()
        left = set(rows(100)[2 * vanished :])
        assert left <= set(seen), vanished
    assert Listed(rows(30), meanwhile=lambda _, listed: listed.clear()).walk() == rows(20)


def test_no_row_is_missed_when_others_appear_or_move_and_change() -> None:
    appearing = Listed(rows(100), meanwhile=lambda number, listed: listed.insert(0, Row(1000 + number)))
    assert set(rows(100)) <= set(appearing.walk())

    def change(number: int, listed: list[Row]) -> None:
        """In the order of changes: the first row is changed, and goes to the end."""
        if number <= 8:
            listed.append(Row(listed.pop(0).id, 2))

    changing = Listed(rows(100), meanwhile=change)
    seen = changing.walk()
    assert set(changing.rows) <= set(seen)


def test_the_walk_stops_when_a_server_never_ends_its_list() -> None:
    whole = rows(20)
    with pytest.raises(EndlessListError, match="alike"):
        list(walk_by_offset(lambda _, __: whole, largest_page=20, page_limit=50))
    pages: list[list[Row]] = []
    with pytest.raises(EndlessListError, match="alike"):
        pages.extend(walk_by_offset(lambda _, __: whole[:5], largest_page=20, page_limit=50))
    assert pages == [whole[:5]]  # what it showed is true; that it is all, nobody knows
    with pytest.raises(EndlessListError, match="more than 3 pages"):
        Listed(rows(100)).walk(page_limit=3)


def test_every_row_comes_once_when_pages_shrink_on_the_way() -> None:
    @dataclass
    class Slow:
        listed: Listed
        largest: int
        after: int

        def fetch(self, offset: int, limit: int) -> list[Row]:
            if len(self.listed.asked) >= self.after and limit > self.largest:
                raise ApiTimeoutError("no answer in time")
            return self.listed.fetch(offset, limit)

    for largest in (3, 10, 25, 60, 100):
        for after in (0, 1, 2, 3):
            slow = Slow(Listed(rows(250)), largest, after)
            seen = list(chain.from_iterable(walk_by_offset(slow.fetch, largest_page=100, page_limit=2000)))
            assert seen == rows(250), (largest, after)


def test_a_smaller_page_is_not_asked_for_when_size_is_not_the_trouble() -> None:
    for error in (
        ApiTimeoutError("not sent", sent=False),
        AuthenticationError("no", status=401),
        ServerError("down", status=503, notice=VendorNotice(retry_after_seconds=60.0)),
    ):
        asked: list[int] = []

        def fetch(_offset: int, limit: int, error: ApiError = error, asked: list[int] = asked) -> list[Row]:
            asked.append(limit)
            raise error

        with pytest.raises(type(error)):
            list(walk_by_offset(fetch, largest_page=100, page_limit=9))
        assert asked == [100]


def test_small_pages_are_asked_for_from_then_on_when_a_large_one_came_too_late() -> None:
    sizes = PageSizes(SIZES)
    asked: list[int] = []

    def fetch(_offset: int, limit: int) -> list[Row]:
        asked.append(limit)
        if limit > 25:
            raise ApiTimeoutError("no answer in time")
        return []

    for _ in range(2):
        assert list(walk_by_offset(fetch, largest_page=100, page_limit=9, sizes=sizes)) == []
    assert asked == [100, 25, 25]
