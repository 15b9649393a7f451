"""A learner is forgotten: nothing of them is left in any table, and what was done for them can still be shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import DBAPIError

from tests.unit.worker.ledger.rows import NOW, add_attempt, add_delivery, add_order, add_run
from worker.ledger.learners import sealed_passwords
from worker.ledger.learners.erasure import StillNeededError, find_person, forget
from worker.ledger.outbox import add_event
from worker.ledger.session import Ledger
from worker.ledger.tables.base import LedgerModel
from worker.ledger.tables.follow_on import carts, completions
from worker.ledger.tables.runs import learners, order_versions, orders, runs, steps
from worker.ledger.tables.subscriptions import subscriptions
from worker.ledger.views.page.search import search
from worker.sources.order import Address, Learner, Line, Order, Payment, Seat

JANE = Learner(email="Jane@Example.com", first_name="Jane", last_name="Doe", address=Address(line_1="1 Elm St"))
BOB = Learner(email="bob@example.com", first_name="Bob", last_name="Roe")


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """One order for two learners, with all that grows around it."""
    ledger = Ledger(database_url)
    ledger.migrate()
    with ledger.write() as connection:
        seats = (Seat(id="1", learner=JANE), Seat(id="2", learner=BOB))
        order = Order(
            source="studiocart",
            id="1109",
            payment=Payment.PAID,
            buyer_email=JANE.email,
            buyer_name="Jane Doe",
            lines=(Line(id="1107", seats=seats),),
        )
        add_order(connection, document=order.model_dump(mode="json", exclude={"raw"}))
        raw = {"email": JANE.email, "phone": "555 0100", "notes": "call Jane Doe at 1 Elm St"}
        version = {"source": "studiocart", "order_id": "1109", "number": 1, "content_hash": "x", "seen_at": NOW}
        connection.execute(insert(order_versions).values(**version, raw=raw))
        add_delivery(connection, "d1", body=raw, note="could not reach jane@example.com")
        ended: dict[str, Any] = {"state": "succeeded", "result_id": "7", "finished_at": NOW}
        jane = add_run(connection, seat="1", note="JANE@example.com was new", **ended)
        connection.execute(update(runs).where(runs.c.id == jane).values(learner=JANE.model_dump(mode="json")))
        add_run(connection, seat="2", email=BOB.email, **ended)
        assert [each.name for each in search(connection, "jane doe").learners] == ["Jane Doe"]
        add_attempt(connection, jane, "add_customer", error="refused jane@example.com")
        row = {"key": "5/77/-", "state": "completed", "customer_id": "5", "course_id": "77", "name": "Jane Doe"}
        seen = {"email": JANE.email, "email_key": "jane@example.com", "first_seen_at": NOW, "updated_at": NOW}
        connection.execute(insert(completions).values(id="c1", **row, **seen))
        secret_url = "https://store.example/checkout?cart=jane-1"
        made = dict.fromkeys(("created_at", "updated_at"), NOW)
        cart = {"id": "c", "run_id": jane, "attempt": 1, "state": "made", "checkout_url": secret_url}
        connection.execute(insert(carts).values(**cart, **made))
        first = (steps.c.run_id == jane, steps.c.position == 1)
        connection.execute(update(steps).where(*first).values(output={"cart_id": "5", "checkout_url": secret_url}))
        sealed_passwords.keep(connection, jane, "sealed-for-jane", now=NOW)
        plan = {"subscription_id": "9", "access": "live", "document": {}, "buyer_email_key": "jane@example.com"}
        moments = dict.fromkeys(("first_seen_at", "fetched_at", "updated_at"), NOW)
        connection.execute(
            insert(subscriptions).values(source="studiocart", status="active", content_hash="", **plan, **moments)
        )
        add_event(connection, "completion.completed", {"email": JANE.email, "name": "Jane Doe", "score": 9}, now=NOW)
    yield ledger
    ledger.close()


def everything(connection: Connection) -> str:
    tables = LedgerModel.metadata.sorted_tables
    return "\n".join(repr(tuple(row)) for table in tables for row in connection.execute(select(table)))


def forget_jane(ledger: Ledger) -> None:
    with ledger.write() as connection:
        forget(connection, find_person(connection, " JANE@example.com "), now=NOW, actor="operator:ann", reason="asked")


def test_nothing_of_a_learner_is_left_when_they_are_forgotten(ledger: Ledger) -> None:
    with ledger.read() as connection:
        before = everything(connection).casefold()
    for trace in ("jane", "doe", "elm st", "555 0100"):
        assert trace in before
    forget_jane(ledger)
    with ledger.read() as connection:
        after = everything(connection).casefold()
        assert not find_person(connection, JANE.email).is_known
    for trace in ("jane", "doe", "elm st", "555 0100"):
        assert re.search(rf"\b{trace}", after) is None  # an id of random letters may have one inside


def test_what_was_done_remains_when_a_learner_is_forgotten(ledger: Ledger) -> None:
    forget_jane(ledger)
    forget_jane(ledger)  # nothing is left to forget: nothing happens to anybody else
    with ledger.read() as connection:
        stored = {row.seat_id: row for row in connection.execute(select(runs))}
        order = Order.model_validate(connection.execute(select(orders.c.document)).scalar_one())
        known = set(connection.scalars(select(learners.c.email_key)))
    assert {(row.state, row.result_id) for row in stored.values()} == {("succeeded", "7")}
    assert stored["2"].email == BOB.email
    assert stored["1"].email in known
    assert stored["1"].email.endswith("@forgotten.invalid")
    hers, his = order.lines[0].seats
    assert hers.learner == Learner(email=stored["1"].email)
    assert his.learner == BOB


@pytest.mark.parametrize("state", ["pending", "waiting", "review", "failed"])
def test_learner_is_kept_when_a_run_of_theirs_is_open(ledger: Ledger, state: str) -> None:
    with ledger.write() as connection:
        connection.execute(update(runs).where(runs.c.seat_id == "1").values(state=state))
    with pytest.raises(StillNeededError):
        forget_jane(ledger)
    with ledger.read() as connection:
        assert find_person(connection, JANE.email).open_run_ids


def test_version_of_an_order_stays_as_it_is_when_anything_else_is_written(ledger: Ledger) -> None:
    changes: list[dict[str, Any]] = [
        {"raw": {}},
        {"raw": {"forgotten": True}, "content_hash": "y"},
        {"raw": {"forgotten": True}, "number": 2},
    ]
    for change in changes:
        with pytest.raises(DBAPIError, match="only added to"), ledger.write() as connection:
            connection.execute(update(order_versions).values(**change))
    with pytest.raises(DBAPIError, match="only added to"), ledger.write() as connection:
        connection.execute(order_versions.delete())
