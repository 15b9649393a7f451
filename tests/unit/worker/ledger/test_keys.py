from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.ledger import keys
from worker.ledger.keys import new_id

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def test_key_is_the_contracts_when_its_parts_are() -> None:
    assert keys.run_key("studiocart", "1109", "1107", "buyer", "501") == "studiocart/1109/1107/buyer/501"
    assert (
        keys.run_key("frontcore", "27244", "31400", "participant-124920-user-154420", "601")
        == "frontcore/27244/31400/participant-124920-user-154420/601"
    )
    assert keys.seat_key("studiocart", "1109", "1107", "buyer") == "studiocart/1109/1107/buyer"


def test_reference_is_stable_over_versions_of_the_program() -> None:
    assert keys.reference("studiocart/1109/1107/buyer/501", "add_comped_order", 0) == "cb-ni4aw7qwadscvoi7iwjs"


@settings(max_examples=50, deadline=None)
@given(st.text(), st.text(), st.integers(min_value=0, max_value=9))
def test_reference_has_one_form_and_is_found_whole(key: str, step: str, generation: int) -> None:
    mark = keys.reference(key, step, generation)
    assert len(mark) == 23
    assert keys.references_in(mark) == {mark}


def test_reference_differs_when_key_step_or_generation_does() -> None:
    marks = {keys.reference(key, step, number) for key in "ab" for step in "cd" for number in (0, 1)}
    assert len(marks) == 8


MARK = keys.reference("k", "s", 0)


@pytest.mark.parametrize(
    "text",
    [
        f"{MARK} studiocart order 1109",
        f"Customer wrote: please hurry ({MARK}).",
        f"<p>{MARK}</p>",
        MARK.upper(),
        f"{MARK}\r\n{MARK}",
        f"ref:{MARK},",
    ],
)
def test_reference_is_found_wherever_it_stands(text: str) -> None:
    assert keys.references_in(text) == {MARK}


@pytest.mark.parametrize(
    "text",
    [None, "", MARK[:-1], f"{MARK}a", f"{MARK}2", f"x{MARK}", f"7{MARK}", f"-{MARK}", f"{MARK}-1", "cb-" + "1" * 20],
)
def test_nothing_is_found_when_the_reference_is_not_a_whole_word(text: str | None) -> None:
    assert keys.references_in(text) == set()


def test_both_are_found_when_a_text_holds_two() -> None:
    other = keys.reference("k", "s", 1)
    assert keys.references_in(f"{MARK} {other}") == {MARK, other}


def test_id_is_twenty_readable_characters() -> None:
    made = new_id(NOW)
    assert len(made) == 20
    assert set(made) <= set("0123456789abcdefghjkmnpqrstvwxyz")


def test_ids_differ_when_made_at_one_moment() -> None:
    assert len({new_id(NOW) for _ in range(1000)}) == 1000


def test_ids_sort_by_time_through_the_ages() -> None:
    moments = [NOW + timedelta(milliseconds=1), datetime(1970, 1, 2, tzinfo=UTC), NOW, datetime(9999, 1, 1, tzinfo=UTC)]
    assert sorted(moments) == [moment for _, moment in sorted((new_id(moment), moment) for moment in moments)]
