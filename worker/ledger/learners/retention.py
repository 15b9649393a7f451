"""What is kept only for a limited time: sources' records, deliveries, texts of errors and reasons, completions' names.

What the books need stays: who was given what, when, by which order, and what an operator did by hand. Done in small
transactions, each harmless when two processes do it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Row,
    Text,
    and_,
    cast,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    tuple_,
    type_coerce,
    update,
)

from worker.ledger.keys import is_among
from worker.ledger.learners.erased_texts import without_quote
from worker.ledger.outbox import OutboxState
from worker.ledger.periodic import periodic_tasks
from worker.ledger.periodic.periodic_tasks import TaskName
from worker.ledger.session import Ledger
from worker.ledger.states import DeliveryState, OrderState, RunState
from worker.ledger.tables.follow_on import completions
from worker.ledger.tables.operator_entries import order_notes
from worker.ledger.tables.runs import attempts, deliveries, events, order_versions, orders, outbox, runs
from worker.reasons import Reason
from worker.text.personal_text import ERASED, EXPIRED, has_prose

RAW: Final = {"expired": True}
_MARKS: Final = ('{"expired": true}', '{"forgotten": true}')
_BATCH: Final = 500
_ERROR_IN_NOTE: Final = "Error: "
_ENDED: Final = (RunState.SUCCEEDED, RunState.CANCELLED)
_BOOKED: Final = frozenset(
    {"run_resolved", "run_reopened", "learner_forgotten", "learner_exported", "ledger_recovered"}
)
"""Events whose reason says what a person did: it stays."""
_FINISHED: Final = (OrderState.PLANNED, OrderState.IGNORED, OrderState.CANCELLED)


@dataclass(frozen=True)
class RetentionDays:
    """For how many days each kind is kept; 0: for good."""

    order_versions: float
    deliveries: float
    texts: float
    completions: float


@dataclass(frozen=True)
class _Rule:
    """One kind of row, and what becomes of it."""

    keys: tuple[Any, ...]
    condition: Callable[[Connection, datetime], ColumnElement[bool]]
    apply: Callable[[Connection, Sequence[Row[Any]]], None]
    days: Callable[[RetentionDays], float]


def is_due(ledger: Ledger, *, now: datetime, holder: str) -> bool:
    """Whether today's is the caller's to do: True once a day, however many ask."""
    due_before = now - timedelta(days=1) + timedelta.resolution
    with ledger.write() as connection:
        return periodic_tasks.begin(connection, TaskName.RETENTION, now=now, holder=holder) or periodic_tasks.take(
            connection, TaskName.RETENTION, last_done_before=due_before, now=now, holder=holder
        )


def count_expired(ledger: Ledger, days: RetentionDays, *, now: datetime) -> dict[str, int]:
    """How many rows of each kind are kept for longer than they should be. Changes nothing."""
    found = {}
    with ledger.read() as connection:
        for name, rule, before in _in_force(days, now):
            counted = select(func.count()).select_from(rule.keys[0].table).where(rule.condition(connection, before))
            found[name] = connection.scalar(counted) or 0
    return found


def expire(
    ledger: Ledger,
    days: RetentionDays,
    *,
    now: datetime,
    progress: Callable[[str, int], None] = lambda _name, _count: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, int]:
    """Drop what is kept for too long, some hundred rows a transaction; how many of each kind.

    Goes on where it stopped when it is called again. `progress` is called after each transaction.
    """
    done = {}
    for name, rule, before in _in_force(days, now):
        done[name] = 0
        for count in _batches(ledger, rule, before):
            done[name] += count
            progress(name, done[name])
            if should_stop():
                return done
    return done


def _batches(ledger: Ledger, rule: _Rule, before: datetime) -> Iterator[int]:
    mark: tuple[Any, ...] | None = None
    while True:
        with ledger.write() as connection:
            found = select(*rule.keys).where(rule.condition(connection, before))
            if mark is not None:
                found = found.where(tuple_(*rule.keys) > tuple_(*mark))
            rows = connection.execute(found.order_by(*rule.keys).limit(_BATCH)).all()
            if rows:
                rule.apply(connection, rows)
        if not rows:
            return
        mark = tuple(rows[-1])
        yield len(rows)


def _in_force(days: RetentionDays, now: datetime) -> Iterator[tuple[str, _Rule, datetime]]:
    for name, rule in _RULES.items():
        days_kept = rule.days(days)
        if days_kept > 0:
            yield name, rule, now - timedelta(days=days_kept)


# What sources sent of orders


def _old_versions(_: Connection, before: datetime) -> ColumnElement[bool]:
    """All but the newest of an order that is not finished: its next change is compared with that one."""
    is_open = exists().where(
        runs.c.source == orders.c.source, runs.c.order_id == orders.c.order_id, runs.c.state.not_in(_ENDED)
    )
    is_done = and_(orders.c.state.in_(_FINISHED), not_(is_open))
    of_order = exists().where(
        orders.c.source == order_versions.c.source,
        orders.c.order_id == order_versions.c.order_id,
        or_(order_versions.c.number < orders.c.version, is_done),
    )
    is_there = cast(order_versions.c.raw, Text).not_in(_MARKS)
    return and_(order_versions.c.seen_at < before, is_there, of_order)


def _drop_raws(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    columns = (order_versions.c.source, order_versions.c.order_id, order_versions.c.number)
    connection.execute(update(order_versions).where(is_among(columns, rows)).values(raw=RAW))


# Deliveries


def _old_deliveries(_: Connection, before: datetime) -> ColumnElement[bool]:
    is_done = deliveries.c.state.in_((DeliveryState.PLANNED, DeliveryState.IGNORED))
    return and_(deliveries.c.received_at < before, deliveries.c.finished_at < before, is_done)


def _delete_deliveries(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    connection.execute(delete(deliveries).where(deliveries.c.id.in_([row.id for row in rows])))


# Texts


def _old_errors(_: Connection, before: datetime) -> ColumnElement[bool]:
    has_ended = exists().where(runs.c.id == attempts.c.run_id, runs.c.state.in_(_ENDED), runs.c.finished_at < before)
    is_quoting = and_(_is_quoting(attempts.c.error), not_(attempts.c.is_forgotten))
    return and_(attempts.c.started_at < before, is_quoting, has_ended)


def _is_quoting(text: Any, colon: str = ": ") -> ColumnElement[bool]:
    """A class's name and a colon, then what may quote a vendor; not yet dropped."""
    return and_(text.like(f"%{colon}%"), text.not_like(f"%: {EXPIRED}"), text.not_like(f"%: {ERASED}"))


