"""`worker.clients.threedcart_paging`: no row is stepped over, whatever comes, moves and goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import pytest

from worker.clients.frontcore_paging import EndlessListError
from worker.clients.threedcart_paging import walk_by_offset


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
    pages = list(walk_by_offset(lambda _, __: whole[:5], largest_page=20, page_limit=50))
    assert pages == [whole[:5]]
    with pytest.raises(EndlessListError, match="more than 3 pages"):
        Listed(rows(100)).walk(page_limit=3)
