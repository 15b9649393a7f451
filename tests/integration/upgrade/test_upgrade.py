"""A ledger of an earlier version goes through the migrations and a whole sweep: history is not acted upon.

`ledger_0009.sql` was filled by the version of schema 0009, which polled `records.json` with `offers.toml` until nothing
changed any more; its due runs were set to succeeded, and one learner was forgotten. Order 1201 shows its payment only
in transactions, of which that version kept nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import insert, select

from tests.integration.servers import PostgresServer
from tests.integration.upgrade.record_shop import BASELINE_DAYS, FILLED_AT, HERE, SOURCES, START_AT, RecordShop
from tests.unit.workflows.fakes.storefront import Clock
from worker.ledger.orders import order_rows
from worker.ledger.session import Ledger
from worker.ledger.states import Actor, Via
from worker.ledger.tables.base import LedgerModel
from worker.ledger.tables.runs import cursors, events, orders, runs
from workflows.ingest.backfill import Backfiller, Window
from workflows.ingest.deliveries import DeliveryReader, SourcePolicy
from workflows.ingest.order_polling import Poller
from workflows.planning.model import ENROLMENT
from workflows.planning.offers_file import OffersFile
from workflows.reconcile.source_diff import SourceDiff

pytestmark = pytest.mark.integration

POLICY = SourcePolicy(start_at=START_AT, baseline_days=BASELINE_DAYS)
READ_ANEW = {
    f"threedcart/{order_id}/12-FA-COURSE-MAY/buyer/701" for order_id in ("1001", "1101", "1103", "1201", "1400")
} | {"threedcart/1500/12-FA-COURSE-MAY/buyer/unnamed"}
"""Orders in status 1 or 3 of which money was taken: they waited, or were a question, and read as paid now."""
SETTLED = {f"threedcart/{order_id}/-/-/unknown-status" for order_id in ("1103", "1113", "1121")}
"""Questions about a status that has a meaning now."""

KNOWN_NAME = "frontcore/51001/51002/participant-3000-user-1"
"""A seat that was held for its address, under a name that two other orders were provisioned with: that lets it go now,
and it is a question all the same."""

States = dict[str, tuple[str, str | None]]


class Company:
    """The three shops, and whatever looks at them."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.clock = Clock(FILLED_AT + timedelta(days=1))
        self.offers_reader = OffersFile(HERE / "offers.toml")
        self.shops = {name: RecordShop(name, self.clock) for name in SOURCES}
        self.delivery_reader = DeliveryReader(
            ledger,
            self.shops,
            dict.fromkeys(SOURCES, POLICY),
            self.offers_reader,
            holder="hints",
            retry_base_seconds=1,
            retry_max_seconds=60,
            clock=self.clock,
            rng=Random(1),
        )

    def poll(self) -> int:
        """Poll every shop, then plan what is due; returns how many orders the polls took for changed."""
        changed = 0
        for name, shop in self.shops.items():
            polled = Poller(self.ledger, shop, POLICY, self.offers_reader, holder="new", clock=self.clock).poll()
            assert (polled.error, polled.set_aside) == (None, [])
            changed += polled.changed
            with self.ledger.read() as connection:
                due = select(orders.c.order_id).where(orders.c.source == name, orders.c.replan_at <= self.clock.now)
                order_ids = list(connection.scalars(due))
            for order_id in order_ids:
                self.delivery_reader.replan(name, order_id)
        self.clock.advance(minutes=5)
        return changed

    def notify_of_all(self) -> None:
        for name, shop in self.shops.items():
            for order in shop.orders():
                now, via = self.clock.now, Via.WEBHOOK
                with self.ledger.write() as connection:
                    order_rows.insert_delivery(
                        connection, source=name, order_id=order.id, via=via, actor=Actor.SOURCE, now=now
                    )
                assert self.delivery_reader.look(name, order.id).error is None
        self.clock.advance(minutes=5)

    def backfill(self) -> None:
        window = Window(START_AT, self.clock.now)
        for shop in self.shops.values():
            backfiller = Backfiller(self.ledger, shop, POLICY, self.offers_reader, clock=self.clock)
            backfiller.preview(window)
            backfiller.run(window, actor="operator:ann")
        self.clock.advance(minutes=5)

    def reconcile(self) -> list[Any]:
        found = []
        for shop in self.shops.values():
            difference = SourceDiff(self.ledger, shop, POLICY, self.offers_reader.current(), provisioned=set())
            found += list(difference.compare(since=START_AT, until=self.clock.now))
        return found

    def states(self) -> States:
        with self.ledger.read() as connection:
            return {row.key: (row.state, row.reason) for row in connection.execute(select(runs))}


