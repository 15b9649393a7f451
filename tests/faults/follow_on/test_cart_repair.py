"""A cart that came to hold something else is mended by the operator's word, call by call, and the run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.harness.follow_on_product import EMAIL, ITEM, FollowOnRig, assert_one_cart_with_one_item
from worker.clients.threedcart.models import CartFields
from worker.errors import ApiError
from worker.sandbox import Fault, Sandbox
from workflows.follow_on.cart_repair import NotMendableError, mend

pytestmark = [pytest.mark.faults, pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)]


@pytest.fixture
def rig(sandbox: Sandbox, ledger_url: str, tmp_path: Path) -> Iterator[FollowOnRig]:
    rig = FollowOnRig(sandbox, ledger_url, tmp_path)
    yield rig
    rig.close()


@pytest.fixture
def run_id(rig: FollowOnRig) -> str:
    """A run whose cart was meddled with before it was read back."""
    run_id = rig.hear()
    held = rig.executor.claim(run_id, "threedcart")
    assert held is not None
    assert rig.perform(held)
    assert rig.perform(held)
    store = rig.runtime.clients["threedcart"]
    ((key, cart),) = rig.sandbox.threedcart.carts.items()
    (item,) = cart["CartItemList"]
    store.create_cart_item(key, 99)
    store.create_cart_item(key, ITEM)
    store.update_cart_item(key, item["CartItemID"], quantity=3)
    store.update_cart(key, CartFields(billing_first_name="Eve", billing_email="eve@example.test"))
    assert not rig.perform(held)
    assert rig.state(run_id) == ("review", "cart_differs")
    return run_id


def mended(rig: FollowOnRig, run_id: str, *, dry_run: bool = False) -> list[str]:
    store: Any = rig.runtime.clients["threedcart"]
    now = rig.clock()
    return mend(rig.ledger, store, run_id, actor="operator:ann", reason="asked", now=now, dry_run=dry_run)


def test_cart_is_as_it_should_be_when_it_was_mended(rig: FollowOnRig, run_id: str) -> None:
    told = mended(rig, run_id, dry_run=True)
    assert [sentence.split()[0] for sentence in told] == ["DELETE", "DELETE", "PUT", "PUT"]
    assert told[-1].endswith(": BillingEmail, BillingFirstName")
    assert rig.state(run_id) == ("review", "cart_differs")
    assert mended(rig, run_id) == told
    assert mended(rig, run_id) == []
    events = [row for row in rig.rows("events") if row["kind"] == "cart_mended"]
    assert [(row["actor"], row["reason"], row["detail"]["calls"]) for row in events] == [
        ("operator:ann", "asked", told)
    ]
    assert EMAIL not in str(events)
    assert rig.runtime.operations.replay(run_id, actor="operator:ann").result == "replayed"
    rig.finish()
    assert_one_cart_with_one_item(rig, run_id)


def test_rest_is_mended_later_when_the_store_fails_midway(rig: FollowOnRig, run_id: str) -> None:
    rig.sandbox.inject(Fault("threedcart", "update_cart_item", kind="status", status=503, when="before"))
    with pytest.raises(ApiError):
        mended(rig, run_id)
    (event,) = (row for row in rig.rows("events") if row["kind"] == "cart_mended")
    assert len(event["detail"]["calls"]) == 2
    assert [sentence.split()[0] for sentence in mended(rig, run_id)] == ["PUT", "PUT"]


def test_nothing_is_added_when_the_item_is_missing(rig: FollowOnRig, run_id: str) -> None:
    store = rig.runtime.clients["threedcart"]
    ((key, cart),) = rig.sandbox.threedcart.carts.items()
    for item in list(cart["CartItemList"]):
        store.delete_cart_item(key, item["CartItemID"])
    with pytest.raises(NotMendableError, match="--from-step add_cart_item --again"):
        mended(rig, run_id)


def test_run_is_refused_when_it_does_not_wait_for_a_person(rig: FollowOnRig) -> None:
    run_id = rig.hear()
    rig.finish()
    with pytest.raises(NotMendableError):
        mended(rig, run_id)
