"""Everything the ledger holds about one person, for an access request; and nothing of the others in their orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Table, select

from worker.ledger.events import people_of
from worker.ledger.learners.erased_texts import mentions
from worker.ledger.learners.erasure import Person, words_of
from worker.ledger.learners.mentions import emails_in, rows_naming
from worker.ledger.named_people import words_of_the_named
from worker.ledger.orders.operator_entries import of_person
from worker.ledger.tables.follow_on import carts, completions
from worker.ledger.tables.learners import sealed_passwords
from worker.ledger.tables.operator_entries import order_notes
from worker.ledger.tables.runs import (
    attempts,
    deliveries,
    events,
    learners,
    order_versions,
    orders,
    outbox,
    runs,
    steps,
)
from worker.ledger.tables.subscriptions import subscriptions
from worker.ledger.views.serializers import iso
from worker.sources.order import email_key
from worker.text.personal_text import each_text, has_prose, personal_words, texts_in, without_words

Document = dict[str, Any]
"""What a person is handed. Its members are the ledger's columns: nothing in Cartbridge reads them."""
OTHER: Final = "[another person]"
"""Stands for what describes others."""
_HOLDS_OTHERS: Final = "It holds other people too."
_AT_ONCE: Final = 500
_LEFT_OUT: Final = frozenset(
    {"ciphertext", "content_hash", "source_hash", "polled_hash", "offers_digest", "lease_holder"}
)
"""Passwords are never exported; hashes and lease holders say nothing about a person."""


def export_person(connection: Connection, person: Person, *, now: datetime) -> Document:
    """All rows about the person, by kind: `{email, exported_at, learner, orders[], runs[], completions[], …}`.

    Others who stand in the same orders are left out: their places, their words in texts, and the source's own record
    where it holds somebody else.
    """
    others = _words_of_others(connection, person)
    own = words_of(connection, person)
    hide = _hiding(others - own)
    found: Document = {
        "email": person.email,
        "exported_at": iso(now),
        "learner": next(iter(_rows(connection, learners, learners.c.email_key == person.email)), None),
        "orders": [hide(each) for each in _orders(connection, person, has_others=bool(others - own))],
        "runs": [hide(each) for each in _runs(connection, person)],
        "named_seats": [_shape(row) for row in of_person(connection, person.email)],
        "completions": _rows(connection, completions, completions.c.email_key == person.email),
        "subscriptions": _rows(connection, subscriptions, subscriptions.c.buyer_email_key == person.email),
        "messages": [hide(_shape(row)) for row in _messages(connection, person)],
        "waiting_deliveries": [
            hide(each | _record_of(each, "body", person, has_others=False))
            for each in _rows(connection, deliveries, deliveries.c.id.in_(person.delivery_ids))
        ],
    }
    return found | {"mentions": [hide(each) for each in _mentions(connection, person, own)]}


def _hiding(others: frozenset[str]) -> Any:
    def hide(text: str) -> str:
        return without_words(text, others, mark=OTHER) if has_prose(text) else text

    return lambda value: each_text(value, hide)


def _words_of_others(connection: Connection, person: Person) -> frozenset[str]:
    found: list[Any] = []
    for source, order_id in person.orders:
        document = connection.scalar(select(orders.c.document).where(*_of_order(orders, source, order_id)))
        found += [each for each in people_of(document) if each and not _is_theirs(each, person)]
    only = ("email", "buyer_email", "first_name", "last_name", "name", "buyer_name", "address")
    return personal_words(*({name: each[name] for name in only if name in each} for each in found))


def _is_theirs(value: Mapping[str, Any], person: Person) -> bool:
    return email_key(value.get("email") or value.get("buyer_email") or "") == person.email


def _orders(connection: Connection, person: Person, *, has_others: bool) -> Iterator[Document]:
    for source, order_id in person.orders:
        row = connection.execute(select(orders).where(*_of_order(orders, source, order_id))).one_or_none()
        if row is None:
            continue
        shape = _shape(row)
        document = row.document or {}
        if not _is_theirs({"buyer_email": row.buyer_email}, person):
            hidden = {"buyer_email": OTHER, "buyer_email_key": OTHER, "buyer_name": OTHER}
            shape |= hidden
            document = document | dict.fromkeys(("buyer_email", "buyer_name"), OTHER)
        shape["document"] = document | {"lines": [_line(line, person) for line in document.get("lines", ())]}
        shape["versions"] = [
            version | _record_of(version, "raw", person, has_others=has_others)
            for version in _rows(
                connection, order_versions, *_of_order(order_versions, source, order_id), by=(order_versions.c.number,)
            )
        ]
        shape["deliveries"] = [
            each | _record_of(each, "body", person, has_others=has_others)
            for each in _rows(
                connection, deliveries, *_of_order(deliveries, source, order_id), by=(deliveries.c.received_at,)
            )
        ]
        about = (*_of_order(events, source, order_id), events.c.run_id.is_(None))
        shape["notes"] = _rows(
            connection, order_notes, *_of_order(order_notes, source, order_id), by=(order_notes.c.at,)
        )
        shape["events"] = _rows(connection, events, *about, by=(events.c.id,))
        yield shape


