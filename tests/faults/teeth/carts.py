"""Planted bugs around follow-on carts: the item that is added once, the cart that is told of once."""

from __future__ import annotations

from tests.faults.teeth.bug import Bug, Killed

_FOLLOW_ON = "workflows/follow_on.py"

CARTS = (
    Bug(
        "item added again unasked",
        "After a lost answer the item is added once more, and the learner is asked to pay twice.",
        _FOLLOW_ON,
        "_add_cart_item, _look_up_cart_item, Repeat.ASK)",
        "_add_cart_item, repeat=Repeat.HARMLESS)",
        Killed("follow_on, item lost"),
    ),
    Bug(
        "found item added again",
        "The lookup finds what was added, and the step is performed all the same.",
        "workflows/execution.py",
        "if step.state is StepState.DONE:",
        "if False:",
        Killed("follow_on, item lost"),
    ),
    Bug(
        "cart asked about that nobody can find",
        "A cart whose making was not answered is taken for a question to a person: every lost answer stops a sale.",
        _FOLLOW_ON,
        "_create_cart, repeat=Repeat.HARMLESS)",
        "_create_cart, repeat=Repeat.NEVER)",
        Killed("follow_on, cart lost"),
    ),
    Bug(
        "news apart from the run's end",
        "The run succeeds, and nobody is told of its cart.",
        "workflows/recording.py",
        """            if then is not None:
                then(connection, now)
            if state is RunState.SUCCEEDED:""",
        """            if state is RunState.SUCCEEDED:""",
        Killed("follow_on"),
    ),
)
