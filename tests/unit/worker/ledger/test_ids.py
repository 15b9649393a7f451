from __future__ import annotations

from datetime import UTC, datetime, timedelta

from worker.ledger.ids import new_id

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def test_id_is_twenty_readable_characters() -> None:
    made = new_id(NOW)
    assert len(made) == 20
    assert set(made) <= set("0123456789abcdefghjkmnpqrstvwxyz")


def test_ids_differ_when_made_at_one_moment() -> None:
    assert len({new_id(NOW) for _ in range(1000)}) == 1000


def test_ids_sort_by_time_through_the_ages() -> None:
    moments = [NOW + timedelta(milliseconds=1), datetime(1970, 1, 2, tzinfo=UTC), NOW, datetime(9999, 1, 1, tzinfo=UTC)]
    assert sorted(moments) == [moment for _, moment in sorted((new_id(moment), moment) for moment in moments)]
