"""What a few letters in the page's search box name: learners, orders, runs. Every question has an index, or an end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, and_, or_, select

from worker.ledger.learners.email_keys import beyond_ascii
from worker.ledger.tables.page_indexes import begins
from worker.ledger.tables.runs import learners, orders, runs
from worker.ledger.views.lookup import SHORTEST_PREFIX
from worker.ledger.views.records import ORDER_COLUMNS, RUN_COLUMNS, OrderItem, RunItem
from worker.settings.settings import SOURCES
from worker.sources.order import email_key
from worker.text.email_address import folded

MOST_HITS = 20
"""Of each kind."""
RECENT_ROWS = 10_000
"""A part of a name or an address is looked for among so many of the newest orders, and runs: no index finds it."""
_SHORTEST_NAME = 2
_MOST_ALIKE = 100


@dataclass(frozen=True, slots=True)
class FoundLearner:
    """A learner, by the ledger's id."""

    id: str
    email: str


@dataclass(frozen=True)
class Hits:
    """What was found, newest first, `MOST_HITS` of each kind at most."""

    learners: list[FoundLearner]
    orders: list[OrderItem]
    runs: list[RunItem]

    def __len__(self) -> int:
        return len(self.learners) + len(self.orders) + len(self.runs)

    @property
    def path(self) -> tuple[str, ...] | None:
        """Where the one thing is that was meant: its kind and its ids; None where there are several, or none.

        An email names its learner, whatever else bears it: the learner's story holds it all.
        """
        if len(self.learners) == 1:
            return ("learners", self.learners[0].id)
        if len(self) != 1:
            return None
        if self.orders:
            return ("orders", self.orders[0].source, self.orders[0].order_id)
        return ("runs", self.runs[0].id)


def search(connection: Connection, wanted: str) -> Hits:
    """What `wanted` names: an email or its beginning, SOURCE/ORDER, an order's number, a run's key, its id or that id's
    beginning, a LearningCart order's id, or else any part of a name, an address or a product.

    Case and accents do not matter. Any part is looked for among the newest 10,000 orders and runs; a buyer is found by
    how the name begins among all. A product is looked for where no person is meant.
    """
    text = " ".join(wanted.split())
    if not text:
        return Hits([], [], [])
    if "@" in text:
        found = _by_email(connection, email_key(text))
        return found if len(found) else _by_name(connection, text)
    found = _by_id(connection, text)
    return found if len(found) or len(text) < _SHORTEST_NAME else _by_name(connection, text)


def _by_email(connection: Connection, key: str) -> Hits:
    """The learner of this very address, and beside them whoever's is written alike: each is a person of their own."""
    alike = _keys_alike(connection, learners.c.email_key, key)
    people = _learners(connection, learners.c.email_key.in_(alike)) or _learners(
        connection, begins(connection, learners.c.email_key, key)
    )
    bought = _orders(connection, orders.c.buyer_email_key.in_(alike))
    return Hits(people, bought, [])


def _keys_alike(connection: Connection, column: Column[Any], key: str) -> list[str]:
    """The keys of people that differ from one at most by accents and scripts, itself and its plain form included.

    Only keys beyond ASCII can: they are few, and an index holds them all.
    """
    wanted = folded(key)
    beyond = beyond_ascii(connection, column)
    alike = [each for each in connection.scalars(select(column).where(beyond)) if folded(each) == wanted]
    return list(dict.fromkeys([key, wanted, *alike]))[:_MOST_ALIKE]


def _by_id(connection: Connection, text: str) -> Hits:
    source, slash, order_id = text.partition("/")
    if slash:
        named = (orders.c.source == source.lower()) & (orders.c.order_id == order_id)
        return Hits([], _orders(connection, named), _runs(connection, runs.c.key == text))
    numbered = _orders(connection, orders.c.source.in_(SOURCES) & (orders.c.order_id == text))
    made = _runs(connection, runs.c.result_id == text)
    begun: list[RunItem] = []
    if len(text) >= SHORTEST_PREFIX and text.isalnum():
        # Ids are of digits and lower-case letters: between these two bounds in every language's order.
        begun = _runs(connection, (runs.c.id >= text.lower()) & (runs.c.id <= f"{text.lower()}zzzz"))
        begun = [run for run in begun if run.id.startswith(text.lower())]
    return Hits([], numbered, list({run.id: run for run in (*made, *begun)}.values()))


