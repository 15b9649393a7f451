"""Takes a person out of every text that others wrote: refusals, reasons, notes, last errors, and the audit trail's own.

Texts of the person's runs and orders lose whatever describes them; all others, their email and their full name. Where
an error quotes a vendor's words, those go whole: nobody knows what a vendor quoted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Column, Connection, String, Table, Text, and_, cast, not_, or_, select, update

from worker.ledger.keys import is_among
from worker.ledger.tables.base import Json
from worker.ledger.tables.ledger import recoveries
from worker.ledger.tables.operator_entries import order_notes
from worker.ledger.tables.periodic import list_polls
from worker.ledger.tables.runs import attempts, breakers, cursors, deliveries, events, outbox, pauses, runs, steps
from worker.text.personal_text import ERASED, each_text, has_prose, is_whole_name, without_words

_AT_ONCE: Final = 200
_ERROR_CLASS: Final = re.compile(r"[A-Z]\w*(?:Error|Exception)?")
_ERROR: Final = re.compile(r"[A-Z]\w*Error: ")
TEXTS: Final[tuple[Column[Any], ...]] = (
    runs.c.note,
    attempts.c.error,
    deliveries.c.note,
    deliveries.c.body,
    outbox.c.payload,
    outbox.c.last_error,
    steps.c.output,
    cursors.c.last_error,
    list_polls.c.last_error,
    pauses.c.reason,
    breakers.c.last_error,
    recoveries.c.reason,
    order_notes.c.text,
    events.c.reason,
    events.c.detail,
)
"""Every column that may hold a text somebody typed or a vendor sent, besides the documents of orders."""


def erase(
    connection: Connection,
    email: str,
    words: frozenset[str],
    *,
    run_ids: Sequence[str],
    orders: Collection[tuple[str, str]],
) -> Counter[str]:
    """Mask the person in all such texts; how many rows of which table changed. `words`: what describes them."""
    removed: Counter[str] = Counter()
    removed["attempts"] += _drop_quotes(connection, run_ids)
    for start in range(0, len(run_ids), _AT_ONCE):
        of_runs = events.c.run_id.in_(run_ids[start : start + _AT_ONCE])
        removed["events"] += _mask_events(connection, of_runs, words)
    pairs = sorted(orders)
    for start in range(0, len(pairs), _AT_ONCE):
        bought = is_among((events.c.source, events.c.order_id), pairs[start : start + _AT_ONCE])
        removed["events"] += _mask_events(connection, bought, words)
    for column in TEXTS:
        removed[column.table.name] += _mask_column(connection, column, _anywhere(email, words))
    return removed


def mentions(connection: Connection, email: str, words: frozenset[str]) -> Iterator[tuple[Column[Any], Any, Any]]:
    """What such texts hold of the person, whoever they are about: the column, the row's keys, and its value."""
    for column in TEXTS:
        for row, _ in _naming(connection, column, _anywhere(email, words)):
            yield column, {key.name: getattr(row, key.name) for key in column.table.primary_key}, row.value


def _anywhere(email: str, words: frozenset[str]) -> frozenset[str]:
    """What is looked for in texts about others as well."""
    return frozenset({email, *(word for word in words if is_whole_name(word))})


def without_quote(error: str, *, mark: str = ERASED) -> str:
    """An error without what it quotes: its class alone is left."""
    name, colon, _ = error.partition(":")
    return f"{name}: {mark}" if colon and _ERROR_CLASS.fullmatch(name) else mark


def unquoted(note: str) -> str:
    """A note without what it quotes, where it is an error's; any other as it is."""
    return without_quote(note) if _ERROR.match(note) else note


def _drop_quotes(connection: Connection, run_ids: Sequence[str]) -> int:
    """The errors of a person's attempts."""
    count = 0
    for start in range(0, len(run_ids), _AT_ONCE):
        of_runs = attempts.c.run_id.in_(run_ids[start : start + _AT_ONCE])
        quoting = (of_runs, attempts.c.error.is_not(None), not_(attempts.c.is_forgotten))
        for text in connection.scalars(select(attempts.c.error).where(*quoting).distinct()):
            changed = update(attempts).where(*quoting, attempts.c.error == text).values(error=without_quote(text))
            count += connection.execute(changed).rowcount
    return count


def _mask_events(connection: Connection, condition: Any, words: frozenset[str]) -> int:
    """The events about a person; what an error quotes goes whole."""

    def change(text: str) -> str:
        return without_words(text, words, mark=ERASED) if has_prose(text) else text

    count = 0
    for row in connection.execute(select(events.c.id, events.c.reason, events.c.detail).where(condition)).all():
        detail = each_text(row.detail, change)
        if isinstance(detail, dict) and isinstance(detail.get("error"), str):
            detail |= {"error": without_quote(detail["error"])}
        reason = without_words(row.reason, words, mark=ERASED) if row.reason else row.reason
        count += _write(connection, events, events.c.id == row.id, row, reason=reason, detail=detail)
    return count


def _mask_column(connection: Connection, column: Column[Any], words: frozenset[str]) -> int:
    """One column of any row, whoever it is about."""
    count = 0
    for row, value in _naming(connection, column, words):
        of_row = and_(*(key == getattr(row, key.name) for key in column.table.primary_key))
        count += connection.execute(update(column.table).where(of_row).values({column.name: value})).rowcount
    return count


def _naming(connection: Connection, column: Column[Any], words: frozenset[str]) -> Iterator[tuple[Any, Any]]:
    """The rows whose text names somebody, as their keys and `value`, each with what it is without them."""
    table = column.table
    is_json = isinstance(column.type, Json)
    text = cast(column, Text) if is_json or not isinstance(column.type, String) else column
    likely = or_(*(text.ilike(_pattern(word), escape="!") for word in sorted(words)))
    keys = list(table.primary_key.columns)
    rows = connection.execute(select(*keys, column.label("value")).where(column.is_not(None), likely)).all()
    for row in rows:
        value = each_text(row.value, lambda each: without_words(each, words, mark=ERASED))
        if value != row.value:
            yield row, value


def _write(connection: Connection, table: Table, condition: Any, row: Any, **values: Any) -> int:
    changed = {name: value for name, value in values.items() if value != getattr(row, name)}
    return connection.execute(update(table).where(condition).values(**changed)).rowcount if changed else 0


def _pattern(word: str) -> str:
    """For LIKE: what JSON may escape is any text here, and looked at afterwards."""
    escaped = "".join(
        "!" + each if each in "%_!" else each if each.isascii() and each not in '\\"' else "%" for each in word
    )
    return f"%{escaped}%"
