"""`worker.clients.frontcore.paging`: a list that moves while it is walked, and no row of it skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.clients.frontcore.paging import overlapping_page, walk_newest_first
from worker.clients.list_pages import EndlessListError
from worker.errors import ApiTimeoutError


@dataclass(frozen=True)
class Row:
    id: int


@dataclass
class Account:
    """A list, newest first, served in pages of `cap` at most. Before every request but the first, something happens."""

    ids: list[int]
    cap: int = 1000
    happenings: Iterator[Callable[[Account], None]] = field(default_factory=lambda: iter(()))
    asked: list[tuple[int, int]] = field(default_factory=list)
    vanished: set[int] = field(default_factory=set)
    newest: int = 1_000_000

    def fetch(self, page: int, limit: int) -> list[Row]:
        if self.asked:
            next(self.happenings, lambda account: None)(self)
        self.asked.append((page, limit))
        size = min(limit, self.cap)
        return [Row(each) for each in self.ids[(page - 1) * size : page * size]]

    def create(self, count: int) -> None:
        for _ in range(count):
            self.newest += 1
            self.ids.insert(0, self.newest)

    def delete(self, start: int, count: int) -> None:
        self.vanished.update(self.ids[start : start + count])
        del self.ids[start : start + count]

    def join(self, place: int) -> None:
        """An older order begins to match the filter: it was changed meanwhile."""
        self.newest += 1
        self.ids.insert(place, self.newest)


def walked(account: Account, *, largest_page: int = 25, page_limit: int = 500) -> list[int]:
    pages = list(walk_newest_first(account.fetch, largest_page=largest_page, page_limit=page_limit))
    assert all(pages)
    return [row.id for page in pages for row in page]


def walked_by_page_numbers(account: Account, *, largest_page: int = 25) -> list[int]:
    """What everybody writes first, here to show that the model catches it."""
    found: list[int] = []
    page = 1
    while rows := account.fetch(page, largest_page):
        found += [row.id for row in rows]
        page += 1
    return found


def newest_first(count: int) -> list[int]:
    return list(range(count, 0, -1))


@pytest.mark.parametrize("cap", [1, 2, 3, 7, 24, 25, 1000])
def test_every_row_comes_once_and_in_order_when_nothing_moves(cap: int) -> None:
    for count in (0, 1, 2, 3, 24, 25, 26, 50, 75, 130):
        assert walked(Account(newest_first(count), cap)) == newest_first(count)


def test_few_requests_are_made_when_the_list_is_short() -> None:
    requests = {count: Account(newest_first(count)) for count in (0, 2, 249, 250, 2_500)}
    for account in requests.values():
        walked(account, largest_page=250)
    assert {count: len(account.asked) for count, account in requests.items()} == {
        0: 1, 2: 2, 249: 2, 250: 2, 2_500: 12,
    }  # fmt: skip


def test_nothing_is_asked_for_when_nobody_needs_it() -> None:
    account = Account(newest_first(100))
    pages = walk_newest_first(account.fetch, largest_page=25, page_limit=9)
    assert account.asked == []
    next(pages)
    assert account.asked == [(1, 25)]


happenings = st.one_of(
    st.builds(lambda count: lambda account: account.create(count), st.integers(1, 90)),
    st.builds(
        lambda place, count: lambda account: account.delete(place, count), st.integers(0, 80), st.integers(1, 60)
    ),
    st.builds(lambda place: lambda account: account.join(place), st.integers(0, 80)),
    st.just(lambda account: None),
)


@settings(max_examples=80, deadline=None)
@given(
    count=st.integers(0, 120),
    cap=st.integers(7, 40),
    largest_page=st.integers(7, 40),
    story=st.lists(st.lists(happenings, max_size=4), max_size=25),
)
def test_no_row_that_stays_is_skipped_when_others_come_and_go_during_the_walk(
    count: int, cap: int, largest_page: int, story: list[list[Callable[[Account], None]]]
) -> None:
    def all_of(chapter: list[Callable[[Account], None]]) -> Callable[[Account], None]:
        def happen(account: Account) -> None:
            for each in chapter:
                each(account)

        return happen

    account = Account(newest_first(count), cap, iter([all_of(chapter) for chapter in story]))
    found = walked(account, largest_page=largest_page)
    assert set(newest_first(count)) - account.vanished <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("vanishing", [1, 5, 6, 24, 60])
def test_a_walk_by_page_numbers_alone_skips_what_this_one_finds_when_rows_vanish(vanishing: int) -> None:
    def happen(account: Account) -> None:
        account.delete(0, vanishing)

    staying = newest_first(100 - vanishing)
    naive = Account(newest_first(100), happenings=iter([happen]))
    assert not set(staying) <= set(walked_by_page_numbers(naive))
    assert set(staying) <= set(walked(Account(newest_first(100), happenings=iter([happen]))))


def test_the_walk_ends_when_everything_vanishes() -> None:
    account = Account(newest_first(100), happenings=iter([lambda account: account.delete(0, 100)]))
    assert walked(account) == newest_first(100)[:25]


def test_rows_are_found_when_more_arrive_than_a_page_holds() -> None:
    account = Account(newest_first(60), happenings=iter([lambda account: account.create(200)]))
    assert set(newest_first(60)) <= set(walked(account))


def test_a_server_that_repeats_a_row_within_a_page_gives_it_once() -> None:
    assert walked(Account([3, 3, 2, 1])) == [3, 2, 1]


def test_the_walk_fails_loudly_when_whole_pages_are_all_alike() -> None:
    rows = [Row(each) for each in newest_first(100)]
    with pytest.raises(EndlessListError, match="alike"):
        list(walk_newest_first(lambda page, limit: rows[:limit], largest_page=25, page_limit=500))


@pytest.mark.parametrize("count", [1, 5, 20, 25, 40])
def test_the_walk_fails_behind_what_it_showed_when_every_page_is_the_same(count: int) -> None:
    rows = [Row(each) for each in newest_first(count)]
    seen: list[Row] = []
    pages = walk_newest_first(lambda page, limit: rows, largest_page=25, page_limit=500)
    with pytest.raises(EndlessListError, match="alike"):
        seen.extend(row for page in pages for row in page)
    assert seen == rows


@pytest.mark.parametrize("count", [0, 1, 5, 24, 25, 26, 30, 49, 50, 51, 130])
@pytest.mark.parametrize("own_size", [5, 10, 25, 40])
def test_every_row_comes_when_an_account_has_a_page_size_of_its_own(count: int, own_size: int) -> None:
    def fetch(page: int, _limit: int) -> list[Row]:
        return [Row(each) for each in newest_first(count)[(page - 1) * own_size : page * own_size]]

    pages = walk_newest_first(fetch, largest_page=25, page_limit=500)
    assert {row.id for page in pages for row in page} == set(newest_first(count))


@pytest.mark.parametrize("slow_from", [1, 2, 3])
@pytest.mark.parametrize("fast_enough", [3, 10, 24])
def test_every_row_comes_when_large_pages_come_too_late(slow_from: int, fast_enough: int) -> None:
    account = Account(newest_first(130))

    def fetch(page: int, limit: int) -> list[Row]:
        if limit > fast_enough and len(account.asked) >= slow_from - 1:
            raise ApiTimeoutError("late")
        return account.fetch(page, limit)

    pages = walk_newest_first(fetch, largest_page=100, page_limit=500, smaller=lambda size, _: max(3, size // 2))
    assert [row.id for page in pages for row in page] == newest_first(130)


def test_the_walk_fails_loudly_when_the_list_never_ends() -> None:
    def fetch(page: int, limit: int) -> list[Row]:
        return [Row(number) for number in range((page - 1) * limit, page * limit)]

    with pytest.raises(EndlessListError, match="more than 5 pages"):
        list(walk_newest_first(fetch, largest_page=25, page_limit=5))


@settings(max_examples=30, deadline=None)
@given(position=st.integers(0, 20_000), largest_page=st.integers(1, 250))
def test_a_page_overlaps_and_advances_when_any_size_allows_it(position: int, largest_page: int) -> None:
    page, limit = overlapping_page(position, largest_page)
    start = (page - 1) * limit
    assert 1 <= limit <= largest_page
    assert start <= position < start + limit
    if largest_page >= 25 and position:
        assert position - start >= min(position, 6)
        assert start + limit - position >= largest_page // 4
