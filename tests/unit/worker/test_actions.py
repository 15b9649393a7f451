from __future__ import annotations

import shlex

import pytest

from worker.actions import (
    ORDER,
    RUN,
    SOURCE,
    Action,
    ActionItem,
    ActionKind,
    Blank,
    NextStep,
    command,
    explaining,
    items,
    resuming,
)

RUN_ID = "01m80brza576vm64tp63"


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (Action(ActionKind.REPLAY, {"run_id": RUN_ID}), f"replay {RUN_ID}"),
        (Action(ActionKind.REPLAN, {"run_id": RUN_ID}), f"replay {RUN_ID} --replan"),
        (
            Action(ActionKind.REPEAT, {"run_id": RUN_ID, "step": "create_cart", "reason": "not made"}),
            f'replay {RUN_ID} --from-step create_cart --again --reason "not made"',
        ),
        (Action(ActionKind.REPEAT, {"run_id": RUN, "reason": Blank("TEXT")}), "replay RUN --again --reason TEXT"),
        (
            Action(ActionKind.RESOLVE, {"run_id": RUN_ID, "note": "found", "result_id": Blank("ID")}),
            f"runs resolve {RUN_ID} --note found --order-id ID",
        ),
        (Action(ActionKind.INGEST, {"source": "studiocart", "order_id": "1109"}), "ingest studiocart 1109"),
        (resuming("learningcart"), "resume learningcart"),
        (explaining("studiocart/1109"), "why studiocart/1109"),
        (Action(ActionKind.CHECK_OFFERS, {}), "offers check"),
    ],
)
def test_action_is_the_command_that_does_it(action: Action, words: str) -> None:
    assert command(action) == f"cartbridge {words}"


@pytest.mark.parametrize("order_id", ["", "a b", "it's", 'say "x"', "$(rm)", "a;b", "a&b", "*", "`x`", "a\\b", "x!y"])
def test_argument_is_one_word_of_a_shell_when_an_id_holds_anything(order_id: str) -> None:
    typed = command(Action(ActionKind.INGEST, {"source": "studiocart", "order_id": order_id}))
    assert shlex.split(typed) == ["cartbridge", "ingest", "studiocart", order_id]


def test_action_is_told_to_programs_when_a_person_must_supply_an_argument() -> None:
    step = NextStep((Action(ActionKind.RESOLVE, {"run_id": RUN_ID, "note": Blank("WHO")}), "."))
    typed = f"cartbridge runs resolve {RUN_ID} --note WHO"
    assert items(step) == [ActionItem("resolve", {"run_id": RUN_ID, "note": None}, typed)]
    assert items(None) == []


@pytest.mark.parametrize("kind", ActionKind)
def test_every_kind_has_a_command_of_the_command_line(kind: ActionKind) -> None:
    arguments = dict.fromkeys(("run_id", "source", "order_id", "system", "subject", "note", "reason"), "x")
    assert command(Action(kind, arguments)).startswith("cartbridge ")


def test_step_is_filled_where_a_value_is_known() -> None:
    step = NextStep.of("Do {replay}, or {ingest}.")
    assert step.text == "Do `cartbridge replay RUN`, or `cartbridge ingest SOURCE ORDER`."
    filled = step.filled({RUN: RUN_ID, SOURCE: "studiocart"})
    assert filled.text == f"Do `cartbridge replay {RUN_ID}`, or `cartbridge ingest studiocart ORDER`."
    assert [action.known("run_id") for action in filled.actions] == [RUN_ID, None]
    assert (step.needs(RUN), filled.needs(RUN), filled.needs(ORDER)) == (True, False, True)


def test_step_takes_its_own_action_when_one_is_given() -> None:
    assert NextStep.of("Then {resume}.", resume=resuming("mail")).text == "Then `cartbridge resume mail`."


def test_step_is_refused_when_it_names_no_action() -> None:
    with pytest.raises(KeyError):
        NextStep.of("Then {no_such_action}.")