def _record_of(row: Document, column: str, person: Person, *, has_others: bool) -> Document:
    """What takes the place of a source's own record in which somebody else stands."""
    if column not in row or not (has_others or emails_in(row[column]) - {person.email}):
        return {}
    return {column: _HOLDS_OTHERS}


def _of_order(table: Table, source: str, order_id: str) -> tuple[ColumnElement[bool], ...]:
    return table.c.source == source, table.c.order_id == order_id


def _line(line: Mapping[str, Any], person: Person) -> Document:
    seats = [
        seat if _is_theirs(seat.get("learner") or {}, person) or not seat.get("learner") else seat | {"learner": OTHER}
        for seat in line.get("seats", ())
    ]
    return {**line, "seats": seats}


def _runs(connection: Connection, person: Person) -> Iterator[Document]:
    for run_id in person.run_ids:
        (shape,) = _rows(connection, runs, runs.c.id == run_id)
        yield shape | {
            "steps": _rows(connection, steps, steps.c.run_id == run_id, by=(steps.c.position,)),
            "attempts": _rows(connection, attempts, attempts.c.run_id == run_id, by=(attempts.c.started_at,)),
            "events": _rows(connection, events, events.c.run_id == run_id, by=(events.c.id,)),
            "carts": _rows(connection, carts, carts.c.run_id == run_id),
            "kept_passwords": _rows(connection, sealed_passwords, sealed_passwords.c.run_id == run_id),
        }


def _mentions(connection: Connection, person: Person, own: frozenset[str]) -> Iterator[Document]:
    """Texts about others, or about nobody, that name the person; whom else they name is left out."""
    theirs = set(person.run_ids)
    for column, keys, value in mentions(connection, person.email, own):
        is_told = keys.get("run_id") in theirs or (column.table is runs and keys["id"] in theirs)
        if is_told or column.table is outbox or column is deliveries.c.body:
            continue
        others = frozenset(word for text in texts_in(value) for word in words_of_the_named(connection, text)) - own
        others |= emails_in(value) - {person.email}
        shown = each_text(value, lambda text: without_words(text, others, mark=OTHER))  # noqa: B023  (called at once)
        yield {"table": column.table.name, column.name: shown} | {name: str(each) for name, each in keys.items()}


def _messages(connection: Connection, person: Person) -> list[Row[Any]]:
    ids = [row.id for row in rows_naming(connection, person.email, outbox.c.payload, outbox.c.id)]
    return list(connection.execute(select(outbox).where(outbox.c.id.in_(ids)).order_by(outbox.c.created_at)))


def _rows(connection: Connection, table: Table, *conditions: Any, by: Sequence[Any] = ()) -> list[Document]:
    return [_shape(row) for row in connection.execute(select(table).where(*conditions).order_by(*by))]


def _shape(row: Row[Any]) -> Document:
    """A row as JSON: its columns that hold something, moments in UTC."""
    values = {name: iso(each) if isinstance(each, datetime) else each for name, each in row._mapping.items()}  # noqa: SLF001  (SQLAlchemy's public name for it)
    return {name: each for name, each in values.items() if each not in (None, "", {}, []) and name not in _LEFT_OUT}


def as_text(shape: Document, indent: str = "") -> Iterator[str]:
    """The same for a person to read: one line a value, records apart."""
    for name, value in shape.items():
        title = name.replace("_", " ")
        if isinstance(value, Mapping):
            yield f"{indent}{title}:"
            yield from as_text(dict(value), indent + "  ")
        elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
            yield f"{indent}{title}: {len(value)}"
            for number, each in enumerate(value, start=1):
                yield f"{indent}- {number}"
                yield from as_text(dict(each), indent + "    ")
        elif isinstance(value, list):
            yield f"{indent}{title}: {', '.join(map(str, value)) or 'none'}"
        else:
            yield f"{indent}{title}: {'none' if value is None else value}"
