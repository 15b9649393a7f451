"""What a few letters in a search name: learners, orders, runs. Every question has an index, or an end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, Table, and_, func, literal_column, or_, select

from worker.ledger.search.index import has_index
from worker.ledger.search.texts import find_records
from worker.ledger.tables.page_indexes import begins
from worker.ledger.tables.runs import learners, orders, runs
from worker.ledger.views.lookup import SHORTEST_PREFIX
from worker.ledger.views.records import ORDER_COLUMNS, RUN_COLUMNS, OrderItem, RunItem
from worker.settings.settings import SOURCES
from worker.sources.order import email_key
from worker.text.email_address import folded
from worker.text.search_text import Needle, holds, needles, search_text

MOST_HITS = 20
"""Of each kind."""
MOST_SUGGESTIONS = 8
_SHORTEST_NAME = 2
_SHORTEST_PART = 3
_DOMAIN = re.compile(r"@[^@\s]+|[^@\s.]+(\.[^@\s.]+)*\.[^\W\d_]{2,}")
"""What may be a domain or how one begins: it stands behind an @, or ends with a dot and letters."""
_PART_OF_ID = re.compile(r"(?=[a-z]*[0-9])(?=[0-9]*[a-z])[0-9a-z]{4,20}")
"""Letters and digits: words are not looked for."""
_MOST_ALIKE = 100
_MOST_RECORDS = 40
_MOST_RUNS = 2_000
_MOST_TITLES = 3


@dataclass(frozen=True, slots=True)
class FoundLearner:
    """A learner, by the ledger's id, with what they got last and what became of it; empty for one without a run."""

    id: str
    email: str
    name: str = ""
    product: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One thing that may be meant: who, under which address or number, what they bought, what became of it."""

    name: str
    detail: str
    product: str
    state: str
    path: tuple[str, ...]


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

        A learner's story holds their own orders, too.
        """
        theirs = [each for each in self.learners for order in self.orders if _is_theirs(order, each)]
        if len(self.learners) == 1 and len(theirs) == len(self.orders):
            return ("learners", self.learners[0].id)
        if len(self) != 1:
            return None
        if self.orders:
            return ("orders", self.orders[0].source, self.orders[0].order_id)
        return ("runs", self.runs[0].id)


_NOTHING = Hits([], [], [])


def _is_theirs(order: OrderItem, learner: FoundLearner) -> bool:
    return folded(email_key(order.buyer_email)) == folded(email_key(learner.email))


def search(connection: Connection, wanted: str) -> Hits:
    """What `wanted` names: an email or its beginning, SOURCE/ORDER, an order's number, a run's key, its id or that id's
    beginning, a LearningCart order's id or its beginning, or else any part of a name, an address, a company, a product
    or an order's number, or of a LearningCart order's or a run's.

    Case, accents and scripts do not matter. A product is looked for where no person is meant.
    """
    asked = _Asked(connection, wanted)
    found = _named(asked)
    if len(found) or asked.is_too_short:
        return found
    found = _by_text(asked)
    within = _within_result(asked)
    if not len(found) and not len(within):
        return _within_id(asked)
    return Hits(found.learners, found.orders, found.runs or within.runs)


def suggest(connection: Connection, wanted: str, *, limit: int = MOST_SUGGESTIONS) -> list[Suggestion]:
    """What may be meant by the beginning of a search, learners first; what is named whole goes before the rest."""
    asked = _Asked(connection, wanted)
    if asked.is_too_short:
        return []
    found: dict[tuple[str, ...], Suggestion] = {}
    # Whose address it is needs no search through all texts; whose is written alike is found by Enter.
    is_address = "." in asked.text.partition("@")[2]
    for look in (_named_so, _by_text, _within_result):
        if len(found) < limit and not (found and is_address):
            found |= {each.path: each for each in _suggestions(connection, look(asked)) if each.path not in found}
    return list(found.values())[:limit]


