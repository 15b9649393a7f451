from __future__ import annotations

import re

import pytest

from worker.actions import command
from worker.advice import ADVICE, advice
from worker.reasons import Reason


def test_every_reason_has_its_advice() -> None:
    assert set(ADVICE) == set(Reason)


def test_advice_is_a_sentence_and_an_action_for_every_reason() -> None:
    for reason in Reason:
        found = advice(reason)
        assert found is not None, reason
        for text in (found.sentence, found.action):
            assert text.endswith("."), text
            assert text[0].isupper() or text.startswith("`"), text
            assert "  " not in text, text
            assert text.count("`") % 2 == 0, text


def test_ids_are_filled_in_wherever_a_command_names_them() -> None:
    for reason in Reason:
        found, plain = advice(reason, run_id="r-1", source="studiocart", order_id="1109"), advice(reason)
        assert found is not None, reason
        assert plain is not None, reason
        assert not re.search(r"\b(RUN|SOURCE|ORDER)\b", found.action), found.action
        assert ("r-1" in found.action) == ("RUN" in plain.action), found.action


def test_learningcarts_order_is_not_taken_for_the_sources() -> None:
    found = advice(Reason.OUTCOME_UNPROVABLE, run_id="r-1", order_id="1109")
    assert found is not None
    assert "1109" not in found.action
    assert "`cartbridge runs resolve r-1 " in found.action


def test_command_is_ready_to_run_when_its_ids_are_known() -> None:
    found = advice(Reason.ORDER_NOT_FOUND, source="studiocart", order_id="1109")
    assert found is not None
    assert "`cartbridge ingest studiocart 1109`" in found.action


@pytest.mark.parametrize("code", [None, "", "no_such_reason"])
def test_there_is_no_advice_when_the_code_is_unknown(code: str | None) -> None:
    assert advice(code) is None


def test_actions_are_the_commands_of_the_sentence_when_advice_is_given() -> None:
    for reason in Reason:
        found = advice(reason, run_id="r-1", source="studiocart", order_id="1109")
        assert found is not None, reason
        said = re.findall(r"`(cartbridge [^`]+)`", found.action)
        assert [command(action) for action in found.actions] == said, reason
