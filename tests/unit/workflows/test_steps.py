"""Step definitions: what makes a call safe to repeat, and what a definition is made of."""

from __future__ import annotations

from tests.unit.workflows.academy import Academy
from tests.unit.workflows.shop import JANE, NOW
from worker.clients.base import CallLimits
from workflows.offers import Grant
from workflows.steps import Call, Destination, Lookup, StepDefinition, StepResult


def test_call_is_safe_to_repeat_when_it_has_no_lookup() -> None:
    def call(_: Call) -> StepResult:
        return StepResult({})

    assert StepDefinition("a", "learningcart", call).safe_to_repeat
    assert not StepDefinition("a", "learningcart", call, lambda _call, _since: Lookup()).safe_to_repeat


def test_call_has_limits_of_its_own_when_none_are_given() -> None:
    call = Call({}, "studiocart", "1109", JANE, Grant(price_id=501), "a", "cb-x", {}, NOW)
    assert call.limits == CallLimits()


def test_client_is_a_destination_when_it_can_get_ready() -> None:
    destination: Destination = Academy()  # type: ignore[assignment]  # holds its limits as a keyword alone
    destination.ready()
