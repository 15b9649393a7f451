from __future__ import annotations

from datetime import timedelta

import pytest

from tests.unit.workflows.fakes.polled_storefront import numbered
from tests.unit.workflows.fakes.storefront import NOW
from worker.sources.source import Page, Until, Walk
from workflows.ingest.paging import OVERLAP_ORDERS, Position, Progress, Steps

PAGE = Page(tuple(numbered(100, 99, 98)), NOW)


def steps(until: Until, **more: object) -> Steps:
    return Steps(Walk(iter(()), until), **more)  # type: ignore[arg-type]


def test_position_is_as_it_was_when_it_is_read_again() -> None:
    position = Position(highest_id=7, polled_at=NOW, unsettled=3)
    assert Position.read(position.document()) == position
    assert Position.read({}) == Position()
    assert Position.read(Position().document()) == Position()


def test_marks_move_only_when_everything_is_recorded() -> None:
    before = Position(highest_id=50, polled_at=NOW - timedelta(minutes=5), unsettled=2)
    progress = Progress(before, NOW)
    progress.see(PAGE)
    progress.recorded, progress.settled = 5, 3
    assert progress.position_of_page() == Position(50, before.polled_at, unsettled=7)
    assert progress.position_of_first_sweep() == Position(100, NOW, unsettled=7)
    assert progress.position_of_poll() == Position(100, NOW, unsettled=2)
    progress.see(Page((), NOW))
    assert progress.seen_id == 100


@pytest.mark.parametrize(("highest_id", "expected"), [(97 + OVERLAP_ORDERS, False), (98 + OVERLAP_ORDERS, True)])
def test_look_for_new_orders_ends_when_a_page_reaches_below_the_overlap(highest_id: int, expected: bool) -> None:
    assert steps(Until.KNOWN_ID).is_far_enough(PAGE, highest_id=highest_id) is expected


@pytest.mark.parametrize(
    ("known", "unsettled", "has_changes", "expected"),
    [(1, 0, False, True), (3, 3, False, False), (4, 3, False, True), (4, 3, True, False), (0, 0, False, False)],
)
def test_look_for_changes_ends_when_more_is_known_than_was_recorded(
    known: int, unsettled: int, has_changes: bool, expected: bool
) -> None:
    looked = steps(
        Until.UNCHANGED, unsettled=unsettled, settled={str(each) for each in range(known)}, has_changes=has_changes
    )
    assert looked.is_far_enough(PAGE, highest_id=0) is expected


def test_walk_goes_to_its_end_when_the_source_made_it_short() -> None:
    assert not steps(Until.END).is_far_enough(PAGE, highest_id=10_000)


def test_unknown_order_is_a_question_wherever_it_stands_when_all_of_a_walk_was_changed() -> None:
    settled = {str(each) for each in range(100)}
    assert not steps(Until.END, settled=settled).is_old_page(PAGE)
    assert steps(Until.UNCHANGED, settled=settled).is_old_page(PAGE)
    assert not steps(Until.UNCHANGED, settled=settled, unsettled=101).is_old_page(PAGE)
    assert steps(Until.END, baseline=True).is_old_page(PAGE)
