from __future__ import annotations

from worker.reasons import Reason


def test_codes_are_the_names_in_lower_case() -> None:
    assert [str(reason) for reason in Reason] == [reason.name.lower() for reason in Reason]