def _by_name(connection: Connection, text: str) -> Hits:
    """What has every word of the text in it, among the newest; older buyers by how their name begins."""
    words = folded(text).split()
    bought = _orders_with(connection, words)
    if len(bought) < MOST_HITS:
        spellings = dict.fromkeys((text, text.title(), text.lower(), text.upper()))
        begun = or_(*(begins(connection, orders.c.buyer_name, each) for each in spellings))
        known = {(order.source, order.order_id) for order in bought}
        older = [each for each in _orders(connection, begun) if (each.source, each.order_id) not in known]
        bought = [*bought, *older][:MOST_HITS]
    people, of_product = _learners_with(connection, words)
    return Hits(people, bought, [] if people or bought else of_product)


def _orders_with(connection: Connection, words: Sequence[str]) -> list[OrderItem]:
    """Of the newest orders those whose buyer's name and address hold every word."""
    columns = (orders.c.source, orders.c.order_id, orders.c.buyer_name, orders.c.buyer_email)
    recent = connection.execute(select(*columns).order_by(orders.c.updated_at.desc()).limit(RECENT_ROWS))
    named = [row for row in recent if _holds(words, row.buyer_name, row.buyer_email)][:MOST_HITS]
    if not named:
        return []
    return _orders(
        connection, or_(*(and_(orders.c.source == row.source, orders.c.order_id == row.order_id) for row in named))
    )


def _learners_with(connection: Connection, words: Sequence[str]) -> tuple[list[FoundLearner], list[RunItem]]:
    """The learners of the newest runs whose name and address hold every word; and the runs whose product does."""
    first, last = (runs.c.learner[name].as_string().label(name) for name in ("first_name", "last_name"))
    columns = (runs.c.id, runs.c.lane, runs.c.email, runs.c.title, first, last)
    recent = connection.execute(select(*columns).order_by(runs.c.created_at.desc()).limit(RECENT_ROWS))
    lanes: dict[str, None] = {}
    run_ids: list[str] = []
    for row in recent:
        if _holds(words, row.first_name, row.last_name, row.email):
            lanes[row.lane] = None
        elif len(run_ids) < MOST_HITS and _holds(words, row.title):
            run_ids.append(row.id)
    people = _learners(connection, learners.c.id.in_(list(lanes)[:MOST_HITS])) if lanes else []
    return people, _runs(connection, runs.c.id.in_(run_ids)) if run_ids and not people else []


def _holds(words: Sequence[str], *texts: str | None) -> bool:
    """Whether every word stands in the texts, without case and accents."""
    text = " ".join(each for each in texts if each)
    plain = text.casefold() if text.isascii() else folded(text)
    return all(word in plain for word in words)


def _learners(connection: Connection, condition: ColumnElement[bool]) -> list[FoundLearner]:
    query = select(learners.c.id, learners.c.email).where(condition).order_by(learners.c.email_key).limit(MOST_HITS)
    return [FoundLearner(row.id, row.email) for row in connection.execute(query)]


def _orders(connection: Connection, condition: ColumnElement[bool]) -> list[OrderItem]:
    query = select(*ORDER_COLUMNS).where(condition).limit(MOST_HITS)
    found = [OrderItem.of(row) for row in connection.execute(query)]
    return sorted(found, key=lambda order: order.updated_at, reverse=True)


def _runs(connection: Connection, condition: ColumnElement[bool]) -> list[RunItem]:
    query = select(*RUN_COLUMNS).where(condition).limit(MOST_HITS)
    found = [RunItem.of(row, 0) for row in connection.execute(query)]
    return sorted(found, key=lambda run: run.created_at, reverse=True)
