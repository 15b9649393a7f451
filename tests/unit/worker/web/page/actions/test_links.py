from __future__ import annotations

from typing import Any

import pytest

from tests.records import record
from worker.advice import ADVICE, advice
from worker.ledger.states import RunState
from worker.ledger.views.records import RunItem
from worker.reasons import Reason
from worker.web.page.actions.links import offered, suggested

RUN = "01m80brza576vm64tp63"


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (f"replay {RUN}", f"/runs/{RUN}/replay"),
        (f"replay {RUN} --replan", f"/runs/{RUN}/replan"),
        (f'replay {RUN} --from-step x --again --reason "not made"', f"/runs/{RUN}/repeat?step=x"),
        (f"replay {RUN} --again --reason TEXT", f"/runs/{RUN}/repeat?step="),
        (f"runs resolve {RUN} --note TEXT", f"/runs/{RUN}/resolve"),
        (f"runs cancel {RUN}", f"/runs/{RUN}/cancel"),
        ("resume learningcart", "/systems/learningcart/resume"),
        ("offers check", "/offers"),
        ("status", "/systems"),
    ],
)  # fmt: skip
def test_command_becomes_the_page_that_does_the_same_when_there_is_one(command: str, path: str) -> None:
    assert [button.path for button in suggested(f"Look there, then `cartbridge {command}`.")] == [path]


@pytest.mark.parametrize(
    "command", ["replay RUN", "replay", "up", "ingest studiocart 1", 'runs resolve "', "resume SYSTEM"]
)
def test_command_becomes_no_button_when_it_names_nothing_here(command: str) -> None:
    assert suggested(f"`cartbridge {command}`") == []


def test_first_button_is_what_to_do_when_a_sentence_names_several() -> None:
    found = advice(Reason.UNMAPPED_PRODUCT, run_id=RUN)
    assert found is not None
    assert [button.label for button in suggested(found.action)] == ["Offers", "Replay"]


@pytest.mark.parametrize("reason", sorted(ADVICE))
def test_every_command_about_a_run_has_its_button_when_advice_is_given(reason: Reason) -> None:
    found = advice(reason, run_id=RUN)
    assert found is not None
    assert len(suggested(found.action)) >= (RUN in found.action)


def a_run(state: RunState, **values: Any) -> RunItem:
    return record(RunItem, **({"id": RUN, "state": state, "workflow": "enrolment", "order_id": "1"} | values))


@pytest.mark.parametrize(
    ("run", "labels"),
    [
        (a_run(RunState.FAILED), ["Replay", "Resolve", "Plan again", "Cancel"]),
        (a_run(RunState.PENDING), ["Resolve", "Plan again", "Cancel"]),
        (a_run(RunState.RUNNING), []),
        (a_run(RunState.SUCCEEDED), ["Plan again"]),
        (a_run(RunState.CANCELLED), ["Replay", "Plan again"]),
        (a_run(RunState.REVIEW, workflow="revocation"), ["Resolve", "Cancel"]),
        (a_run(RunState.WAITING, workflow="follow_on", order_id=None), ["Replay", "Resolve", "Cancel"]),
    ],
)
def test_only_what_a_state_allows_is_offered_when_a_run_is_shown(run: RunItem, labels: list[str]) -> None:
    assert [button.label for button in offered(run)] == labels
