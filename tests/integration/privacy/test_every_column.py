"""Every column of every table: either it can hold somebody and loses them, or it is known why it holds nobody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, insert, select, update

from tests.integration.privacy.forgetting import MARKED, TRACES, finish, forget_one
from tests.integration.privacy.test_erased_texts import plant
from tests.unit.worker.ledger.rows import add_delivery
from tests.unit.workflows.fakes.storefront import NOW, rows
from worker.ledger.learners import sealed_passwords
from worker.ledger.learners.erased_texts import TEXTS
from worker.ledger.offers_in_force import offers_in_force
from worker.ledger.orders.operator_entries import NamedSeat, keep_named
from worker.ledger.periodic.list_polls import ListName
from worker.ledger.search.texts import write_search_text
from worker.ledger.session import Ledger
from worker.ledger.tables.base import LedgerModel, UtcDateTime
from worker.ledger.tables.follow_on import carts, completions
from worker.ledger.tables.periodic import list_polls
from worker.ledger.tables.runs import deliveries, runs, steps
from worker.ledger.tables.subscriptions import subscriptions
from worker.ledger.tables.web import operators

assert {operators.name, offers_in_force.name} <= LedgerModel.metadata.tables.keys()  # which their modules add
PERSONAL = {
    *("orders.document", "orders.buyer_email", "orders.buyer_email_key", "orders.buyer_name", "order_versions.raw"),
    *("runs.email", "runs.email_key", "runs.learner", "learners.email", "learners.email_key"),
    *("completions.email", "completions.email_key", "completions.name", "subscriptions.buyer_email_key"),
    *("named_seats.email_key", "named_seats.learner", "carts.checkout_url", "sealed_passwords.ciphertext"),
    "search_texts.text",
}
"""Beside `TEXTS`: what is replaced or dropped."""
NOBODY: dict[str, str] = {
    "alert_states": "name document lease_holder",
    "attempts": "run_id step kind holder reference outcome result_id",
    "breakers": "system state probe_run_id failing_run_ids own_failing_run_ids",
    "carts": "id run_id cart_id state",
    "catalog": "source product_id name",
    "completions": "id key state customer_id course_id course_name",
    "cursors": "source position lease_holder",
    "deliveries": "id source order_id via actor state reason lease_holder",
    "erased_places": "source order_id line_id seat_id erasure_id",
    "erasure_keys": "id key",
    "erasures": "id key_id digest marks",
    "events": "kind actor run_id source order_id delivery_id system",
    "learners": "id",
    "list_polls": "source list_name position lease_holder",
    "named_seats": "source order_id line_id seat_id source_hash actor",
    "offers_in_force": "name text digest problem",
    "operators": "name_key name password_hash added_by",
    "order_notes": "id source order_id actor",
    "order_versions": "source order_id content_hash delivery_id",
    "orders": "source order_id state reason status payment currency content_hash polled_hash offers_digest read_anew",
    "outbox": "id kind state",
    "pauses": "system kind actor",
    "periodic_tasks": "name holder",
    "recoveries": "id steps actor",
    "runs": (
        "id key workflow state reason source order_id completion_id line_id seat_id title grant lane result_id "
        "parent_id delivery_id cancel_reason cancelled_by system lease_holder"
    ),
    "schema_tolerance": "revision tolerates",
    "sealed_passwords": "run_id",
    "search_texts": "source record_id",
    "source_watches": "source",
    "steps": "run_id name state",
    "subscription_orders": "source order_id subscription_id",
    "subscriptions": (
        "source subscription_id status access product_id initial_order_id next_bill_on canceled_on period_ends_on "
        "document content_hash polled_hash ended_reason told_reason"
    ),
    "web_lockouts": "kind address",
    "web_sessions": "id operator_key",
    "webhook_refusals": "source kind",
}
"""Codes, ids, hashes, names of products and of operators, and addresses of machines."""


def name_of(column: Column[Any]) -> str:
    return f"{column.table.name}.{column.name}"


def columns() -> Iterator[Column[Any]]:
    """Those that may hold a text."""
    for table in LedgerModel.metadata.sorted_tables:
        for column in table.c:
            if not isinstance(column.type, UtcDateTime | Integer | BigInteger | Boolean | Float):
                yield column


def test_every_column_is_known_when_one_is_added() -> None:
    """Whoever adds one that may hold a person has `forget`, `export` and retention to think of."""
    nobody = {f"{table}.{name}" for table, names in NOBODY.items() for name in names.split()}
    texts = {name_of(column) for column in TEXTS}
    assert {name_of(column) for column in columns()} == nobody | texts | PERSONAL
    assert not nobody & texts
    assert not (nobody | texts) & PERSONAL


def plant_the_rest(ledger: Ledger) -> None:
    plant(ledger)
    quote = f"refused <{MARKED.email}>"
    with ledger.write() as connection:
        run = connection.execute(select(runs)).one()
        moments = dict.fromkeys(("first_seen_at", "fetched_at", "updated_at"), NOW)
        plan = {"subscription_id": "9", "access": "live", "document": {}, "content_hash": "", "status": "active"}
        connection.execute(
            insert(subscriptions).values(source="studiocart", buyer_email_key=MARKED.email, **plan, **moments)
        )
        url = f"https://store.example/checkout?{MARKED.email}"
        made = dict.fromkeys(("created_at", "updated_at"), NOW)
        connection.execute(
            insert(carts).values(id="c", run_id=run.id, attempt=1, state="made", checkout_url=url, **made)
        )
        first = (steps.c.run_id == run.id, steps.c.position == 1)
        connection.execute(update(steps).where(*first).values(output={"checkout_url": url, "told": quote}))
        sealed_passwords.keep(connection, run.id, "sealed-of-mark.erwin", now=NOW)
        connection.execute(
            insert(list_polls).values(
                source="studiocart", list_name=ListName.CATALOG, position={}, failures=1, last_error=quote
            )
        )
        add_delivery(connection, "n", order_id="1400", note=quote)
        connection.execute(update(completions).values(state="completed"))
        seat = NamedSeat(run.line_id, run.seat_id, MARKED)
        keep_named(connection, "studiocart", "1109", [seat], actor="operator:ann", now=NOW)
        write_search_text(connection, "studiocart", "1109")
    finish(ledger)


def holding(ledger: Ledger) -> set[str]:
    """The columns in which anything of the person stands."""
    return {
        name_of(column)
        for column in columns()
        for row in rows(ledger, column.table)
        if any(trace in repr(getattr(row, column.name)).casefold() for trace in TRACES)
    }


def test_every_column_that_can_hold_a_person_loses_them(ledger: Ledger) -> None:
    plant_the_rest(ledger)
    assert holding(ledger) == PERSONAL | {name_of(column) for column in TEXTS}
    forget_one(ledger, MARKED.email)
    assert holding(ledger) == set()
    assert {row.id for row in rows(ledger, deliveries)} >= {"n", "w"}