class _Asked:
    """One search: its text, the words in it, and the records that have them all, found once."""

    def __init__(self, connection: Connection, wanted: str) -> None:
        self.connection = connection
        self.text = " ".join(wanted.split())
        self.needles = needles(self.text)

    @cached_property
    def records(self) -> list[tuple[str, str]]:
        return find_records(self.connection, self.needles, limit=_MOST_RECORDS)

    @cached_property
    def runs(self) -> Sequence[Row[Any]]:
        """Theirs, newest first."""
        return _runs_of(self.connection, self.records)

    @cached_property
    def orders(self) -> tuple[list[OrderItem], list[OrderItem]]:
        """Those whose buyer, company or number has every word, and the others."""
        return _orders_of(self.connection, self.records, self.needles)

    @property
    def is_too_short(self) -> bool:
        """One letter names nobody, where it is no word of its own as in Chinese."""
        return len(self.text) < _SHORTEST_NAME and self.text.isascii()


def titles_of(connection: Connection, some: Sequence[OrderItem]) -> dict[str, str]:
    """What orders are of, by their names: their products' titles, three at most."""
    if not some:
        return {}
    of_records = _among(runs, [(each.source, each.order_id) for each in some])
    columns = (runs.c.source, runs.c.order_id, runs.c.title)
    found: dict[str, dict[str, None]] = {}
    for row in connection.execute(
        select(*columns).where(of_records).distinct().order_by(runs.c.title).limit(_MOST_RUNS)
    ):
        found.setdefault(f"{row.source}/{row.order_id}", {})[row.title] = None
    return {
        name: ", ".join(list(titles)[:_MOST_TITLES]) + (", …" if len(titles) > _MOST_TITLES else "")
        for name, titles in found.items()
    }


def _suggestions(connection: Connection, hits: Hits) -> list[Suggestion]:
    titles = titles_of(connection, hits.orders[:MOST_SUGGESTIONS])
    return [
        *(
            Suggestion(each.name or each.email, each.email, each.product, each.state, ("learners", each.id))
            for each in hits.learners
        ),
        *(
            Suggestion(
                each.buyer_name or each.buyer_email or each.name,
                each.name,
                titles.get(each.name, ""),
                each.state,
                ("orders", each.source, each.order_id),
            )
            for each in hits.orders
        ),
        *(Suggestion(each.email or each.id, each.id, each.title, each.state, ("runs", each.id)) for each in hits.runs),
    ]


def _named_so(asked: _Asked) -> Hits:
    """As `_named`, without whose address is written alike."""
    return _named(asked, alike=False)


def _named(asked: _Asked, *, alike: bool = True) -> Hits:
    """What is named whole, or by the beginning of an address, a domain or an id."""
    if not asked.text:
        return _NOTHING
    if _DOMAIN.fullmatch(asked.text):
        found = _by_domain(asked)
        if len(found):
            return found
    return _by_email(asked, alike=alike) if "@" in asked.text else _by_id(asked.connection, asked.text)


def _by_domain(asked: _Asked) -> Hits:
    """The learners at a domain that begins so, by PostgreSQL's index over domains: most texts have its trigrams."""
    connection = asked.connection
    if connection.dialect.name == "sqlite" or not has_index(connection):
        return _NOTHING
    domain = func.split_part(learners.c.email_key, "@", 2)
    begins_so = domain.startswith(email_key(asked.text).removeprefix("@"), autoescape=True)
    # Unordered: for an order PostgreSQL would walk through all addresses.
    some = list(connection.scalars(select(learners.c.id).where(begins_so).limit(MOST_HITS)))
    people = _learners(connection, learners.c.id.in_(some)) if some else []
    keys = [email_key(each.email) for each in people]
    return Hits(people, _orders(connection, orders.c.buyer_email_key.in_(keys)) if people else [], [])


def _by_email(asked: _Asked, *, alike: bool) -> Hits:
    """The learner of this very address, and beside them whoever's is written alike: each is a person of their own."""
    connection, key = asked.connection, email_key(asked.text)
    keys = _keys_alike(asked, key) if alike else [key]
    people = _learners(connection, learners.c.email_key.in_(keys)) or _learners(
        connection, begins(connection, learners.c.email_key, key)
    )
    bought = _orders(connection, orders.c.buyer_email_key.in_(keys))
    return Hits(people, bought, [])


