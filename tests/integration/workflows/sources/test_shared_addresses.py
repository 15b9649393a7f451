"""One address under several names, across orders: Frontcore's participants ask, the carts' buyers keep the profile."""

from __future__ import annotations

from typing import Any

import pytest

from tests.captures import capture
from tests.unit.workflows.fakes.storefront import NOW, START, Clock, FakeSource, a_hint_reader, offers, rows
from worker.clients.frontcore.models import Order as Record
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.runs import runs
from worker.sources.frontcore import to_order
from worker.sources.order import Learner, Line, Order, Payment, Product, Seat
from workflows.operations.replay import Operations
from workflows.operations.restarting import Seen
from workflows.planning.offers_file import OffersFile
from workflows.recording.order_recording import Look, record_order

OFFERS_TEXT = """
[[offer]]
source = "frontcore"
course_id = 2201
grants = [{ price_id = 601, group_ids = [14] }]

[[offer]]
source = "studiocart"
product_id = "1107"
grants = [{ price_id = 501 }]
"""
OFFERS = offers(OFFERS_TEXT)
MAILBOX = "kontakt@prove.example"


def captured(name: str, **changes: Any) -> Order:
    document = capture("frontcore", name)
    [record] = document["items"] if isinstance(document, dict) else document
    created = {"created_at": NOW.isoformat()}
    return to_order(Record.model_validate(record | created | changes), provision_when="created")


def booked(order_id: int, *people: tuple[str, str]) -> Order:
    """An order of the names and addresses given, as Frontcore tells it."""
    users: list[dict[str, Any]] = [
        {"id": number, "firstname": name.split()[0], "lastname": " ".join(name.split()[1:]), "email": email}
        for number, (name, email) in enumerate(people, start=order_id * 10)
    ]
    relations = [
        {"type": "participant", "participant_id": user["id"] + 5, "user_id": user["id"], "course_id": 2201}
        for user in users
    ]
    product = {"id": 81, "title": "Truckkurs", "is_main_product": True}
    line = {"id": order_id + 1, "product": product, "database_relations": relations, "users": users}
    record = {"id": order_id, "is_paid": True, "lines": [line], "created_at": NOW.isoformat()}
    return to_order(Record.model_validate(record))


def bought(order_id: int, name: str, email: str = MAILBOX) -> Order:
    first, _, last = name.partition(" ")
    seat = Seat(id="buyer", learner=Learner(email=email, first_name=first, last_name=last))
    line = Line(id="1107", product=Product(product_id="1107"), seats=(seat,))
    return Order(source="studiocart", id=str(order_id), payment=Payment.PAID, created_at=NOW, lines=(line,))


def look(ledger: Ledger, *orders: Order, clock_at: Any = NOW) -> None:
    for order in orders:
        with ledger.write() as connection:
            record_order(connection, order, OFFERS, Look(fetched_at=clock_at), now=clock_at, start_at=START)


def seats(ledger: Ledger, order_id: int) -> dict[str, tuple[str, str | None]]:
    """Each open or finished seat of an order by its learner's name."""
    found = {}
    for row in rows(ledger, runs, runs.c.order_id == str(order_id)):
        if row.state != RunState.CANCELLED:
            name = f"{row.learner['first_name']} {row.learner['last_name']}".strip()
            assert name not in found
            found[name] = (row.state, row.reason)
    return found


ASKED = ("review", "shared_email")
DUE = ("pending", None)


@pytest.fixture
def operations(ledger: Ledger, clock: Clock, tmp_path: Any) -> Operations:
    path = tmp_path / "both.toml"
    path.write_text(OFFERS_TEXT)
    source = FakeSource(clock, name="frontcore")
    return Operations(ledger, a_hint_reader(ledger, source, OffersFile(path), clock), check_source=str, clock=clock)


def run_of(ledger: Ledger, order_id: int, first_name: str) -> str:
    [row] = [
        row
        for row in rows(ledger, runs, runs.c.order_id == str(order_id))
        if row.learner["first_name"] == first_name and row.state != RunState.CANCELLED
    ]
    return str(row.id)


def test_each_seat_of_a_group_order_keeps_its_run_when_they_share_an_address(ledger: Ledger) -> None:
    for _ in range(2):
        look(ledger, captured("orders_group_shared_email.json"))
        assert seats(ledger, 51001) == {"Per En": ASKED, "Pål To": ASKED, "Espen Tre": DUE}
    look(ledger, captured("orders_group_shared_email.json", id=51011))
    assert seats(ledger, 51011) == {"Per En": ASKED, "Pål To": ASKED, "Espen Tre": DUE}
    look(ledger, captured("orders_wrapped_items.json"))
    assert seats(ledger, 51003) == {"Anne Fire": DUE}


def test_a_shared_address_is_still_asked_about_when_an_answer_leaves_the_others_out(ledger: Ledger) -> None:
    [record] = capture("frontcore", "orders_group_shared_email.json")
    whole = captured("orders_group_shared_email.json")
    bare = captured("orders_group_shared_email.json", lines=[line | {"users": None} for line in record["lines"]])
    look(ledger, whole)
    asked = {row.key for row in rows(ledger, runs, runs.c.reason == "shared_email", runs.c.state == "review")}
    assert len(asked) > 1
    look(ledger, bare)
    assert not rows(ledger, runs, runs.c.state == "pending", runs.c.email == MAILBOX)
    look(ledger, whole)
    assert {row.key for row in rows(ledger, runs, runs.c.reason == "shared_email", runs.c.state == "review")} == asked


