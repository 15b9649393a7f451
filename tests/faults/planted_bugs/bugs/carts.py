"""Planted bugs around follow-on carts: the item that is added once, the cart that is told of once."""

from __future__ import annotations

from tests.faults.planted_bugs.bug import Bug, ByTest, Killed

_FOLLOW_ON = "workflows/follow_on/steps.py"

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
        "workflows/execution/executor.py",
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
        "workflows/execution/recorder.py",
        """            if then is not None:
                then(connection, now)
            if state is RunState.SUCCEEDED:""",
        """            if state is RunState.SUCCEEDED:""",
        Killed("follow_on"),
    ),
    Bug(
        "cart deleted unlooked",
        "A cart is deleted though its order was not looked for: a bought order is deleted with it.",
        "workflows/follow_on/cart_cleanup.py",
        """        if bought is Bought.UNCLEAR:
            return None
""",
        "",
        ByTest(
            "tests/integration/workflows/test_unused_carts.py"
            "::test_no_cart_is_deleted_when_the_store_s_orders_are_not_read"
        ),
    ),
    Bug(
        "status 10 taken for paid",
        "A status that is the store's own, a refund perhaps, gives access.",
        "worker/sources/threedcart_statuses.py",
        "PAID_STATUSES: Final = frozenset({2, 4})",
        "PAID_STATUSES: Final = frozenset({2, 4, 10})",
        ByTest("tests/unit/worker/sources/test_threedcart_statuses.py::test_a_status_means_what_is_ruled_when_read"),
    ),
    Bug(
        "page for people taken for an unknown cart",
        "A 401 as HTML counts as an unknown outcome: nothing is paused, and carts are noted that never were.",
        "worker/clients/threedcart/client.py",
        "        is_harmless = safe_to_repeat or meant.status == HTTPStatus.UNAUTHORIZED\n",
        "        is_harmless = safe_to_repeat\n",
        ByTest(
            "tests/faults/follow_on/test_follow_on.py::"
            "test_store_is_paused_and_no_cart_is_thought_of_when_it_refuses_us_by_a_page[create_cart-sqlite]"
        ),
    ),
    Bug(
        "page for people says that a cart is gone",
        "One 404 of something in between, and a cart that is there is noted as gone.",
        "worker/clients/threedcart/client.py",
        "        if _ON_CARTS in operation and answer.status in _GONE and not rows:\n",
        "        if operation == _LIST and answer.status in _GONE and not rows:\n",
        ByTest("tests/integration/workflows/test_unused_carts.py::test_cart_is_not_gone_when_one_page_of_html_says_so"),
    ),
)
