"""Puts what became of runs into the outbox: `enrolment.succeeded`, `enrolment.failed`, `enrolment.review`, and so on.

It is read from the runs themselves, so that no path that ends a run can forget to tell, and none waits for the outbox.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, and_, func, select

from worker.actions import items
from worker.advice import advice
from worker.ledger import outbox
from worker.ledger.periodic import periodic_tasks
from worker.ledger.periodic.periodic_tasks import TaskName
from worker.ledger.session import Ledger
from worker.ledger.sql import record_of
from worker.ledger.states import RunState
from worker.ledger.tables.runs import Run, events, runs
from worker.ledger.views.serializers import iso, to_json

OVERLAP: Final = timedelta(minutes=5)
"""How long a transaction may take from stamping a run to its commit, and still be heard."""
_TURNS: Final = ("run_review", "run_reopened", "run_resolved")


def note_run_events(ledger: Ledger, *, now: datetime) -> int:
    """Put an event into the outbox for each run that newly succeeded, failed or came to wait for a person.

    Returns how many. The first call only begins to listen. Safe to repeat and to double: an event's id follows from the
    run, its state and how often it was claimed, asked about and answered, so each is put there once; the mark moves in
    the same transaction.
    """
    with ledger.read() as connection:
        mark = periodic_tasks.done_at(connection, TaskName.RUN_EVENTS)
        stops = [] if mark is None else _stops_since(connection, since=mark - OVERLAP)
        if mark is not None and not stops and now - mark < OVERLAP / 2:
            return 0
    with ledger.write() as connection:
        if mark is None:
            periodic_tasks.begin(connection, TaskName.RUN_EVENTS, now=now)
            return 0
        added = sum(_tell(connection, run, now=now) for run in stops)
        periodic_tasks.note_done(connection, TaskName.RUN_EVENTS, now=now)
    return added


def _stops_since(connection: Connection, *, since: datetime) -> list[Run]:
    ended = and_(runs.c.state.in_([RunState.SUCCEEDED, RunState.FAILED]), runs.c.finished_at >= since)
    stuck = and_(runs.c.state == RunState.REVIEW, runs.c.updated_at >= since)
    # Two questions, each by its own index.
    return [
        record_of(Run, row) for condition in (ended, stuck) for row in connection.execute(select(runs).where(condition))
    ]


def _turns(connection: Connection, run_id: str) -> int:
    """How often the run came to wait for a person, or was answered by one: a question may be asked anew unclaimed."""
    turned = select(func.count()).select_from(events).where(events.c.run_id == run_id, events.c.kind.in_(_TURNS))
    return connection.scalar(turned) or 0


def _tell(connection: Connection, run: Run, *, now: datetime) -> bool:
    since = run.finished_at or run.updated_at
    what = f"{run.id}/{run.state}/{run.reason or ''}/{run.generation}/{run.fence}/{_turns(connection, run.id)}"
    kind = f"{run.workflow}.{run.state}"
    reason = run.reason if run.state != RunState.SUCCEEDED else None
    found = advice(reason, run_id=run.id, source=run.source, order_id=run.order_id)
    learner = run.learner or {}
    data = {
        "run_id": run.id,
        "key": run.key,
        "source": run.source,
        "order_id": run.order_id,
        "email": run.email,
        "name": " ".join(filter(None, (learner.get("first_name"), learner.get("last_name")))),
        "title": run.title,
        "grant": run.grant,
        "result_id": run.result_id,
        "reason": run.reason,
        "sentence": found.sentence if found else None,
        "action": found.action if found else None,
        "actions": to_json(items(found.step if found else None)),
        "at": iso(since),
    }
    event_id = f"run-{hashlib.sha256(what.encode()).hexdigest()[:32]}"
    return outbox.add_event_once(connection, event_id, kind, data, now=now)