def _restored(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        connection.executescript((HERE / "ledger_0009.sql").read_text(encoding="utf-8"))
    return f"sqlite:///{path}"


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    ledger = Ledger(_restored(tmp_path / "cartbridge.db"))
    ledger.migrate()
    yield Company(ledger)
    ledger.close()


@pytest.fixture
def before(tmp_path: Path) -> States:
    with sqlite3.connect(_restored(tmp_path / "before.db").removeprefix("sqlite:///")) as connection:
        return {
            key: (state, reason) for key, state, reason in connection.execute("SELECT key, state, reason FROM runs")
        }


def check(company: Company, before: States) -> None:
    after = company.states()
    assert {key: state for key, state in after.items() if key not in before} == dict.fromkeys(
        {*READ_ANEW, f"{KNOWN_NAME}/601"}, ("review", "read_anew")
    )
    changed = {key: after[key] for key in before if after[key] != before[key]}
    assert changed.pop(f"{KNOWN_NAME}/held") == ("cancelled", "superseded")
    assert changed == dict.fromkeys(SETTLED, ("cancelled", "settled_by_source"))


SWEEPS: dict[str, Callable[[Company], Any]] = {
    "poll": Company.poll,
    "notification": Company.notify_of_all,
    "backfill": Company.backfill,
    "reconciliation": Company.reconcile,
}


@pytest.mark.parametrize("first", SWEEPS)
def test_history_is_not_acted_upon_when_a_ledger_is_upgraded(company: Company, before: States, first: str) -> None:
    SWEEPS[first](company)
    for _ in range(2):
        company.poll()
        company.clock.advance(days=2)  # a deep sweep
    check(company, before)
    for sweep in SWEEPS.values():
        sweep(company)
        check(company, before)
    assert company.reconcile() == []


def test_first_poll_takes_nothing_for_changed_but_what_was_not_kept(company: Company) -> None:
    # threedcart/1201, whose transactions were dropped, and the forgotten learner's order, of which nothing is left
    assert company.poll() == 2
    assert company.poll() == 0


def test_mark_is_the_highest_known_id_when_a_ledger_is_upgraded(company: Company) -> None:
    with company.ledger.read() as connection:
        marks = {row.source: row.start_order_id for row in connection.execute(select(cursors))}
    assert marks == {"studiocart": 55, "frontcore": None, "threedcart": None}


def test_decided_order_stays_decided_when_the_sites_zone_changes_after_the_upgrade(
    company: Company, before: States
) -> None:
    company.shops["studiocart"].edits["3"] = {"date_time": "2026-03-01 10:00:00", "status": "completed"}
    company.poll()
    check(company, before)


def test_order_that_waited_is_provisioned_when_it_is_paid_after_the_upgrade(company: Company, before: States) -> None:
    company.poll()
    company.shops["studiocart"].edits["54"] = {"status": "paid"}
    company.shops["threedcart"].edits["1111"] = {"OrderStatusID": 2}
    company.shops["frontcore"].edits["51002"] = {"is_paid": True}
    company.poll()
    after = company.states()
    assert after["studiocart/54/4/buyer/501"] == ("pending", None)
    assert after["threedcart/1111/12-FA-COURSE-MAY/buyer/701"] == ("pending", None)
    assert after["frontcore/51002/51003/participant-3000-user-1/601"][0] in {"pending", "review"}


def test_line_planned_under_a_name_keeps_its_run_when_its_order_is_edited_after_the_upgrade(
    company: Company, before: States
) -> None:
    company.poll()
    company.shops["studiocart"].edits["22"] = {"customer_lastname": "Married"}
    company.poll()
    own = {key for key in company.states() if key.startswith("studiocart/22/")}
    assert own == {key for key in before if key.startswith("studiocart/22/")}
    assert not any(state == "pending" for state, _ in company.states().values())


def test_forgotten_learner_stays_forgotten_when_a_ledger_is_upgraded(company: Company) -> None:
    for sweep in SWEEPS.values():
        sweep(company)
    with company.ledger.read() as connection:
        row = connection.execute(select(orders).where(orders.c.order_id == "55")).one()
    assert "gone" not in f"{row.buyer_email}{row.document}"


def test_history_is_not_acted_upon_when_the_ledger_is_on_postgresql(
    company: Company, before: States, postgres_server: PostgresServer
) -> None:
    """The rows that the migrations left on SQLite, copied."""
    ledger = Ledger(postgres_server.create_database())
    ledger.migrate()
    with company.ledger.read() as old, ledger.write() as new:
        for table in LedgerModel.metadata.sorted_tables:
            if table is events or table.name == "schema_tolerance":
                continue
            rows = [dict(row._mapping) for row in old.execute(select(table))]
            if rows:
                new.execute(insert(table), rows)
    try:
        other = Company(ledger)
        for sweep in (*SWEEPS.values(), Company.poll):
            sweep(other)
        check(other, before)
    finally:
        ledger.close()


def test_only_enrolments_are_read_anew(company: Company) -> None:
    company.poll()
    with company.ledger.read() as connection:
        found = connection.execute(select(runs.c.workflow, runs.c.next_attempt_at).where(runs.c.reason == "read_anew"))
        assert {tuple(row) for row in found} == {(ENROLMENT, None)}
