"""The audit trail's lines, and the log's lines of what was committed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select

from worker.ledger.keys import is_of_order
from worker.ledger.named_people import words_of_the_named
from worker.ledger.session import after_commit
from worker.ledger.states import Actor, Outcome
from worker.ledger.tables.runs import Run, events, order_versions, orders, runs
from worker.text.personal_text import each_text, has_prose, masked, personal_words, words_of_record

log = logging.getLogger(__name__)

LOGGED = frozenset(
    {
        "order_planned",
        "run_succeeded",
        "run_failed",
        "run_review",
        "run_cancelled",
        "run_resolved",
        "run_reopened",
        "run_replayed",
        "system_paused",
        "system_resumed",
        "subscription_ended",
        "subscription_goes_on",
        "subscription_unclear",
    }
)
"""What the log tells, too: one line an order taken in, one a run's end, one a review."""


def record_event(connection: Connection, *, at: datetime, kind: str, actor: str, **values: Any) -> None:
    """Add one line to the audit trail, and for what ends or asks, one to the log once it is committed.

    `values`: `run_id, source, order_id, delivery_id, system, reason, detail`. The trail is only added to, so what
    describes a person never gets there: an email, and the names and addresses of the people of this run and order, are
    left out of a reason that was typed and of a refusal that is quoted; a typed one loses others' names as well.
    """
    record_events(connection, [{"at": at, "kind": kind, "actor": actor, **values}])


def record_run_event(connection: Connection, run: Run | Row[Any], *, kind: str, actor: str, **values: Any) -> None:
    """The same about a run and its order; `values`: `at`, and `reason` and `detail` where there are any."""
    record_event(connection, kind=kind, actor=actor, run_id=run.id, source=run.source, order_id=run.order_id, **values)


def record_events(connection: Connection, found: Sequence[dict[str, Any]]) -> None:
    """The same for several lines, in their order, each with the values that `record_event` takes."""
    rows = [_NOTHING | new_event(connection, **each) for each in found]
    if rows:
        connection.execute(_INSERT, rows)


_INSERT = insert(events)
_NOTHING: Final = dict.fromkeys(("run_id", "source", "order_id", "delivery_id", "system", "reason"))


def new_event(connection: Connection, *, at: datetime, kind: str, actor: str, **values: Any) -> dict[str, Any]:
    """The row that `record_event` adds, for a caller that adds it together with others; it is logged as that does."""
    values.setdefault("detail", {})
    reason, detail = values.get("reason"), values["detail"]
    if reason or has_prose(detail):
        is_ours = actor in {Actor.ENGINE, Actor.SOURCE} and not has_prose(reason) and not has_prose(detail)
        words = frozenset[str]() if is_ours else _words_of(connection, values)
        if reason and actor not in {Actor.ENGINE, Actor.SOURCE}:
            words |= words_of_the_named(connection, reason)
        values["reason"] = masked(reason, words) if reason else reason
        values["detail"] = each_text(detail, lambda text: masked(text, words) if has_prose(text) else text)
    opens_review = kind == "run_planned" and values.get("reason")
    if kind in LOGGED or opens_review:
        order_id = values.get("order_id")
        about = {
            "run_id": values.get("run_id"),
            "order": None if order_id is None else f"{values.get('source')}/{order_id}",
            "system": values.get("system"),
            "delivery_id": values.get("delivery_id"),
            # What an operator typed may name people; all others' reasons are codes.
            "reason": values.get("reason") if actor in {Actor.ENGINE, Actor.SOURCE} else None,
            "state": values["detail"].get("state"),
            "actor": actor,
        }
        text = "run review" if opens_review else kind.replace("_", " ")
        _log_after_commit(connection, logging.INFO, text, about)
    return {"at": at, "kind": kind, "actor": actor, **values}


def without_people(
    connection: Connection,
    text: str,
    *people: Mapping[str, Any] | None,
    run_id: str | None = None,
    source: str | None = None,
    order_id: str | None = None,
) -> str:
    """What an operator typed, or another system answered, as it may be kept and logged: without these people, those of
    the run or order it is about, and whoever of the ledger's people it names.
    """
    about = {"run_id": run_id, "source": source, "order_id": order_id}
    words = personal_words(*people) | _words_of(connection, about)
    return masked(text, words | words_of_the_named(connection, text))


def _words_of(connection: Connection, values: dict[str, Any]) -> frozenset[str]:
    """What describes the people whom an event may be about: its run's learner, its order's buyer and learners."""
    people: list[Any] = []
    source, order_id = values.get("source"), values.get("order_id")
    if values.get("run_id") is not None:
        people += connection.scalars(select(runs.c.learner).where(runs.c.id == values["run_id"]))
    if order_id is not None:
        people += connection.scalars(select(runs.c.learner).where(is_of_order(runs, source, order_id)))
        document = connection.scalar(select(orders.c.document).where(is_of_order(orders, source, order_id)))
        people += people_of(document)
        newest = select(order_versions.c.raw).where(is_of_order(order_versions, source, order_id))
        record = connection.scalar(newest.order_by(order_versions.c.number.desc()).limit(1))
        return personal_words(*people) | words_of_record(record)
    return personal_words(*people)


def people_of(document: Mapping[str, Any] | None) -> list[Any]:
    """An order's buyer and learners, from our document of it."""
    if not document:
        return []
    seats = [seat for line in document.get("lines", ()) for seat in line.get("seats", ())]
    return [document, *(seat.get("learner") for seat in seats)]


def log_outcome(
    connection: Connection, *, run_id: str, order: str | None, step: str, number: int, **values: Any
) -> None:
    """Log what an attempt came to once it is committed. `values`: `kind, outcome, http_status`; no texts."""
    outcome = values.get("outcome")
    level = logging.INFO if outcome in {Outcome.OK, Outcome.ADOPTED, Outcome.ABSENT} else logging.WARNING
    about = {"run_id": run_id, "order": order, "step": step, "attempt": number, "outcome": outcome}
    _log_after_commit(
        connection, level, f"{values.get('kind') or 'call'} ended", about | {"http_status": values.get("http_status")}
    )


def _log_after_commit(connection: Connection, level: int, text: str, about: dict[str, Any]) -> None:
    if not log.isEnabledFor(level):
        return
    known = {
        name: value if isinstance(value, int) else str(value) for name, value in about.items() if value is not None
    }
    # Made here: whoever looks for the calling line, as `log.log` does, takes longer than all the rest.
    record = log.makeRecord(log.name, level, __file__, 0, text, (), None, extra={"about": known})
    after_commit(connection, lambda: log.handle(record))
