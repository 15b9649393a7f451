"""The keys of addresses in a ledger that an older version has filled."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, insert, select, update

from tests.unit.workflows.fakes.storefront import an_order, record
from worker.ledger.learners.email_keys import rekey
from worker.ledger.learners.erasure import find_person
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.follow_on import completions
from worker.ledger.tables.runs import learners, orders, runs
from worker.sources.order import Learner

pytestmark = pytest.mark.integration
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def old_key(email: str) -> str:
    return email.strip().casefold()


def sell(ledger: Ledger, order_id: int, email: str) -> None:
    """An order as the version before recorded it."""
    known = set(learner_keys(ledger).values())
    placeholder = f"buyer-{order_id}@example.no"
    record(ledger, an_order(str(order_id), learner=Learner(email=placeholder, first_name="A", last_name="B")))
    with ledger.write() as connection:
        own = connection.execute(select(runs.c.id, runs.c.lane).where(runs.c.order_id == str(order_id))).one()
        key = old_key(email)
        lane = connection.scalar(select(learners.c.id).where(learners.c.email_key == key)) or own.lane
        if lane != own.lane:
            connection.execute(delete(learners).where(learners.c.id == own.lane))
        elif lane not in known:
            connection.execute(update(learners).where(learners.c.id == lane).values(email_key=key, email=email))
        connection.execute(update(runs).where(runs.c.id == own.id).values(email=email, email_key=key, lane=lane))
        one = orders.c.order_id == str(order_id)
        document = json.dumps(connection.scalar(select(orders.c.document).where(one))).replace(placeholder, email)
        values = {"buyer_email": email, "buyer_email_key": key, "document": json.loads(document)}
        connection.execute(update(orders).where(one).values(**values))


def lanes(ledger: Ledger) -> dict[str, str]:
    with ledger.read() as connection:
        return {row.order_id: row.lane for row in connection.execute(select(runs.c.order_id, runs.c.lane))}


def learner_keys(ledger: Ledger) -> dict[str, str]:
    with ledger.read() as connection:
        return {row.email_key: row.id for row in connection.execute(select(learners.c.id, learners.c.email_key))}


def upgrade(ledger: Ledger) -> None:
    with ledger.write() as connection:
        rekey(connection)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("straße@example.no", "strasse@example.no"),
        ("STRASSE@example.no", "Straße@example.no"),
        ("oﬃce@example.no", "office@example.no"),
        ("\u017fam@example.no", "sam@example.no"),
    ],
)
def test_two_people_get_a_lane_each_when_their_addresses_only_fold_alike(ledger: Ledger, one: str, other: str) -> None:
    for order_id, email in ((1, one), (2, other), (3, one.upper() if one.isascii() else one), (4, other)):
        sell(ledger, order_id, email)
    assert len(set(lanes(ledger).values())) == 1
    before = lanes(ledger)
    upgrade(ledger)
    after = lanes(ledger)
    assert after["1"] == after["3"] == before["1"]
    assert after["2"] == after["4"] != after["1"]
    assert learner_keys(ledger) == {one.lower(): after["1"], other.lower(): after["2"]}
    with ledger.read() as connection:
        assert {order for _, order in find_person(connection, other).orders} == {"2", "4"}
        assert {order for _, order in find_person(connection, one).orders} == {"1", "3"}
    upgrade(ledger)
    assert (lanes(ledger), len(learner_keys(ledger))) == (after, 2)


def test_one_person_gets_one_lane_when_something_invisible_had_made_two(ledger: Ledger) -> None:
    for order_id, email in ((1, "zoë@example.no"), (2, "zoë@example.no\u200b"), (3, "zoe\u0308@example.no")):
        sell(ledger, order_id, email)
    assert len(set(lanes(ledger).values())) == 3
    upgrade(ledger)
    assert set(lanes(ledger).values()) == {lanes(ledger)["1"]}
    assert learner_keys(ledger) == {"zoë@example.no": lanes(ledger)["1"]}


def test_a_run_keeps_its_lane_when_it_is_being_worked_on(ledger: Ledger) -> None:
    sell(ledger, 1, "straße@example.no")
    sell(ledger, 2, "strasse@example.no")
    before = lanes(ledger)
    with ledger.write() as connection:
        connection.execute(update(runs).where(runs.c.order_id == "2").values(state=RunState.RUNNING))
    upgrade(ledger)
    assert lanes(ledger) == before
    with ledger.write() as connection:
        connection.execute(update(runs).where(runs.c.order_id == "2").values(state=RunState.SUCCEEDED))
    upgrade(ledger)
    assert lanes(ledger)["1"] != lanes(ledger)["2"]


def test_completions_and_orders_are_keyed_anew(ledger: Ledger) -> None:
    sell(ledger, 1, "straße@example.no")
    with ledger.write() as connection:
        connection.execute(
            insert(completions).values(
                id="c1",
                key="1/2/-",
                state="began",
                customer_id="1",
                course_id="2",
                email="Straße@example.no",
                email_key="strasse@example.no",
                name="",
                course_name="",
                first_seen_at=NOW,
                updated_at=NOW,
            )
        )
    upgrade(ledger)
    with ledger.read() as connection:
        assert connection.scalar(select(completions.c.email_key)) == "straße@example.no"
        assert connection.scalar(select(orders.c.buyer_email_key)) == "straße@example.no"


def test_nothing_is_written_when_every_address_is_plain(ledger: Ledger) -> None:
    sell(ledger, 1, "Jane@Example.no")
    before = (lanes(ledger), learner_keys(ledger))
    upgrade(ledger)
    assert (lanes(ledger), learner_keys(ledger)) == before
