"""A ledger with somebody in it, and forgetting them."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update

from tests.unit.workflows.fakes.storefront import JANE, NOW, rows
from worker.ledger.learners.erasure import Receipt, find_person, forget
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.base import LedgerModel
from worker.ledger.tables.runs import runs
from worker.sources.order import Address, Learner, Seat

LATER = NOW + timedelta(days=1)
MARKED = Learner(
    email="mark.erwin@person.test",
    first_name="Marquerite",
    last_name="Överskog",
    address=Address(line_1="17 Planted Street", city="Plantedcity", zip="PL4 9NT", state="Plantedstate"),
)
TRACES = ("mark.erwin", "marquerite", "verskog", "planted", "pl4 9nt")


def finish(ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.execute(update(runs).values(state=RunState.SUCCEEDED, finished_at=NOW, next_attempt_at=None))


def forget_one(ledger: Ledger, email: str = JANE.email) -> Receipt:
    with ledger.write() as connection:
        return forget(connection, find_person(connection, email), now=NOW, actor="operator:ann", reason=None)


def everything(ledger: Ledger) -> str:
    with ledger.read() as connection:
        tables = LedgerModel.metadata.sorted_tables
        found = [repr(tuple(row)) for table in tables for row in connection.execute(select(table))]
    return "\n".join(found).casefold()


def states(ledger: Ledger) -> list[tuple[str, str | None]]:
    return [(row.state, row.reason) for row in sorted(rows(ledger, runs), key=lambda row: row.id)]


def seats(*learners: Learner) -> list[Seat]:
    return [Seat(id=f"participant-{number}", learner=each) for number, each in enumerate(learners, start=1)]
