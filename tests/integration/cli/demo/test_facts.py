from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.records import record
from worker.cli.demo.facts import Facts, read_facts
from worker.ledger.session import Ledger
from worker.ledger.views.records import DeliveryItem, OrderItem, RunItem
from worker.sources.order import Learner, Line, Order, Payment, Product, Seat
from workflows.planning.offers import Grant, Offer, Offers
from workflows.recording.order_recording import Look, record_order

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    opened.migrate()
    yield opened
    opened.close()


def run(order_id: str, state: str, **fields: Any) -> RunItem:
    values: dict[str, Any] = {
        "id": "r1",
        "order_id": order_id,
        "workflow": "enrolment",
        "grant": {"price_id": 501},
        "state": state,
        "reason": None,
    }
    return record(RunItem, **(values | fields))


def test_ledger_is_read_in_full_when_asked_to(ledger: Ledger) -> None:
    seat = Seat(id="buyer", learner=Learner(email="jane@example.test"))
    order = Order(
        source="studiocart",
        id="7",
        status="paid",
        payment=Payment.PAID,
        created_at=NOW,
        lines=(Line(id="1107", product=Product(product_id="1107"), seats=(seat,)),),
    )
    offers = Offers((Offer(source="studiocart", product_id="1107", grants=(Grant(price_id=501),)),))
    with ledger.write() as connection:
        record_order(connection, order, offers, Look(fetched_at=NOW), now=NOW, start_at=None)
    brief, full = read_facts(ledger), read_facts(ledger, in_full=True)
    assert brief.knows([7])
    assert brief.details == ()
    assert [step.name for step in full.details[0].steps] == ["add_customer", "add_comped_order"]
    assert brief.unfinished() == [f"order 7: run {brief.runs[0].id} is pending"]
    assert brief.to_look_at_again == 0


def test_order_is_enrolled_when_all_its_enrolments_succeeded() -> None:
    revocation = run("7", "review", workflow="revocation")
    unnamed = run("7", "review", grant=None)
    assert Facts(runs=(run("7", "succeeded"), revocation, unnamed)).has_enrolled({7: 1, 8: 0})
    assert not Facts(runs=(run("7", "succeeded"), run("7", "waiting"))).has_enrolled({7: 2})
    assert not Facts(runs=(run("7", "succeeded"),)).has_enrolled({7: 2})
    assert not Facts(runs=(run("7", "succeeded"),)).has_enrolled({7: 1, 8: 1})


def test_everything_open_is_told_when_something_is_left() -> None:
    facts = Facts(
        runs=(run("7", "waiting", reason="settling"), run("8", "review")),
        deliveries=(record(DeliveryItem, order_id="9", via="webhook", state="received"),),
        to_look_at_again=2,
    )
    assert facts.unfinished() == [
        "order 7: run r1 is waiting (settling)",
        "order 9: a delivery by webhook is received",
        "2 orders to be looked at again",
    ]


def test_rows_are_counted_when_asked_for_counts() -> None:
    facts = Facts(
        runs=(run("7", "succeeded"), run("8", "succeeded"), run("9", "review")),
        orders=(record(OrderItem, order_id="7", status="paid"),),
        deliveries=(record(DeliveryItem, via="poll", duplicate=True), record(DeliveryItem, via="webhook")),
    )
    assert facts.runs_by_state() == {"succeeded": 2, "review": 1}
    assert facts.deliveries_by_way() == {"poll": 1, "webhook": 1}
    assert facts.duplicates == 1
    assert facts.statuses == {"7": "paid"}
