from __future__ import annotations

from typing import Any

import pytest

from tests.records import record
from worker.actions import ActionItem, ActionKind, items
from worker.advice import ADVICE, advice
from worker.ledger.states import RunState
from worker.ledger.views.records import RunItem
from worker.reasons import Reason
from worker.web.page.actions.links import in_buttons, offered, suggested

RUN = "01m80brza576vm64tp63"


@pytest.mark.parametrize(
    ("kind", "arguments", "path"),
    [
        ("replay", {"run_id": RUN}, f"/runs/{RUN}/replay"),
        ("replan", {"run_id": RUN}, f"/runs/{RUN}/replan"),
        ("repeat", {"run_id": RUN, "step": "x", "reason": "not made"}, f"/runs/{RUN}/repeat?step=x"),
        ("repeat", {"run_id": RUN, "reason": None}, f"/runs/{RUN}/repeat?step="),
        ("resolve", {"run_id": RUN, "note": None}, f"/runs/{RUN}/resolve"),
        ("cancel", {"run_id": RUN}, f"/runs/{RUN}/cancel"),
        ("resume", {"system": "learningcart"}, "/systems/learningcart/resume"),
        ("check_offers", {}, "/offers"),
        ("check", {}, "/systems"),
        ("status", {}, "/systems"),
    ],
)
def test_action_becomes_the_page_that_does_the_same_when_there_is_one(
    kind: str, arguments: dict[str, str | None], path: str
) -> None:
    # What the command is called makes no difference.
    assert [button.path for button in suggested([ActionItem(kind, arguments, "cartbridge up")])] == [path]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("replay", {"run_id": None}),
        ("repeat", {"run_id": None}),
        ("resolve", {"run_id": None, "note": None}),
        ("show_run", {"run_id": RUN}),
        ("ingest", {"source": "studiocart", "order_id": "1"}),
        ("resume", {"system": "nothing"}),
        ("start", {}),
    ],
)
def test_action_becomes_no_button_when_the_page_has_none_or_a_person_must_say_which(
    kind: str, arguments: dict[str, str | None]
) -> None:
    assert suggested([ActionItem(kind, arguments, f"cartbridge replay {RUN}")]) == []


@pytest.mark.parametrize("kind", ActionKind)
def test_no_kind_of_action_is_unknown_to_the_page(kind: ActionKind) -> None:
    suggested([ActionItem(kind, {"run_id": RUN, "system": "mail"}, "")])


def test_first_button_is_what_to_do_when_a_step_names_several() -> None:
    found = advice(Reason.UNMAPPED_PRODUCT, run_id=RUN)
    assert found is not None
    assert [button.label for button in suggested(items(found.step))] == ["Offers", "Replay"]


def test_what_to_do_is_said_as_the_buttons_are_called_when_the_page_has_them() -> None:
    found = advice(Reason.UNNAMED_SEAT, run_id=RUN)
    assert found is not None
    said = in_buttons(found.step.text, items(found.step))
    assert said.startswith("Ask the buyer for the learner, then **Name this seat**; ")
    assert said.endswith(" Given by hand already: **Resolve**.")
    other = advice(Reason.UNMAPPED_PRODUCT, run_id=RUN)
    assert other is not None
    assert "run `cartbridge offers check`, then **Replay**." in in_buttons(other.step.text, items(other.step))


@pytest.mark.parametrize("reason", sorted(ADVICE))
def test_every_action_about_a_run_has_its_button_when_advice_is_given(reason: Reason) -> None:
    found = advice(reason, run_id=RUN)
    assert found is not None
    about_run = {action.kind for action in found.actions if action.known("run_id")} - {ActionKind.SHOW_RUN}
    buttons = suggested(items(found.step))
    assert len([button for button in buttons if RUN in button.path]) == len(about_run)


def a_run(state: RunState, **values: Any) -> RunItem:
    return record(RunItem, **({"id": RUN, "state": state, "workflow": "enrolment", "order_id": "1"} | values))


@pytest.mark.parametrize(
    ("run", "labels"),
    [
        (a_run(RunState.FAILED), ["Replay", "Resolve", "Plan again", "Cancel", "Name this seat"]),
        (a_run(RunState.PENDING, email="j@x.example"), ["Resolve", "Plan again", "Cancel", "Correct this address"]),
        (a_run(RunState.RUNNING), []),
        (a_run(RunState.SUCCEEDED), ["Plan again", "Name this seat"]),
        (a_run(RunState.CANCELLED), ["Replay", "Plan again"]),
        (a_run(RunState.SUCCEEDED, reason="done_by_hand"), ["Reopen", "Plan again", "Name this seat"]),
        (a_run(RunState.CANCELLED, reason="cancelled_by_operator"), ["Replay", "Reopen", "Plan again"]),
        (a_run(RunState.REVIEW, workflow="revocation"), ["Resolve", "Cancel"]),
        (a_run(RunState.WAITING, workflow="follow_on", order_id=None), ["Replay", "Resolve", "Cancel"]),
    ],
)
def test_only_what_a_state_allows_is_offered_when_a_run_is_shown(run: RunItem, labels: list[str]) -> None:
    assert [button.label for button in offered(run)] == labels