def _keys_alike(asked: _Asked, key: str) -> list[str]:
    """The keys of people that differ from one at most by accents and scripts, itself and its plain form included."""
    wanted = folded(key)
    found: list[str] = []
    if "." in key.partition("@")[2]:  # no mere beginning
        found += [order.buyer_email for some in asked.orders for order in some]
        found += [str((row.learner or {}).get("email") or "") for row in asked.runs]
    alike = [each for each in map(email_key, found) if folded(each) == wanted]
    return list(dict.fromkeys([key, wanted, *alike]))[:_MOST_ALIKE]


def _by_id(connection: Connection, text: str) -> Hits:
    source, slash, order_id = text.partition("/")
    if slash:
        named = (orders.c.source == source.lower()) & (orders.c.order_id == order_id)
        return Hits([], _orders(connection, named), _runs(connection, runs.c.key == text))
    numbered = _orders(connection, orders.c.source.in_(SOURCES) & (orders.c.order_id == text))
    made = _begun(connection, runs.c.result_id, text) if text.isdigit() else []
    made = [run for run in made if run.result_id == text] or made
    return Hits([], numbered, list({run.id: run for run in (*made, *_begun(connection, runs.c.id, text))}.values()))


def _within_result(asked: _Asked) -> Hits:
    """The runs that have the text anywhere in LearningCart's number."""
    part = asked.text
    is_part = part.isdecimal() and part.isascii() and len(part) >= _SHORTEST_PART
    return _within(asked.connection, runs.c.result_id, part) if is_part and has_index(asked.connection) else _NOTHING


def _within_id(asked: _Asked) -> Hits:
    """The runs that have the text anywhere in their own number: too slow to be done at each letter."""
    part = asked.text.lower()
    return _within(asked.connection, runs.c.id, part) if _PART_OF_ID.fullmatch(part) else _NOTHING


def _within(connection: Connection, column: Column[str], part: str) -> Hits:
    # SQLite reads its index over the column alone where no other column is asked for.
    key = literal_column("rowid") if connection.dialect.name == "sqlite" else runs.c.id
    found = select(key).select_from(runs).where(column.contains(part)).limit(MOST_HITS)
    return Hits([], [], _runs(connection, key.in_(list(connection.scalars(found)))))


def _begun(connection: Connection, column: Column[str], text: str) -> list[RunItem]:
    """The runs whose id, or LearningCart order, begins so."""
    if len(text) < SHORTEST_PREFIX or not text.isascii() or not text.isalnum():
        return []
    # Ids are of digits and lower-case letters: between these two bounds in every language's order.
    found = _runs(connection, (column >= text.lower()) & (column <= f"{text.lower()}zzzz"))
    return [run for run in found if str(getattr(run, column.name)).startswith(text.lower())]


def _by_text(asked: _Asked) -> Hits:
    """Whoever has every word of the text in name and address; the orders of such buyers, companies and numbers; and
    where there are none, the runs and orders that have the words in all they hold.
    """
    connection, wanted = asked.connection, asked.needles
    lanes: dict[str, None] = {}
    of_product: list[str] = []
    touched: set[tuple[str, str]] = set()
    for row in asked.runs:
        person = _words_of(row.learner)
        record = (row.source, row.order_id or row.completion_id)
        if holds(search_text(person), wanted):
            lanes[row.lane] = None
        elif holds(search_text([*person, row.title]), wanted):
            of_product.append(row.id)
        else:
            continue
        touched.add(record)
    bought, others = asked.orders
    people = _learners(connection, learners.c.id.in_(list(lanes)[:MOST_HITS])) if lanes else []
    people.sort(key=lambda learner: list(lanes).index(learner.id))
    if people or bought:
        return Hits(people, bought[:MOST_HITS], [])
    made = _runs(connection, runs.c.id.in_(of_product[:MOST_HITS])) if of_product else []
    return Hits([], [each for each in others if (each.source, each.order_id) not in touched][:MOST_HITS], made)