def _drop_errors(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    for row in rows:
        of_row = (attempts.c.run_id == row.run_id, attempts.c.step == row.step, attempts.c.number == row.number)
        error = connection.scalar(select(attempts.c.error).where(*of_row)) or ""
        connection.execute(update(attempts).where(*of_row).values(error=without_quote(error, mark=EXPIRED)))


def _old_notes_of_runs(_: Connection, before: datetime) -> ColumnElement[bool]:
    has_ended = and_(runs.c.state.in_(_ENDED), runs.c.finished_at < before)
    return and_(has_ended, _is_quoting(runs.c.note, _ERROR_IN_NOTE))


def _cut_notes_of_runs(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    """What an operator wrote of it by hand stays."""
    of_rows = runs.c.id.in_([row.id for row in rows])
    for row in connection.execute(select(runs.c.id, runs.c.note).where(of_rows)).all():
        said, colon, _ = row.note.partition(_ERROR_IN_NOTE)
        connection.execute(update(runs).where(runs.c.id == row.id).values(note=f"{said}{colon}{EXPIRED}"))


def _old_event_texts(_: Connection, before: datetime) -> ColumnElement[bool]:
    reason, error = events.c.reason, type_coerce(events.c.detail, JSON)["error"].as_string()
    # An operator's is typed, be it one word, but for the codes of what a plan of theirs came to.
    is_typed = or_(reason.like("% %"), and_(events.c.actor.like("operator:%"), reason.not_in([*Reason])))
    has_reason = and_(is_typed, reason.not_like(f"%{EXPIRED}%"), reason != "", events.c.kind.not_in(_BOOKED))
    has_error = and_(error.is_not(None), error.not_like(f"%{EXPIRED}%"), error.not_like(f"%{ERASED}%"))
    return and_(events.c.at < before, or_(has_reason, has_error))


def _drop_event_texts(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    found = connection.execute(select(events).where(events.c.id.in_([row.id for row in rows]))).all()
    for row in found:
        values: dict[str, Any] = {}
        is_typed = row.actor.startswith("operator:") and row.reason not in {*Reason}
        if row.reason and row.kind not in _BOOKED and (is_typed or has_prose(row.reason)):
            values["reason"] = EXPIRED
        if isinstance(error := row.detail.get("error"), str) and ERASED not in error:
            values["detail"] = row.detail | {"error": without_quote(error, mark=EXPIRED)}
        if values:
            connection.execute(update(events).where(events.c.id == row.id).values(**values))


def _old_messages(_: Connection, before: datetime) -> ColumnElement[bool]:
    is_there = cast(outbox.c.payload, Text) != _MARKS[0]
    is_done = outbox.c.state.in_((OutboxState.SENT, OutboxState.FAILED))
    return and_(is_done, outbox.c.created_at < before, is_there)


def _drop_messages(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    """Their rows stay: their ids keep an event from being sent twice."""
    of_rows = outbox.c.id.in_([row.id for row in rows])
    connection.execute(update(outbox).where(of_rows).values(payload=RAW, last_error=None))


def _old_notes(_: Connection, before: datetime) -> ColumnElement[bool]:
    return and_(order_notes.c.at < before, order_notes.c.text.not_in((EXPIRED, ERASED)))


def _drop_notes(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    """That somebody wrote stays."""
    of_rows = order_notes.c.id.in_([row.id for row in rows])
    connection.execute(update(order_notes).where(of_rows).values(text=EXPIRED))


# Completions


def _old_completions(_: Connection, before: datetime) -> ColumnElement[bool]:
    is_named = or_(completions.c.email != "", completions.c.name.not_in(("", EXPIRED)))
    is_open = exists().where(runs.c.completion_id == completions.c.id, runs.c.state.not_in(_ENDED))
    return and_(completions.c.updated_at < before, is_named, not_(is_open))


def _drop_names(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    of_rows = completions.c.id.in_([row.id for row in rows])
    # A name that is missing would be filled in by the next poll.
    connection.execute(update(completions).where(of_rows).values(email="", email_key="", name=EXPIRED))


_RULES: Final[Mapping[str, _Rule]] = {
    "order_versions": _Rule(
        (order_versions.c.source, order_versions.c.order_id, order_versions.c.number),
        _old_versions,
        _drop_raws,
        lambda days: days.order_versions,
    ),
    "deliveries": _Rule((deliveries.c.id,), _old_deliveries, _delete_deliveries, lambda days: days.deliveries),
    "attempt_texts": _Rule(
        (attempts.c.run_id, attempts.c.step, attempts.c.number), _old_errors, _drop_errors, lambda days: days.texts
    ),
    "run_notes": _Rule((runs.c.id,), _old_notes_of_runs, _cut_notes_of_runs, lambda days: days.texts),
    "event_texts": _Rule((events.c.id,), _old_event_texts, _drop_event_texts, lambda days: days.texts),
    "sent_messages": _Rule((outbox.c.id,), _old_messages, _drop_messages, lambda days: days.texts),
    "order_notes": _Rule((order_notes.c.id,), _old_notes, _drop_notes, lambda days: days.texts),
    "completions": _Rule((completions.c.id,), _old_completions, _drop_names, lambda days: days.completions),
}
"""By the name under which it is reported."""