def test_a_participant_is_given_access_when_the_bookers_address_is_nobody_elses(ledger: Ledger) -> None:
    look(ledger, captured("order_one_participant_with_bookers_email.json"))
    assert seats(ledger, 51002) == {"Per En": DUE}


def test_a_participant_waits_when_others_are_asked_about_for_the_address(ledger: Ledger) -> None:
    look(ledger, captured("orders_group_shared_email.json"))
    look(ledger, captured("order_one_participant_with_bookers_email.json"))
    assert seats(ledger, 51002) == {"Per En": ASKED}


def test_a_participant_waits_when_the_address_is_another_learners_in_an_earlier_order(ledger: Ledger) -> None:
    look(ledger, booked(1, ("Per En", MAILBOX)), booked(2, ("Pål To", MAILBOX.upper())), booked(3, ("Per En", MAILBOX)))
    assert (seats(ledger, 1), seats(ledger, 2), seats(ledger, 3)) == (
        {"Per En": DUE},
        {"Pål To": ASKED},
        {"Per En": DUE},
    )
    [run] = rows(ledger, runs, runs.c.order_id == "2")
    assert (run.email, run.learner["first_name"]) == (MAILBOX.upper(), "Pål")


def test_a_participant_waits_when_the_address_is_a_cart_buyers(ledger: Ledger) -> None:
    look(ledger, bought(1, "Per En"), booked(2, ("Pål To", MAILBOX)))
    assert seats(ledger, 2) == {"Pål To": ASKED}


@pytest.mark.parametrize("name", ["per en", "EN Per", "Per Olav En", "P\u00e9r En", "P. En"])
def test_a_participant_is_the_same_when_the_name_is_written_otherwise(ledger: Ledger, name: str) -> None:
    look(ledger, booked(1, ("Per En", MAILBOX)), booked(2, (name, MAILBOX)))
    assert seats(ledger, 2) == {name: DUE}


def test_a_first_learner_keeps_access_when_later_orders_share_the_address(ledger: Ledger) -> None:
    look(ledger, booked(1, ("Per En", MAILBOX)), booked(2, ("Pål To", MAILBOX)), booked(1, ("Per En", MAILBOX)))
    assert seats(ledger, 1) == {"Per En": DUE}


def test_a_seat_follows_when_its_own_name_or_address_is_corrected(ledger: Ledger) -> None:
    look(ledger, booked(1, ("Per Enn", MAILBOX)), booked(1, ("Pål En", MAILBOX)))
    assert seats(ledger, 1) == {"Pål En": DUE}
    look(ledger, booked(2, ("Espen Tre", MAILBOX)))
    assert seats(ledger, 2) == {"Espen Tre": ASKED}
    look(ledger, booked(2, ("Espen Tre", "espen@prove.example")))
    assert seats(ledger, 2) == {"Espen Tre": DUE}


def test_an_answer_holds_from_then_on_when_the_run_is_replayed(ledger: Ledger, operations: Operations) -> None:
    group = captured("orders_group_shared_email.json")
    look(ledger, group)
    replayed = operations.replay(run_of(ledger, 51001, "Pål"), actor="operator:ann")
    assert (replayed.result, len(replayed.ready)) == ("planned", 1)
    assert seats(ledger, 51001) == {"Per En": ASKED, "Pål To": DUE, "Espen Tre": DUE}
    look(ledger, group)
    assert seats(ledger, 51001) == {"Per En": ASKED, "Pål To": DUE, "Espen Tre": DUE}
    look(ledger, captured("orders_group_shared_email.json", id=51011))
    assert seats(ledger, 51011) == {"Per En": ASKED, "Pål To": DUE, "Espen Tre": DUE}


def test_an_answer_holds_from_then_on_when_the_run_is_resolved(ledger: Ledger, operations: Operations) -> None:
    look(ledger, booked(1, ("Per En", MAILBOX)), booked(2, ("Pål To", MAILBOX)))
    operations.resolve(run_of(ledger, 2, "Pål"), actor="operator:ann", note="by hand")
    look(ledger, booked(3, ("Pål To", MAILBOX)), booked(4, ("Espen Tre", MAILBOX)))
    assert seats(ledger, 3) == {"Pål To": DUE}
    assert seats(ledger, 4) == {"Espen Tre": ASKED}


def test_nothing_is_answered_when_runs_are_replayed_in_bulk(ledger: Ledger, operations: Operations) -> None:
    look(ledger, captured("orders_group_shared_email.json"))
    replayed = operations.replay(run_of(ledger, 51001, "Pål"), actor="operator:ann", seen=Seen(is_one_of_many=True))
    assert replayed.result == "nothing"
    assert seats(ledger, 51001) == {"Per En": ASKED, "Pål To": ASKED, "Espen Tre": DUE}


def test_a_replay_shows_what_it_would_do_when_it_is_dry(ledger: Ledger, operations: Operations) -> None:
    look(ledger, captured("orders_group_shared_email.json"))
    replayed = operations.replay(run_of(ledger, 51001, "Pål"), actor="operator:ann", dry_run=True)
    assert replayed.result == "planned"
    assert seats(ledger, 51001)["Pål To"] == ASKED


def test_a_buyer_keeps_the_profile_that_is_known_when_the_name_differs(ledger: Ledger) -> None:
    look(ledger, bought(1, "Per En"), bought(2, "Pål To"), bought(3, "Per Olav En"), bought(1, "Per En"))
    found = {row.order_id: (row.state, row.learner["keeps_profile"]) for row in rows(ledger, runs)}
    assert found == {"1": ("pending", False), "2": ("pending", True), "3": ("pending", False)}
    look(ledger, bought(2, "Pål To"))
    assert len(rows(ledger, runs)) == 3
