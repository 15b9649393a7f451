"""What orders and completions are found by: one folded text each, written here alone, and found again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, bindparam, column, func, or_, select, table, text, true

from worker.ledger.search.index import INDEX, has_index, match_of
from worker.ledger.sql import insert_new, parts
from worker.ledger.tables.ledger import search_texts
from worker.ledger.tables.runs import orders, runs
from worker.text.search_text import Needle, search_text

RECENT_ROWS: Final = 10_000
"""So many of the newest are looked through without any index: what is common is found among them already."""
_MOST_UNSORTED: Final = 5_000
_TRIGRAM: Final = re.compile(r"[a-z0-9]{3}|^ [a-z0-9]{2}")


def write_search_text(connection: Connection, source: str, record_id: str) -> None:
    """As `write_search_texts`, for one."""
    write_search_texts(connection, source, [record_id])


def write_search_texts(connection: Connection, source: str, record_ids: Sequence[str]) -> None:
    """Write what orders, or completions, are found by, from what the ledger now holds of them. Safe to repeat."""
    rows = _rows(connection, source, sorted(set(record_ids)))
    if len(insert_new(connection, search_texts, rows)) == len(rows):
        return
    known = (search_texts.c.source == bindparam("of_source"), search_texts.c.record_id == bindparam("of_record_id"))
    changed = search_texts.update().where(*known, search_texts.c.text != bindparam("new_text"))
    now = [{"of_source": source, "of_record_id": row["record_id"], "new_text": row["text"]} for row in rows]
    connection.execute(changed.values(text=bindparam("new_text")), now)


def fill(connection: Connection) -> None:
    """Write the texts of a ledger that has none, oldest first."""
    of_run = runs.c.completion_id
    completed = select(runs.c.source, of_run).where(of_run.is_not(None)).distinct().order_by(of_run)
    listed = select(orders.c.source, orders.c.order_id).order_by(orders.c.first_seen_at, orders.c.order_id)
    names = [tuple(row) for query in (completed, listed) for row in connection.execute(query)]
    for some in parts(names):
        by_source: dict[str, list[str]] = {}
        for source, record_id in some:
            by_source.setdefault(source, []).append(record_id)
        found = {
            (row["source"], row["record_id"]): row
            for source, record_ids in by_source.items()
            for row in _rows(connection, source, record_ids)
        }
        connection.execute(search_texts.insert(), [found[name] for name in some])


def _rows(connection: Connection, source: str, record_ids: Sequence[str]) -> list[dict[str, str]]:
    """Rows of the table as they should be."""
    words: dict[str, list[str | None]] = {record_id: [] for record_id in record_ids}
    columns = (orders.c.order_id, orders.c.buyer_name, orders.c.buyer_email, orders.c.document)
    for row in connection.execute(select(*columns).where(orders.c.source == source, orders.c.order_id.in_(record_ids))):
        words[row.order_id] += [row.order_id, row.buyer_name, row.buyer_email, *_of_document(row.document)]
    for record in (runs.c.order_id, runs.c.completion_id):
        texts = select(record.label("id"), runs.c.title, runs.c.learner)
        for run in connection.execute(texts.where(runs.c.source == source, record.in_(record_ids))):
            words[run.id] += [run.title, *_person(run.learner)]
    return [{"source": source, "record_id": each, "text": search_text(words[each])} for each in record_ids]


def find_records(connection: Connection, wanted: Sequence[Needle], *, limit: int) -> list[tuple[str, str]]:
    """The source and id of the records that have every word, the newest first."""
    if not wanted:
        return []
    recent = select(search_texts).order_by(search_texts.c.id.desc()).limit(RECENT_ROWS).subquery()
    newest = select(recent.c.source, recent.c.record_id).where(*_has(recent.c.text, wanted))
    found = _names(connection, newest.order_by(recent.c.id.desc()).limit(limit))
    if len(found) < limit and any(map(_has_trigrams, wanted)) and has_index(connection):
        found = _by_index(connection, wanted, limit)
    return found


def _names(connection: Connection, query: Any) -> list[tuple[str, str]]:
    return [(row.source, row.record_id) for row in connection.execute(query)]


def _has_trigrams(needle: Needle) -> bool:
    """Whether an index tells where it may be; without, it would be read whole."""
    return all(_TRIGRAM.search(spelling) for spelling in needle)


def _has(searched: ColumnElement[str], wanted: Sequence[Needle]) -> list[ColumnElement[bool]]:
    return [or_(*(searched.contains(each, autoescape=True) for each in spellings)) for spellings in wanted]


def _by_index(connection: Connection, wanted: Sequence[Needle], limit: int) -> list[tuple[str, str]]:
    columns = (search_texts.c.id, search_texts.c.source, search_texts.c.record_id)
    meant = select(*columns).where(*_has(search_texts.c.text, wanted))
    if connection.dialect.name == "sqlite":
        match = match_of(wanted)
        if match is None:
            return []
        index = table(INDEX, column("rowid"))
        matching = text(f"{INDEX} MATCH :match").bindparams(match=match)
        indexed = meant.select_from(index.join(search_texts, search_texts.c.id == index.c.rowid)).where(matching)
        return _names(connection, indexed.order_by(index.c.rowid.desc()).limit(limit))
    # Not along the ids: PostgreSQL would read every row where it expects more matches than there are.
    some = meant.limit(_MOST_UNSORTED).cte("some").prefix_with("MATERIALIZED")
    _allow_scans(connection, "off")
    found = _names(connection, select(some).order_by(some.c.id.desc()).limit(limit))
    _allow_scans(connection, "on")
    return found


def _allow_scans(connection: Connection, setting: str) -> None:
    """Until the transaction's end at the latest."""
    for name in ("enable_seqscan", "enable_indexscan"):
        connection.execute(select(func.set_config(name, setting, true())))


def _of_document(document: Mapping[str, Any]) -> Iterator[str | None]:
    yield document.get("company")
    for line in document.get("lines", ()):
        yield line.get("title")
        yield (line.get("product") or {}).get("product_name")
        yield from (word for seat in line.get("seats", ()) for word in _person(seat.get("learner")))


def _person(learner: Mapping[str, Any] | None) -> Iterator[str | None]:
    if learner is not None:
        yield from (learner.get(name) for name in ("first_name", "last_name", "email"))
