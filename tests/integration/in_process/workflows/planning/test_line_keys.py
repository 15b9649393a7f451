"""`workflows.planning.line_keys`, `workflows.recording.known_runs`: a line planned under a name keeps its key."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from tests.unit.workflows.fakes.storefront import NOW, offers, put_run, record, rows, run_of, states
from worker.clients.studiocart import models as records
from worker.clients.threedcart import models as threedcart_records
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.runs import order_versions, runs
from worker.sources import threedcart
from worker.sources.order import Order
from worker.sources.studiocart import to_order
from worker.sources.studiocart_lines import NAMELESS, name_id
from workflows.planning.offers import Offers

BY_NAME = """
[[offer]]
source = "studiocart"
product_id = "4"
grants = [{ price_id = 501 }]

[[offer]]
source = "studiocart"
product_name = "Tips & Tricks"
grants = [{ price_id = 502 }]
"""
AND_NEW_NAME = """
[[offer]]
source = "studiocart"
product_name = "Hints"
grants = [{ price_id = 502 }]
"""
AND_ID = """
[[offer]]
source = "studiocart"
product_id = "5"
grants = [{ price_id = 503 }]
"""
WRITTEN = "Tips &#038; Tricks"
OLD_KEY = name_id(WRITTEN)
"""What an earlier version made of the name, entities and all."""


def bump(name: str = WRITTEN, product_id: str | None = "5") -> dict[str, Any]:
    known = {} if product_id is None else {"product_id": product_id, "item_type": "bump", "price_id": "bump"}
    return {"product_name": name, "quantity": "1", **known}


def an_order(*bumps: dict[str, Any], has_ids: bool = True, **changes: Any) -> Order:
    known = {"product_id": "4", "item_type": "main"} if has_ids else {}
    record_ = {
        "id": 22,
        "customer_email": "bob@example.test",
        "product_id": "4",
        "product_name": "Course",
        "status": "paid",
        "date_time": f"{NOW:%Y-%m-%d %H:%M:%S}",
        "items": [{"product_name": "Course", "quantity": "1", **known}, *bumps],
    }
    return to_order(records.Order.model_validate(record_ | changes))


def by_an_earlier_version(ledger: Ledger, order: Order, rules: Offers) -> None:
    """Record an order as an earlier version did: its bump is known by its written name, and was provisioned."""
    lines = tuple(
        line if line.id == "4" else line.model_copy(update={"id": OLD_KEY, "title": WRITTEN}) for line in order.lines
    )
    record(ledger, order.model_copy(update={"lines": lines}), rules=rules)
    put_run(ledger, f"22/{OLD_KEY}/buyer/502", RunState.SUCCEEDED, reason=None)
    put_run(ledger, "22/4/buyer/501", RunState.SUCCEEDED, reason=None)


@pytest.mark.parametrize("rules", [BY_NAME + AND_NEW_NAME, BY_NAME + AND_ID])
@pytest.mark.parametrize("replans", [False, True])
def test_renamed_bump_is_granted_once_when_it_was_planned_under_its_name(
    ledger: Ledger, rules: str, replans: bool
) -> None:
    by_an_earlier_version(ledger, an_order(bump()), offers(BY_NAME))
    before = states(ledger)
    record(ledger, an_order(bump("Hints")), rules=offers(rules), replan=replans)
    after = states(ledger)
    if replans and rules.endswith(AND_ID):  # the operator asks for today's offer, on purpose: it bears the same line
        assert set(after) - set(before) == {f"22/{OLD_KEY}/buyer/503"}
    else:
        assert after == before


def test_line_keeps_its_key_when_its_name_was_written_with_entities(ledger: Ledger) -> None:
    by_an_earlier_version(ledger, an_order(bump()), offers(BY_NAME))
    before = states(ledger)
    with ledger.write() as connection:  # a forgotten version shows nothing: the run's title tells
        connection.execute(order_versions.update().values(raw={"forgotten": True}))
    record(ledger, an_order(bump("Tips & Tricks")), rules=offers(BY_NAME))
    assert states(ledger) == before


@pytest.mark.parametrize("rules", [BY_NAME + AND_NEW_NAME, BY_NAME])
def test_gained_line_is_a_review_when_one_that_was_known_by_its_name_is_lost(ledger: Ledger, rules: str) -> None:
    named = an_order(bump("Tips & Tricks", None), has_ids=False)
    record(ledger, named, rules=offers(BY_NAME))
    lost = f"22/{name_id('Tips & Tricks')}/buyer/502"
    put_run(ledger, lost, RunState.SUCCEEDED, reason=None)
    renamed = an_order(bump("Hints", None), has_ids=False)
    record(ledger, renamed, rules=offers(rules))
    record(ledger, renamed, rules=offers(BY_NAME + AND_NEW_NAME))  # an offer that comes later makes no run either
    found = states(ledger)
    assert found[f"22/{name_id('Hints')}/buyer/502"] == ("review", "line_renamed")
    assert found[f"{lost}/revoke"] == ("review", "removed_after_provisioning")
    assert {key for key, (state, _) in found.items() if state == "pending"} == {"22/4/buyer/501"}


def test_lines_with_ids_come_and_go_as_before(ledger: Ledger) -> None:
    rules = offers(BY_NAME + AND_ID)
    record(ledger, an_order(), rules=rules)
    record(ledger, an_order(bump()), rules=rules)
    assert states(ledger) == {"22/4/buyer/501": ("pending", None), "22/5/buyer/503": ("pending", None)}
    record(ledger, an_order(bump("Other", "6")), rules=rules)
    assert states(ledger) == {
        "22/4/buyer/501": ("pending", None),
        "22/5/buyer/503": ("cancelled", "removed_from_order"),
        "22/6/buyer/unmapped": ("review", "unmapped_product"),
    }


@pytest.mark.parametrize("written", [4, 4.0, "4.0", "004", " 4 "])
def test_line_is_granted_once_when_its_product_s_number_is_written_otherwise(ledger: Ledger, written: Any) -> None:
    for product_id in ("4", written):
        item = {"product_name": "Course", "quantity": "1", "product_id": product_id, "item_type": "main"}
        record(ledger, an_order(items=[item], product_id=product_id), rules=offers(BY_NAME))
    assert states(ledger) == {"22/4/buyer/501": ("pending", None)}


def test_offer_by_id_beats_one_by_name(ledger: Ledger) -> None:
    record(ledger, an_order(bump()), rules=offers(BY_NAME + AND_ID))
    assert "22/5/buyer/503" in states(ledger)
    assert "22/5/buyer/502" not in states(ledger)


def test_product_that_stands_there_twice_is_granted_once(ledger: Ledger) -> None:
    record(ledger, an_order(bump("Course", "4")), rules=offers(BY_NAME))
    assert states(ledger) == {"22/4/buyer/501": ("pending", None), "22/4/seat-2/unnamed": ("review", "unnamed_seat")}


def test_half_written_order_s_nameless_line_holds_nothing_back(ledger: Ledger) -> None:
    empty = an_order(product_id=None, product_name=None, customer_email=None, items=[])
    record(ledger, empty, rules=offers(BY_NAME))
    record(ledger, an_order(), rules=offers(BY_NAME))
    assert states(ledger)["22/4/buyer/501"] == ("pending", None)


def test_named_line_that_was_unmapped_is_provisioned_once_when_its_offer_comes(ledger: Ledger) -> None:
    lines = tuple(
        line if line.id == "4" else line.model_copy(update={"id": OLD_KEY, "title": WRITTEN})
        for line in an_order(bump()).lines
    )
    record(ledger, an_order(bump()).model_copy(update={"lines": lines}), rules=offers(""))
    record(ledger, an_order(bump("Hints")), rules=offers(BY_NAME + AND_ID))
    open_ = {key for key, (state, _) in states(ledger).items() if state == "pending"}
    assert open_ == {"22/4/buyer/501", f"22/{OLD_KEY}/buyer/503"}
    assert run_of(ledger, f"22/{OLD_KEY}/buyer/503").line_id == OLD_KEY
    assert len(rows(ledger, runs)) == 4


BY_ID_AND_NAME = BY_NAME + AND_ID + AND_NEW_NAME


def given_by_id(ledger: Ledger, *, name: str = "Tips & Tricks") -> str:
    """Record an order whose bump was given access under its product's id; its run's key."""
    record(ledger, an_order(bump(name)), rules=offers(BY_NAME + AND_ID))
    put_run(ledger, "22/5/buyer/503", RunState.SUCCEEDED, reason=None)
    return "22/5/buyer/503"


@pytest.mark.parametrize("replans", [False, True])
def test_line_is_granted_once_when_it_was_planned_under_its_id_and_shows_its_name_alone(
    ledger: Ledger, replans: bool
) -> None:
    given_by_id(ledger)
    record(ledger, an_order(bump("Tips &#038; Tricks", None), has_ids=False), rules=offers(BY_ID_AND_NAME))
    assert states(ledger) == {"22/4/buyer/501": ("pending", None), "22/5/buyer/503": ("succeeded", None)}
    if replans:
        record(ledger, an_order(bump()), rules=offers(BY_ID_AND_NAME), replan=True)
        assert len(states(ledger)) == 2


def test_line_keeps_its_key_when_an_earlier_version_shows_the_name_under_its_id(ledger: Ledger) -> None:
    given_by_id(ledger)
    record(ledger, an_order(bump("Hints")), rules=offers(BY_ID_AND_NAME))
    record(ledger, an_order(bump("Other"), status="pending"), rules=offers(BY_ID_AND_NAME))
    record(ledger, an_order(bump("Hints", None), has_ids=False), rules=offers(BY_ID_AND_NAME))
    assert states(ledger) == {"22/4/buyer/501": ("pending", None), "22/5/buyer/503": ("succeeded", None)}


def test_named_line_is_a_review_when_one_that_was_known_by_its_id_is_lost(ledger: Ledger) -> None:
    given = given_by_id(ledger)
    record(ledger, an_order(bump("Hints", None), has_ids=False), rules=offers(BY_ID_AND_NAME))
    found = states(ledger)
    assert found[f"22/{name_id('Hints')}/buyer/502"] == ("review", "line_renamed")
    assert found[f"{given}/revoke"] == ("review", "removed_after_provisioning")


def test_main_line_is_a_review_when_its_id_is_left_out_and_its_name_is_another(ledger: Ledger) -> None:
    record(ledger, an_order(), rules=offers(BY_ID_AND_NAME))
    put_run(ledger, "22/4/buyer/501", RunState.SUCCEEDED, reason=None)
    items = [{"product_name": "Hints", "quantity": "1"}]
    record(ledger, an_order(product_id=None, product_name="Hints", items=items), rules=offers(BY_ID_AND_NAME))
    assert states(ledger)[f"22/{name_id('Hints')}/buyer/502"] == ("review", "line_renamed")


def test_nameless_line_is_a_review_when_its_plan_has_an_offer_and_the_line_s_id_is_lost(ledger: Ledger) -> None:
    by_plan = offers(BY_NAME + '[[offer]]\nsource = "studiocart"\nplan_id = "monthly"\ngrants = [{ price_id = 504 }]\n')
    record(ledger, an_order(payment_plan_id="monthly"), rules=by_plan)
    put_run(ledger, "22/4/buyer/501", RunState.SUCCEEDED, reason=None)
    record(
        ledger,
        an_order(product_id=None, product_name=None, payment_plan_id="monthly", items=[{"quantity": "1"}]),
        rules=by_plan,
    )
    found = states(ledger)
    assert found[f"22/{NAMELESS}/buyer/504"] == ("review", "line_renamed")
    put_run(ledger, f"22/{NAMELESS}/buyer/504", RunState.SUCCEEDED, reason=None)
    record(ledger, an_order(bump()), rules=offers(BY_ID_AND_NAME))  # what nameless access was given for is unknown
    assert states(ledger)["22/5/buyer/503"] == ("review", "line_renamed")


@pytest.mark.parametrize("approves", [False, True])
@pytest.mark.parametrize("replans", [False, True])
def test_line_is_granted_once_when_its_id_comes_back_with_the_new_name(
    ledger: Ledger, approves: bool, replans: bool
) -> None:
    rules = offers(BY_NAME + AND_NEW_NAME.replace("502", "503") + AND_ID)
    record(ledger, an_order(bump()), rules=rules)  # pending: nothing has been given
    record(ledger, an_order(bump("Hints", None), has_ids=False), rules=rules)
    under_name = f"22/{name_id('Hints')}/buyer/503"
    assert states(ledger)[under_name] == ("review", "line_renamed")
    if approves:
        put_run(ledger, under_name, RunState.SUCCEEDED, reason=None)
    record(ledger, an_order(bump("Hints")), rules=rules)
    record(ledger, an_order(bump("Hints")), rules=rules, replan=replans)
    found = states(ledger)
    gives = {key for key in (under_name, "22/5/buyer/503") if found[key][0] in {"pending", "succeeded"}}
    assert gives == ({under_name} if approves else {"22/5/buyer/503"})
    assert not any(state == "review" for state, _ in found.values())


def test_question_is_settled_when_the_line_that_was_given_shows_its_id_again(ledger: Ledger) -> None:
    given = given_by_id(ledger)
    rules = offers(BY_ID_AND_NAME)
    record(ledger, an_order(bump("Hints", None), has_ids=False), rules=rules)
    record(ledger, an_order(bump("Hints")), rules=rules)
    found = states(ledger)
    assert found[given] == ("succeeded", None)
    assert {state for key, (state, _) in found.items() if key not in {given, "22/4/buyer/501"}} == {"cancelled"}


BY_SKU = """
[[offer]]
source = "threedcart"
sku = "FIRST-AID"
grants = [{ price_id = 601 }]