def _words_of(learner: dict[str, Any] | None) -> list[str | None]:
    return [(learner or {}).get(name) for name in ("first_name", "last_name", "email")]


def _runs_of(connection: Connection, records: Sequence[tuple[str, str]]) -> Sequence[Row[Any]]:
    """The runs of orders and completions, newest first."""
    if not records:
        return []
    completed = [record_id for source, record_id in records if source not in SOURCES]
    conditions = [_among(runs, records), *([runs.c.completion_id.in_(completed)] if completed else [])]
    columns = [runs.c[name] for name in ("id", "source", "order_id", "completion_id", "lane", "title", "learner")]
    query: Select[Any] = select(*columns, runs.c.created_at).where(or_(*conditions)).limit(_MOST_RUNS)
    # Sorted here: asked for the newest, SQLite would go through all runs from the newest on.
    return sorted(connection.execute(query), key=lambda row: (row.created_at, row.id), reverse=True)


def _orders_of(
    connection: Connection, records: Sequence[tuple[str, str]], wanted: Sequence[Needle]
) -> tuple[list[OrderItem], list[OrderItem]]:
    """The orders whose buyer, company or number has every word, and the others; in the order of the records."""
    if not records:
        return [], []
    bought: list[OrderItem] = []
    others: list[OrderItem] = []
    company = orders.c.document["company"].as_string().label("company")
    listed: Select[Any] = select(*ORDER_COLUMNS, company).where(_among(orders, records))
    for row in sorted(connection.execute(listed), key=lambda row: row.updated_at, reverse=True):
        found = search_text([row.order_id, row.buyer_name, row.buyer_email, row.company])
        (bought if holds(found, wanted) else others).append(OrderItem.of(row))
    return bought, others


def _among(table: Table, records: Sequence[tuple[str, str]]) -> ColumnElement[bool]:
    """The row is of one of these orders. One condition a source: forty of an order each cost more than their rows."""
    by_source: dict[str, list[str]] = {}
    for source, order_id in records:
        by_source.setdefault(source, []).append(order_id)
    return or_(*(and_(table.c.source == source, table.c.order_id.in_(ids)) for source, ids in by_source.items()))


def _learners(connection: Connection, condition: ColumnElement[bool]) -> list[FoundLearner]:
    query = select(learners.c.id, learners.c.email).where(condition).order_by(learners.c.email_key).limit(MOST_HITS)
    found = connection.execute(query).all()
    columns = (runs.c.lane, runs.c.title, runs.c.state, runs.c.learner, runs.c.created_at)
    theirs: Select[Any] = select(*columns).where(runs.c.lane.in_([row.id for row in found])).limit(_MOST_RUNS)
    had = sorted(connection.execute(theirs), key=lambda row: row.created_at) if found else []
    latest = {row.lane: row for row in had}
    return [_found_learner(row.id, row.email, latest.get(row.id)) for row in found]


def _found_learner(learner_id: str, email: str, run: Row[Any] | None) -> FoundLearner:
    if run is None:
        return FoundLearner(learner_id, email)
    name = " ".join(filter(None, _words_of(run.learner)[:2]))
    return FoundLearner(learner_id, email, name, run.title, run.state)


def _orders(connection: Connection, condition: ColumnElement[bool]) -> list[OrderItem]:
    query = select(*ORDER_COLUMNS).where(condition).limit(MOST_HITS)
    found = [OrderItem.of(row) for row in connection.execute(query)]
    return sorted(found, key=lambda order: order.updated_at, reverse=True)


def _runs(connection: Connection, condition: ColumnElement[bool]) -> list[RunItem]:
    query = select(*RUN_COLUMNS).where(condition).limit(MOST_HITS)
    found = [RunItem.of(row, 0) for row in connection.execute(query)]
    return sorted(found, key=lambda run: run.created_at, reverse=True)
