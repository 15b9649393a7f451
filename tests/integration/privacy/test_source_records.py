"""People of whom only a source's own record tells: by an address that was corrected since, or that we do not read."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests.integration.privacy.forgetting import LATER, everything, finish, forget_one, seats
from tests.unit.workflows.fakes.storefront import JANE, JOHN, NOW, a_line, an_order, record, rows
from worker.ledger.learners.erasure import find_person, forget
from worker.ledger.learners.erasure_file import ErasureFile
from worker.ledger.learners.erasure_replay import forget_again, write_missing
from worker.ledger.learners.export import export_person
from worker.ledger.orders.operator_entries import NamedSeat, hash_of, keep_named
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import order_versions, orders
from worker.sources.order import Learner, Order

SLIP = Learner(email="zelda@exmaple.test", first_name="Zelda", last_name="Quux")
ZELDA = Learner(email="zelda@example.test", first_name="Zelda", last_name="Quux")
CARLA = "carla@contact.test"


def an_order_of(learner: Learner, raw: dict[str, str], order_id: str = "1109", status: str = "paid") -> Order:
    return an_order(order_id, learner=learner, status=status).model_copy(update={"raw": {"id": int(order_id), **raw}})


def test_address_is_forgotten_when_its_order_was_corrected_since(ledger: Ledger) -> None:
    record(ledger, an_order_of(SLIP, {"email": SLIP.email}))
    record(ledger, an_order_of(ZELDA, {"email": ZELDA.email}, status="edited"), now=NOW + timedelta(hours=1))
    finish(ledger)
    forget_one(ledger, SLIP.email)
    assert SLIP.email not in everything(ledger)
    assert ZELDA.email in everything(ledger)


@pytest.mark.parametrize("written", [CARLA, f"mailto:{CARLA.upper()}", f"Carla <{CARLA}>", f"['{CARLA}']"])
def test_contact_is_known_forgotten_and_kept_out_when_the_record_alone_names_them(ledger: Ledger, written: str) -> None:
    record(ledger, an_order_of(JANE, {"contact": written}))
    record(ledger, an_order_of(JOHN, {}, "1110"))
    finish(ledger)
    receipt = forget_one(ledger, CARLA)
    assert receipt.removed["order_versions"] == 1
    assert "carla" not in everything(ledger)
    record(ledger, an_order_of(JANE, {"contact": written}, status="edited"), now=LATER)
    record(ledger, an_order_of(JOHN, {"contact": written}, "1050"), now=LATER)
    assert "carla" not in everything(ledger)
    assert {JANE.email, JOHN.email} <= {row.buyer_email for row in rows(ledger, orders)}


def test_contact_is_kept_when_they_stand_in_an_order_that_was_made_later(ledger: Ledger) -> None:
    record(ledger, an_order_of(JANE, {"contact": CARLA}))
    finish(ledger)
    forget_one(ledger, CARLA)
    later = an_order_of(JOHN, {"contact": CARLA}, "1200").model_copy(update={"created_at": LATER})
    record(ledger, later, now=LATER)
    assert CARLA in repr([row.raw for row in rows(ledger, order_versions)])


def test_contact_is_forgotten_again_when_an_older_copy_is_restored(ledger: Ledger, tmp_path: Path) -> None:
    file = ErasureFile(tmp_path / "erasures.jsonl")
    record(ledger, an_order_of(JANE, {"contact": CARLA}))
    finish(ledger)
    with ledger.write() as connection:
        forget(connection, find_person(connection, CARLA), now=NOW, actor="a", reason=None)
        write_missing(connection, file)
        connection.rollback()  # as if the copy was from before
    assert CARLA in everything(ledger)
    with ledger.write() as connection:
        assert forget_again(connection, file.read(), now=LATER, actor="a") == 1
    assert CARLA not in everything(ledger)


def test_record_is_not_handed_out_when_somebody_else_stands_in_it(ledger: Ledger) -> None:
    record(ledger, an_order_of(JANE, {"contact": CARLA, "contact_name": "Carla Contact"}))
    record(ledger, an_order_of(JANE, {"note": "hers alone"}, "1110"))
    with ledger.read() as connection:
        reported = json.dumps(export_person(connection, find_person(connection, JANE.email), now=NOW))
        assert "1109" in json.dumps(export_person(connection, find_person(connection, CARLA), now=NOW))
    assert "carla" not in reported.casefold()
    assert "hers alone" in reported


def test_slip_goes_with_them_when_an_operator_gave_the_seat_to_the_right_address(ledger: Ledger) -> None:
    order = an_order(learner=JOHN, lines=[a_line(seats=seats(SLIP))])
    record(ledger, order)
    with ledger.write() as connection:
        given = NamedSeat("1107", "participant-1", ZELDA, hash_of(SLIP))
        keep_named(connection, "studiocart", "1109", [given], actor="operator:ann", now=NOW)
    record(ledger, order.model_copy(update={"status": "edited"}), now=NOW + timedelta(hours=1))
    finish(ledger)
    forget_one(ledger, ZELDA.email)
    for trace in ("zelda", "quux"):
        assert trace not in everything(ledger)
    record(ledger, order.model_copy(update={"status": "edited again"}), now=LATER)
    for trace in ("zelda", "quux"):
        assert trace not in everything(ledger)
    assert JOHN.email in everything(ledger)
