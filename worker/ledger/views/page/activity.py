"""Who did what: every operator's act, every sign-in, every pause and every change of the offers file, newest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from string import Formatter
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select, text

from worker.formatting import counted
from worker.ledger.sql import record_of
from worker.ledger.tables.page_indexes import OPERATORS_ACTED
from worker.ledger.tables.runs import events
from worker.ledger.views.paging import between, mark_of, pages
from worker.ledger.views.timeline import person
from worker.settings.settings import SOURCES

ACTIVITY_FIELDS: Final = (
    "id", "at", "who", "kind", "text", "source", "order_id", "run_id", "system", "reason", "client",
)  # fmt: skip
"""The columns of the list as CSV."""


class Act(StrEnum):
    """What is an act: the kinds of the audit trail's lines that a person caused, or must know of."""

    LOGIN = "login"
    LOGIN_REFUSED = "login_refused"
    OPERATOR_ADDED = "operator_added"
    OPERATOR_REMOVED = "operator_removed"
    RUN_REPLAYED = "run_replayed"
    RUN_REPEATED = "run_repeated"
    RUN_RESOLVED = "run_resolved"
    RUN_CANCELLED = "run_cancelled"
    RUN_REOPENED = "run_reopened"
    SEAT_NAMED = "seat_named"
    ORDER_NOTED = "order_noted"
    ORDER_INGESTED = "order_ingested"
    BACKFILL_REQUESTED = "backfill_requested"
    BACKFILL_BEGUN = "backfill_begun"
    BACKFILL_INTERRUPTED = "backfill_interrupted"
    BACKFILL_ENDED = "backfill_ended"
    BACKFILL_PREVIEWED = "backfill_previewed"
    BACKFILL_FAILED = "backfill_failed"
    RECONCILED = "reconciled"
    RECONCILE_FIXED = "reconcile_fixed"
    LEDGER_RECOVERED = "ledger_recovered"
    SYSTEM_PAUSED = "system_paused"
    SYSTEM_RESUMED = "system_resumed"
    OFFERS_CHANGED = "offers_changed"
    OFFERS_UNUSABLE = "offers_unusable"
    LEARNER_FORGOTTEN = "learner_forgotten"
    LEARNER_EXPORTED = "learner_exported"


_TEXTS: Final = {
    Act.LOGIN: "signed in",
    Act.LOGIN_REFUSED: "was refused at sign-in",
    Act.OPERATOR_ADDED: "added operator {operator}",
    Act.OPERATOR_REMOVED: "removed operator {operator}",
    Act.RUN_REPLAYED: "replayed the run",
    Act.RUN_REPEATED: "repeated the run on purpose, from {from_step} on",
    Act.RUN_RESOLVED: "resolved the run as done by hand",
    Act.RUN_CANCELLED: "cancelled the run",
    Act.RUN_REOPENED: "reopened the run",
    Act.SEAT_NAMED: "named a seat",
    Act.ORDER_NOTED: "wrote a note",
    Act.ORDER_INGESTED: "asked for the order",
    Act.BACKFILL_REQUESTED: "asked for a backfill of {source}, from {since} until {until}",
    Act.BACKFILL_BEGUN: "began a backfill of {source}, from {since} until {until}",
    Act.BACKFILL_INTERRUPTED: "had a backfill of {source} interrupted ({why}): {orders:order}, {new} new so far",
    Act.BACKFILL_ENDED: "ended a backfill of {source}: {orders:order}, {new} new, {changed} changed",
    Act.BACKFILL_PREVIEWED: "looked at what a backfill of {source} would do: {orders:order}, {new} new",
    Act.BACKFILL_FAILED: "had no end of a backfill of {source}: {error}",
    Act.RECONCILED: "reconciled: {findings:finding}",
    Act.RECONCILE_FIXED: "put right what a reconciliation found",
    Act.LEDGER_RECOVERED: "recovered the ledger",
    Act.SYSTEM_PAUSED: "paused {system}",
    Act.SYSTEM_RESUMED: "resumed {system}",
    Act.OFFERS_CHANGED: "changed the offers file",
    Act.OFFERS_UNUSABLE: "left the offers file unusable: its last valid rules stay in force",
    Act.LEARNER_FORGOTTEN: "forgot a learner",
    Act.LEARNER_EXPORTED: "exported what is kept of a learner",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityItem:
    """One act: who did what when, about which order, run or system, and why."""

    id: str
    at: datetime
    actor: str
    """`operator:<name>`, or `engine` for a pause that a refused credential set."""
    who: str
    kind: str
    text: str
    source: str | None
    order_id: str | None
    run_id: str | None
    system: str | None
    reason: str | None
    client: str | None
    """The address that signed in, or tried to."""

    @classmethod
    def of(cls, row: Row[Any]) -> ActivityItem:
        """From a row of `events`."""
        detail = row.detail or {}
        words = _Words(detail | {"system": row.system, "source": row.source})
        text = _Sentences().vformat(_TEXTS[Act(row.kind)], (), words)
        tried = detail.get("operator")
        who = tried if row.kind == Act.LOGIN_REFUSED and tried else person(row.actor)
        return record_of(cls, row, id=str(row.id), who=who, text=text, client=detail.get("client"))


class _Words(dict[str, Any]):
    """What a sentence is filled with; what an older version did not record is left open."""

    def __missing__(self, name: str) -> str:
        return "…"


class _Sentences(Formatter):
    """`{orders:order}` is a number with its noun."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        """As `Formatter`'s."""
        if not format_spec:
            return super().format_field(value, "")
        return counted(value, format_spec) if isinstance(value, int) else f"{value} {format_spec}s"


def list_activity(
    connection: Connection,
    *,
    who: str | None = None,
    kinds: Sequence[str] = (),
    about: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = None,
    after: str | None = None,
) -> Iterator[ActivityItem]:
    """Acts, newest first, as they are read. `since` (inclusive) and `until` (exclusive) bound their time.

    `who` is a name, in any case; `about` an order (`SOURCE/ORDER` or its number) or a run (its id, or the beginning of
    it). `after` is the last act's id of the page before; `NotInLedgerError` when there is none.
    """
    # In the very words of its partial index, by which SQLite knows it.
    conditions: list[Any] = [text(f"({OPERATORS_ACTED})"), events.c.kind.in_([*(kinds or Act)])]
    if who is not None:
        name = who.strip().casefold().removeprefix("operator:")
        actor = {"cartbridge": "engine"}.get(name, f"operator:{name}")
        tried = events.c.detail["operator"].as_string()
        conditions.append(
            or_(
                func.lower(events.c.actor) == actor,
                (events.c.kind == Act.LOGIN_REFUSED) & (func.lower(tried) == name),
            )
        )
    if about is not None:
        conditions.append(_is_about(about.strip()))
    query = select(events).where(*conditions, *between(events.c.at, since, until))
    columns = (events.c.at, events.c.id)
    number = int(after) if after and after.isascii() and after.isdecimal() and len(after) < 19 else -1
    mark = mark_of(connection, "act", after, columns, events.c.id == number)
    for page in pages(connection, query, columns, limit=limit, mark=mark):
        for row in page:
            yield ActivityItem.of(row)


def _is_about(about: str) -> ColumnElement[bool]:
    source, slash, order_id = about.partition("/")
    if slash and source in SOURCES:
        return (events.c.source == source) & (events.c.order_id == order_id)
    # The index begins with the source.
    is_order = events.c.source.in_(SOURCES) & (events.c.order_id == about)
    return or_(is_order, events.c.run_id.startswith(about, autoescape=True))
