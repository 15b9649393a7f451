"""A completed course leads to one cart with one item, whatever goes wrong at whichever step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.faults.harness.deployment import SETTLE_SECONDS
from tests.faults.harness.follow_on_product import EMAIL, FollowOnRig, assert_one_cart_with_one_item
from tests.faults.harness.offers import CATALOG_ID
from tests.faults.harness.product import MAX_ATTEMPTS, ON_SQLITE, HandClock, Killed, let_lease_end
from tests.faults.harness.waiting import wait_until
from worker.sandbox import Fault, Sandbox

pytestmark = pytest.mark.faults

NewFollowOnRig = Callable[..., FollowOnRig]

BROKEN: dict[str, dict[str, Any]] = {
    "hang": {"kind": "hang"},
    "cut": {"kind": "cut"},
    "half_answer": {"kind": "half_answer"},
    "html": {"kind": "html"},
    "empty": {"kind": "empty"},
    "500": {"kind": "status", "status": 500},
    "503": {"kind": "status", "status": 503, "headers": {"Retry-After": "2"}},
    "408": {"kind": "status", "status": 408},
}
REFUSALS: dict[str, dict[str, Any]] = {"429": {"kind": "status", "status": 429}}
OPERATIONS = ("create_cart", "create_cart_item", "retrieve_cart")
SIDES: tuple[tuple[str, Literal["before", "after"]], ...] = (
    *((name, "after") for name in sorted(BROKEN)),
    *((name, "before") for name in ("cut", "hang", "html", "500", "429")),
)


@pytest.fixture
def new_rig(sandbox: Sandbox, ledger_url: str, tmp_path: Path) -> Iterator[NewFollowOnRig]:
    """Makes processes on one ledger."""
    with ExitStack() as stack:

        def make(**options: Any) -> FollowOnRig:
            rig = FollowOnRig(sandbox, ledger_url, tmp_path, **options)
            stack.callback(rig.close)
            return rig

        yield make


@pytest.fixture
def rig(new_rig: NewFollowOnRig) -> FollowOnRig:
    return new_rig()


def test_learner_gets_a_cart_with_the_item_when_a_course_is_completed(rig: FollowOnRig) -> None:
    run_id = rig.hear()
    rig.finish()
    assert_one_cart_with_one_item(rig, run_id)
    (cart,) = rig.sandbox.threedcart.carts.values()
    assert (cart["BillingFirstName"], cart["BillingLastName"]) == ("Jane", "Doe")
    assert rig.run(run_id)["result_id"] == cart["OrderKey"]
    assert rig.count("create_cart") == 0  # LearningCart has no such call; the store's are counted below
    assert [rig.sandbox.requests("threedcart", name) for name in OPERATIONS] == [1, 1, 1]


@ON_SQLITE
@pytest.mark.parametrize(("name", "when"), SIDES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_cart_holds_the_item_once_when_an_answer_is_broken(
    rig: FollowOnRig, operation: str, name: str, when: Literal["before", "after"]
) -> None:
    options = (BROKEN | REFUSALS)[name]
    side = None if name == "half_answer" else when
    run_id = rig.hear()
    rig.sandbox.inject(Fault(system="threedcart", operation=operation, when=side, **options))
    rig.finish()
    assert_one_cart_with_one_item(rig, run_id)
    assert len(rig.items_added) == 1
    made = rig.sandbox.effects_of("threedcart", "create_cart")
    lost_a_cart = operation == "create_cart" and when == "after"
    assert len(made) == (2 if lost_a_cart else 1)
    known = sorted(row["state"] for row in rig.carts)
    left_open = operation == "create_cart" and name != "429"  # who was told 429 knows that none was made
    assert known == (["made", "possible"] if left_open else ["made"])


@ON_SQLITE
@pytest.mark.parametrize("operation", OPERATIONS)
def test_store_is_paused_and_no_cart_is_thought_of_when_it_refuses_us_by_a_page(
    rig: FollowOnRig, operation: str
) -> None:
    """A 401 as HTML was an unknown outcome, repeated until four carts were noted that never were."""
    run_id = rig.hear()
    rig.sandbox.inject(Fault("threedcart", operation, kind="status", status=401, times=None))
    for _ in range(3):
        rig.go_on()
        rig.clock.move(3600)
    (pause,) = rig.rows("pauses")
    assert (pause["system"], pause["kind"]) == ("threedcart", "authentication")
    assert (rig.sandbox.requests("threedcart", operation), rig.run(run_id)["state"]) == (1, "waiting")
    assert [row["state"] for row in rig.carts] == ([] if operation == "create_cart" else ["made"])
    rig.sandbox.clear_faults()
    rig.runtime.operations.resume("threedcart", actor="operator:test")
    rig.finish()
    assert_one_cart_with_one_item(rig, run_id)
    assert [row["state"] for row in rig.carts] == ["made"]


@ON_SQLITE
def test_run_goes_on_when_one_page_says_that_its_cart_is_not_there(rig: FollowOnRig) -> None:
    run_id = rig.hear()
    rig.sandbox.inject(Fault("threedcart", "retrieve_cart", kind="status", status=404))
    rig.finish()
    assert_one_cart_with_one_item(rig, run_id)


@ON_SQLITE
@pytest.mark.parametrize("operation", OPERATIONS)
def test_nothing_is_doubled_when_the_store_is_away_for_an_hour(rig: FollowOnRig, operation: str) -> None:
    run_id = rig.hear()
    rig.sandbox.inject(Fault("threedcart", "*", kind="cut", when="before", times=None))
    rig.go_on()
    for _ in range(4):
        rig.clock.move(900)
        rig.go_on()
    rig.sandbox.clear_faults()
    rig.sandbox.inject(Fault("threedcart", operation, kind="cut", when="after"))
    if rig.run(run_id)["state"] == "failed":
        assert rig.runtime.operations.replay(run_id, actor="operator:test").result == "replayed"
    rig.finish()
    assert_one_cart_with_one_item(rig, run_id)
    assert len(rig.items_added) == 1


def test_item_is_not_added_again_when_the_worker_vanished_with_the_request(rig: FollowOnRig) -> None:
    run_id = rig.hear()

    def vanish(where: str) -> None:
        if where == "after create_cart_item":
            raise Killed

    rig.number_boundaries(vanish)
    with pytest.raises(Killed):
        rig.work(rig.sweep()[0])
    rig.number_boundaries(lambda _where: None)
    vanish_no_more = rig.runtime.clients["threedcart"]
    del vanish_no_more.create_cart_item
    let_lease_end(rig)
    rig.finish()
    assert_one_cart_with_one_item(rig, run_id)
    assert rig.outcomes(run_id, "add_cart_item") == [("call", "unknown"), ("lookup", "adopted")]
    assert len(rig.items_added) == 1


# Late, twice, or not what it should be


def test_double_is_told_to_a_person_when_the_item_lands_after_absence_was_proven(rig: FollowOnRig) -> None:
    run_id = rig.hear()
    rig.sandbox.inject(Fault("threedcart", "create_cart_item", kind="cut", when="before"))
    rig.go_on()
    assert rig.state(run_id) == ("waiting", "settling")
    rig.clock.move_to(rig.run(run_id)["next_attempt_at"])
    rig.go_on()
    rig.clock.move(SETTLE_SECONDS)
    held = rig.executor.claim(run_id, "threedcart")
    assert held is not None
    assert rig.perform(held)  # it asks, finds nothing, and adds the item
    ((key, _),) = rig.sandbox.threedcart.carts.items()
    rig.runtime.clients["threedcart"].create_cart_item(key, CATALOG_ID)  # the late item lands
    assert not rig.perform(held)
    assert rig.state(run_id) == ("review", "cart_differs")
    assert f"1 × item {CATALOG_ID}, 1 × item {CATALOG_ID}" in rig.run(run_id)["note"].replace("1.0", "1")
    assert rig.cart_events == []


@ON_SQLITE
def test_item_is_adopted_when_it_lands_within_the_settle_time(rig: FollowOnRig) -> None:
    run_id = rig.hear()
    rig.sandbox.inject(Fault("threedcart", "create_cart_item", kind="late", seconds=0.2))
    rig.go_on()
    wait_until(lambda: len(rig.items_added) == 1, what="the late item lands")
    rig.finish()
    assert_one_cart_with_one_item(rig, run_id)
    assert rig.outcomes(run_id, "add_cart_item") == [("call", "unknown"), ("lookup", "adopted")]


@ON_SQLITE
def test_lookup_asks_a_person_when_the_cart_holds_the_item_twice_already(rig: FollowOnRig) -> None:
    run_id = rig.hear()
    rig.sandbox.inject(Fault("threedcart", "create_cart_item", kind="cut", when="after"))
    rig.go_on()
    store = rig.runtime.clients["threedcart"]
    (key,) = rig.sandbox.threedcart.carts
    item_id = store.create_cart_item(key, CATALOG_ID)
    rig.finish()
    assert rig.state(run_id) == ("review", "cart_differs")
    store.delete_cart_item(key, item_id)
    assert rig.runtime.operations.replay(run_id, actor="operator:test").result == "replayed"
    rig.finish()
    assert_one_cart_with_one_item(rig, run_id)


@ON_SQLITE
@pytest.mark.parametrize("change", ["another item", "quantity", "emptied", "deleted"])
def test_run_is_in_review_when_the_cart_is_not_what_was_made(rig: FollowOnRig, change: str) -> None:
    run_id = rig.hear()
    held = rig.executor.claim(run_id, "threedcart")
    assert held is not None
    assert rig.perform(held)
    assert rig.perform(held)
    store = rig.runtime.clients["threedcart"]
    ((key, cart),) = rig.sandbox.threedcart.carts.items()
    (item,) = cart["CartItemList"]
    match change:
        case "another item":
            store.create_cart_item(key, 99)
        case "quantity":
            store.update_cart_item(key, item["CartItemID"], quantity=2)
        case "emptied":
            store.delete_cart_item(key, item["CartItemID"])
        case _:
            store.delete_cart(key)
    assert not rig.perform(held)
    assert rig.state(run_id) == ("review", "cart_differs")
    assert key in rig.run(run_id)["note"]
    assert rig.cart_events == []


@ON_SQLITE
def test_run_has_failed_when_every_try_of_a_cart_came_to_nothing_known(rig: FollowOnRig) -> None:
    run_id = rig.hear()
    rig.sandbox.inject(Fault("threedcart", "create_cart", kind="html", when="before", times=None))
    rig.finish()
    assert rig.state(run_id) == ("failed", "attempts_spent")
    assert [row["state"] for row in rig.carts] == ["possible"] * MAX_ATTEMPTS


@ON_SQLITE
def test_run_succeeds_and_tells_nobody_when_the_setting_says_so(new_rig: NewFollowOnRig) -> None:
    rig = new_rig(CARTBRIDGE_FOLLOW_ON__NOTIFY="none")
    run_id = rig.hear()
    rig.finish()
    assert rig.state(run_id) == ("succeeded", None)
    (cart,) = rig.filled_carts()
    assert rig.rows("steps")[-1]["output"] == {"cart_id": cart["OrderKey"], "checkout_url": cart["CheckoutURL"]}
    assert rig.cart_events == []


@ON_SQLITE
def test_chain_begins_where_the_ledger_stands_when_a_worker_let_go(rig: FollowOnRig) -> None:
    run_id = rig.hear()
    left = []
    while positions := rig.positions(run_id):
        left.append(positions[0][1])
        held = rig.executor.claim(run_id, "threedcart")
        assert held is not None
        if len(left) < 4:
            assert rig.perform(held)
            rig.executor.let_go(held)
        else:
            rig.executor.let_go(held)
            rig.work(run_id)
    assert left == ["create_cart", "add_cart_item", "check_cart", "tell"]
    assert_one_cart_with_one_item(rig, run_id)


# Who is there more than once


@pytest.mark.parametrize("times", [20])
def test_one_cart_is_made_when_the_course_is_told_of_again_and_again(rig: FollowOnRig, times: int) -> None:
    rig.complete()
    for _ in range(times):
        rig.poll()
        rig.clock.move(60)
    rig.complete(ago=rig.clock() - rig.clock())  # once more, by another start
    rig.poll()
    rig.finish()
    assert_one_cart_with_one_item(rig, rig.follow_on["id"])
    assert len(rig.completion_ids) == 2


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_one_cart_is_made_when_many_processes_poll_and_work_at_once(new_rig: NewFollowOnRig) -> None:
    clock = HandClock()
    rigs = [new_rig(clock=clock) for _ in range(4)]
    rigs[0].complete()

    def act(rig: FollowOnRig) -> None:
        for _ in range(5):
            rig.runtime.app.tasks["cartbridge.poll_completions"].run()
            for run_id in rig.sweep():
                rig.work(run_id)

    threads = [threading.Thread(target=act, args=(rig,)) for rig in rigs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rigs[0].finish()
    assert_one_cart_with_one_item(rigs[0], rigs[0].follow_on["id"])
    assert len(rigs[0].items_added) == 1
    assert len(rigs[0].sandbox.effects_of("threedcart", "create_cart")) == 1


def test_cart_of_a_holder_that_lost_the_run_is_known_when_its_answer_comes_late(
    rig: FollowOnRig, new_rig: NewFollowOnRig
) -> None:
    run_id = rig.hear()
    other = new_rig(clock=rig.clock)

    def be_overtaken(where: str) -> None:
        if where == "after create_cart":
            let_lease_end(rig)
            other.finish()

    rig.number_boundaries(be_overtaken)
    rig.work(run_id)
    assert_one_cart_with_one_item(other, run_id)
    assert [row["state"] for row in other.carts] == ["made", "made"]
    assert len(other.sandbox.threedcart.carts) == 2
    assert "late_answer" in other.kinds_of_events(run_id)


# A course that was bought, a store that is off


def test_no_cart_is_made_when_the_item_was_bought_while_the_run_waited(rig: FollowOnRig) -> None:
    rig.settings.offers_file.write_text(
        rig.settings.offers_file.read_text().replace("catalog_id = 1234", "catalog_id = 1234\nprice_ids = [501]")
    )
    rig.sandbox.inject(Fault("threedcart", "create_cart", kind="cut", when="before"))
    run_id = rig.hear()
    rig.go_on()
    rig.enrol(7001, email=EMAIL)
    rig.finish()
    assert rig.state(run_id) == ("cancelled", "already_bought")
    assert rig.sandbox.threedcart.carts == {}
    assert [row["state"] for row in rig.carts] == ["possible"]


@ON_SQLITE
def test_run_waits_for_the_store_when_3dcart_is_not_configured(new_rig: NewFollowOnRig) -> None:
    clock = HandClock()
    without = new_rig(clock=clock, with_store=False)
    run_id = without.hear()
    for _ in range(3):
        without.clock.move(60)
        without.go_on()
    assert without.state(run_id) == ("pending", None)
    enrolled = without.enrol(7001)
    without.go_on()
    assert without.state(enrolled) == ("succeeded", None)  # nobody waits for the store but who needs it
    rig = new_rig(clock=clock)
    rig.finish()
    assert_one_cart_with_one_item(rig, run_id)


@ON_SQLITE
def test_enrolments_go_on_when_the_store_is_down_or_paused(rig: FollowOnRig) -> None:
    waiting = rig.hear()
    rig.runtime.operations.pause("threedcart", actor="operator:test")
    enrolled = rig.enrol(7001)
    rig.go_on()
    assert rig.state(enrolled) == ("succeeded", None)
    assert rig.state(waiting) == ("pending", None)
    rig.runtime.operations.resume("threedcart", actor="operator:test")
    rig.finish()
    assert_one_cart_with_one_item(rig, waiting)
