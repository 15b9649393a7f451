"""Step definitions: what makes a call safe to repeat, and what a definition is made of."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.unit.workflows.fakes.storefront import JANE, NOW
from worker.clients.base import CallLimits
from worker.ledger.session import Ledger
from workflows.execution.steps import Call, Lookup, Repeat, StepDefinition, StepResult


def call_nothing(_: Call) -> StepResult:
    return StepResult({})


def look_up_nothing(_: Call, since: datetime) -> Lookup:
    return Lookup(output={"since": since})


def test_definition_is_refused_when_it_has_a_lookup_and_is_not_to_be_asked_about_or_the_reverse() -> None:
    with pytest.raises(ValueError, match="just where it is to be asked about"):
        StepDefinition("a", "learningcart", call_nothing, look_up_nothing)
    with pytest.raises(ValueError, match="just where it is to be asked about"):
        StepDefinition("a", "learningcart", call_nothing, repeat=Repeat.ASK)


def test_call_has_limits_of_its_own_when_none_are_given() -> None:
    call = Call({}, Ledger("sqlite://"), "studiocart", "1109", JANE, {"price_id": 501}, "a", "cb-x", {}, NOW)
    assert call.limits == CallLimits()
