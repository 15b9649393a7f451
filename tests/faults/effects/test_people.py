"""Whose address it is, across orders; and a poll that fails in a way nobody thought of lets go of its source."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import InvalidOperation

import pytest

from tests.faults.harness.product import ON_SQLITE, Rig
from worker.ledger.tables.runs import cursors
from worker.sources.order import Learner, Line, Order, Payment, Product, Seat
from worker.sources.source import Page
from workflows.planning.offers import parse_offers
from workflows.recording.order_recording import Look, record_order

pytestmark = [pytest.mark.faults, ON_SQLITE]

OFFERS = parse_offers('[[offer]]\nsource = "frontcore"\ncourse_id = 77\ngrants = [{ price_id = 601 }]\n')


def place(rig: Rig, order_id: int, first: str, last: str, email: str) -> None:
    """Take in a Frontcore order of one participant."""
    seat = Seat(id=f"user-{order_id}", learner=Learner(email=email, first_name=first, last_name=last))
    line = Line(id="1", product=Product(course_id="77"), seats=(seat,))
    now = rig.clock()
    order = Order(source="frontcore", id=str(order_id), payment=Payment.PAID, created_at=now, lines=(line,))
    with rig.ledger.write() as connection:
        record_order(connection, order, OFFERS, Look(fetched_at=now), now=now, start_at=None)


def test_a_second_name_waits_for_a_person_when_an_earlier_order_has_the_address(rig: Rig) -> None:
    place(rig, 1, "Per", "En", "kontakt@prove.example")
    place(rig, 2, "Pål", "To", "Kontakt@Prove.example")
    found = {row["order_id"]: (row["state"], row["reason"]) for row in rig.rows("runs")}
    assert found == {"1": ("pending", None), "2": ("review", "shared_email")}


def test_a_buyer_of_another_name_is_given_access_and_the_profile_stays(rig: Rig) -> None:
    first = rig.enrol(7001)
    rig.work(first)
    rig.sell(7002)
    rig.sandbox.studiocart.update_order(7002, customer_firstname="Maximilian", customer_lastname="Meyer")
    rig.ingest(7002)
    rig.finish()
    [customer] = rig.sandbox.learningcart.customers
    assert (customer.profile["First Name"], customer.profile["Last Name"]) == ("Jane", "Doe")
    assert len(rig.comped_orders) == 2


def test_a_source_is_let_go_of_when_a_poll_fails_as_nobody_expects(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> Iterator[Page]:
        raise InvalidOperation

    source = rig.runtime.sources["studiocart"]
    monkeypatch.setattr(source, "walk_since", fail)
    polled = rig.runtime.poller("studiocart").poll()
    assert polled.error is not None
    with rig.ledger.read() as connection:
        [cursor] = connection.execute(cursors.select()).all()
    assert (cursor.failures, cursor.lease_until) == (1, None)
    monkeypatch.undo()
    assert rig.runtime.poller("studiocart").poll().error is None
