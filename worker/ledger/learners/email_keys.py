"""Brings the keys of email addresses, and the lanes that follow from them, to what `email_key` says today.

Only addresses beyond plain ASCII can have another key than an earlier version gave them: theirs alone are read, so that
a ledger of a million orders takes seconds. Safe to repeat: a ledger that is right is not written to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Column, Connection, Row, Table, TextClause, bindparam, delete, insert, select, text, update

from worker.ledger.keys import new_id
from worker.ledger.sql import parts
from worker.ledger.states import RunState
from worker.ledger.tables.follow_on import completions
from worker.ledger.tables.runs import learners, orders, runs
from worker.ledger.tables.subscriptions import subscription_orders, subscriptions
from worker.text.email_address import email_key

_MOVING: Final = "moving:"
"""What a learner's key begins with while its place is still another's. No address has a colon."""
_KEYED: Final = (
    (runs, runs.c.email, runs.c.email_key),
    (orders, orders.c.buyer_email, orders.c.buyer_email_key),
    (completions, completions.c.email, completions.c.email_key),
)


def rekey(connection: Connection) -> None:
    """Recompute every key and settle whose lane each run is in, in the caller's transaction.

    Two people who shared a lane because their addresses fold alike get one each; one person who had two gets one. A run
    that is being worked on keeps its lane.
    """
    lanes = {row.id for row in _beyond_ascii(connection, learners, learners.c.email, learners.c.id)}
    lanes |= {row.lane for row in _beyond_ascii(connection, runs, runs.c.email, runs.c.lane)}
    for table, address, key in _KEYED:
        _rekey_rows(connection, table, address, key)
    _rekey_subscriptions(connection)
    _rekey_learners(connection)
    for lane in sorted(lanes):
        _settle_lane(connection, lane)


def _rekey_rows(connection: Connection, table: Table, address: Column[Any], key: Column[Any]) -> None:
    ids = list(table.primary_key.columns)
    wrong = [
        {f"id_{column.name}": getattr(row, column.name) for column in ids} | {"new_key": email_key(row.address)}
        for row in _beyond_ascii(connection, table, address, *ids, address.label("address"), key.label("known"))
        if row.known != email_key(row.address)
    ]
    statement = update(table).where(*(column == bindparam(f"id_{column.name}") for column in ids))
    for some in parts(wrong):
        connection.execute(statement.values({key: bindparam("new_key")}), some)


def _rekey_subscriptions(connection: Connection) -> None:
    """By their orders: a subscription keeps its buyer's key alone, which no longer tells how the address is written."""
    listed = (subscription_orders.c.source == orders.c.source) & (subscription_orders.c.order_id == orders.c.order_id)
    address = orders.c.buyer_email
    query = select(subscription_orders.c.source, subscription_orders.c.subscription_id, address)
    bought = query.join_from(orders, subscription_orders, listed).where(beyond_ascii(connection, address))
    for row in connection.execute(bought).all():
        theirs = (subscriptions.c.source == row.source) & (subscriptions.c.subscription_id == row.subscription_id)
        folded = subscriptions.c.buyer_email_key == row.buyer_email.strip().casefold()
        key = email_key(row.buyer_email)
        connection.execute(update(subscriptions).where(theirs, folded).values(buyer_email_key=key))


def _rekey_learners(connection: Connection) -> None:
    """Give each learner their own key; where it is another's already, they are that one, and keep the old key."""
    columns = (learners.c.id, learners.c.email, learners.c.email_key)
    wrong = [
        row
        for row in sorted(_beyond_ascii(connection, learners, learners.c.email, *columns), key=lambda row: str(row.id))
        if row.email_key != email_key(row.email)
    ]
    for row in wrong:  # first out of each other's way: what one leaves may be what another gets
        _set_key(connection, row.id, f"{_MOVING}{row.id}")
    for row in wrong:
        key = email_key(row.email)
        taken = connection.scalar(select(learners.c.id).where(learners.c.email_key == key))
        _set_key(connection, row.id, key if taken is None else f"{_MOVING}{row.id}")


def _set_key(connection: Connection, learner_id: str, key: str) -> None:
    connection.execute(update(learners).where(learners.c.id == learner_id).values(email_key=key))


def _settle_lane(connection: Connection, lane: str) -> None:
    """Move the runs of one lane to the lanes of whom they are for, those that are being worked on excepted."""
    found = connection.execute(
        select(runs.c.id, runs.c.email, runs.c.email_key, runs.c.state).where(runs.c.lane == lane)
    ).all()
    by_key: defaultdict[str, list[Row[*tuple[Any, ...]]]] = defaultdict(list)
    for run in found:
        if run.email_key is not None:
            by_key[run.email_key].append(run)
    moved = 0
    for key, of_key in sorted(by_key.items()):
        own = connection.scalar(select(learners.c.id).where(learners.c.email_key == key))
        if own is None:
            own = new_id(datetime.now(UTC))
            connection.execute(insert(learners).values(id=own, email=of_key[0].email, email_key=key))
        if own == lane:
            continue
        free = [run.id for run in of_key if run.state != RunState.RUNNING]
        for some in parts(free):
            connection.execute(update(runs).where(runs.c.id.in_(some)).values(lane=own))
        moved += len(free)
    if moved == len(found):
        left = delete(learners).where(learners.c.id == lane, learners.c.email_key.startswith(_MOVING))
        connection.execute(left)


def _beyond_ascii(connection: Connection, table: Table, address: Column[Any], *columns: Any) -> Iterator[Row[Any]]:
    """The rows whose address has a character beyond printable ASCII, or white space."""
    yield from connection.execute(select(*columns).select_from(table).where(beyond_ascii(connection, address))).all()


def beyond_ascii(connection: Connection, column: Column[Any]) -> TextClause:
    """A condition: a column's text has a character beyond printable ASCII, or white space."""
    name = f"{column.table.name}.{column.name}"
    return text(
        f"{name} GLOB '*[^!-~]*'" if connection.dialect.name == "sqlite" else f"{name} COLLATE \"C\" ~ '[^!-~]'"
    )
