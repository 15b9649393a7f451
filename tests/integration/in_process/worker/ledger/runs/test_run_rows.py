from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from tests.unit.workflows.fakes.storefront import JANE, NOW, an_order, record, rows
from worker.ledger.runs.run_rows import NewRun, insert_run, insert_steps, lanes_of
from worker.ledger.session import Ledger
from worker.ledger.sql import insert_ignoring
from worker.ledger.states import RunState
from worker.ledger.tables.runs import learners, pauses, runs, steps
from worker.sources.order import Payment


@pytest.fixture(autouse=True)
def an_order_row(ledger: Ledger) -> None:
    record(ledger, an_order(payment=Payment.WAITING))


def insert(ledger: Ledger, key: str = "studiocart/1109/1107/buyer/501", **values: Any) -> str | None:
    given: dict[str, Any] = {
        "workflow": "enrolment",
        "state": RunState.PENDING,
        "source": "studiocart",
        "order_id": "1109",
        "line_id": "1107",
        "seat_id": "buyer",
        "learner": JANE,
        "grant": {"price_id": 501, "group_ids": []},
        "step_names": ["one", "two"],
    } | values
    with ledger.write() as connection:
        return insert_run(connection, NewRun(key=key, **given), now=NOW)


def test_run_is_one_when_its_key_is_taken(ledger: Ledger) -> None:
    first = insert(ledger)
    assert first is not None
    assert insert(ledger, state=RunState.REVIEW, step_names=["three"]) is None
    (row,) = rows(ledger, runs)
    assert (row.id, row.state) == (first, "pending")
    assert [(step.run_id, step.position, step.name) for step in rows(ledger, steps)] == [
        (first, 0, "one"),
        (first, 1, "two"),
    ]


def test_run_is_due_at_once_only_when_it_is_pending(ledger: Ledger) -> None:
    insert(ledger)
    insert(ledger, "held", state=RunState.REVIEW)
    assert {row.key[-4:]: row.next_attempt_at for row in rows(ledger, runs)} == {"/501": NOW, "held": None}


def test_run_needs_its_order(ledger: Ledger) -> None:
    with pytest.raises(IntegrityError):
        insert(ledger, order_id="9999")


def test_missing_values_are_null_and_not_the_word(ledger: Ledger) -> None:
    insert(ledger, learner=None, grant=None, step_names=[])
    with ledger.read() as connection:
        found = connection.execute(runs.select().where(runs.c.grant.is_(None), runs.c.learner.is_(None))).all()
    assert len(found) == 1
    assert rows(ledger, steps) == []


def test_row_is_inserted_only_when_its_key_is_free(ledger: Ledger) -> None:
    values = {"system": "x", "kind": "operator", "reason": "", "actor": "", "since": NOW}
    with ledger.write() as connection:
        assert insert_ignoring(connection, pauses, values) is True
        assert insert_ignoring(connection, pauses, values) is False


def test_lane_is_the_learners_however_the_email_is_written(ledger: Ledger) -> None:
    with ledger.write() as connection:
        lanes = lanes_of(connection, [JANE], now=NOW)
        shouted = JANE.model_copy(update={"email": " JANE@EXAMPLE.TEST "})
        assert lanes_of(connection, [shouted], now=NOW) == lanes
        other = JANE.model_copy(update={"email": "jane+1@example.test"})
        both = lanes_of(connection, [other, JANE], now=NOW)
        assert both.items() > lanes.items()
        assert len(set(both.values())) == 2
    assert {row.email_key for row in rows(ledger, learners)} == {"jane@example.test", "jane+1@example.test"}


def test_no_steps_are_added_when_there_are_none(ledger: Ledger) -> None:
    with ledger.write() as connection:
        insert_steps(connection, {"none": []})
    assert rows(ledger, steps) == []