[[offer]]
source = "threedcart"
product_id = "1234"
grants = [{ price_id = 601 }]
"""


def cart_order(*items: dict[str, Any]) -> Order:
    record_ = {
        "OrderID": 900,
        "OrderStatusID": 4,
        "OrderDate": f"{NOW:%Y-%m-%dT%H:%M:%S}",
        "BillingEmail": "bob@example.test",
        "OrderItemList": [{"ItemQuantity": 1, "ItemUnitPrice": 49, **item} for item in items],
    }
    return threedcart.to_order(threedcart_records.Order.model_validate(record_), zone=UTC)


WHOLE = {"CatalogID": 1234, "ItemID": "FIRST-AID"}


@pytest.mark.parametrize("without", ["CatalogID", "ItemID"])
@pytest.mark.parametrize("is_thin_first", [False, True])
def test_3dcart_line_is_granted_once_when_one_of_its_numbers_is_left_out(
    ledger: Ledger, without: str, is_thin_first: bool
) -> None:
    looks = [cart_order(WHOLE), cart_order({key: value for key, value in WHOLE.items() if key != without})]
    for order in reversed(looks) if is_thin_first else looks:
        record(ledger, order, rules=offers(BY_SKU))
    assert [state for state, _ in states(ledger).values()] == ["pending"]


@pytest.mark.parametrize("written", ["FIRST-AID", "FIRST AID"])
def test_3dcart_line_is_granted_once_when_its_sku_is_written_in_another_case(ledger: Ledger, written: str) -> None:
    for sku in (written, written.lower(), written.title()):
        record(ledger, cart_order({"CatalogID": 1234, "ItemID": sku}), rules=offers(BY_SKU))
    [(key, state)] = states(ledger).items()
    assert (key.startswith("threedcart/900/1234-"), state) == (True, ("pending", None))


def test_3dcart_line_is_a_review_when_it_shares_no_number_with_one_that_is_lost(ledger: Ledger) -> None:
    record(ledger, cart_order({"CatalogID": 1234}), rules=offers(BY_SKU))
    record(ledger, cart_order({"ItemID": "FIRST-AID"}), rules=offers(BY_SKU))
    assert states(ledger)["threedcart/900/sku-FIRST-AID/buyer/601"] == ("review", "line_renamed")


def test_3dcart_lines_come_and_go_when_their_numbers_tell_them_apart(ledger: Ledger) -> None:
    record(ledger, cart_order({"CatalogID": 1}), rules=offers(BY_SKU))
    record(ledger, cart_order({"CatalogID": 1234}), rules=offers(BY_SKU))
    assert states(ledger)["threedcart/900/1234/buyer/601"] == ("pending", None)
