"""What an earlier version kept under made-up sources in `cursors` is carried over to the tables it has now."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import insert, select

from worker.ledger.follow_on.completions import completions_poll
from worker.ledger.periodic import alert_states, periodic_tasks
from worker.ledger.periodic.list_polls import ListName, poll_of
from worker.ledger.periodic.periodic_tasks import TaskName
from worker.ledger.periodic.source_watches import Watch, watches
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import cursors
from worker.ledger.views.overview import status

pytestmark = pytest.mark.integration

NOW = datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)
MIGRATIONS = Path(__file__).parents[3] / "migrations"
HOUR = timedelta(hours=1)
LEASE = {"lease_holder": "one", "lease_until": NOW + HOUR}
ROWS: list[dict[str, Any]] = [
    {"source": "studiocart", "position": {"highest_id": "7"}, "first_contact_at": NOW - HOUR},
    {"source": "studiocart:subscriptions", "position": {"whole": True}, "deep_swept_at": NOW, **LEASE},
    {"source": "studiocart:catalog", "failures": 2, "last_error": "no answer", "last_attempt_at": NOW},
    {
        "source": "learningcart:completions",
        "position": {"covered_until": NOW.isoformat(), "unreadable": 3, "set_aside": ["2/77"]},
        "first_contact_at": NOW - HOUR,
        "last_success_at": NOW,
    },
    {
        "source": "watch:studiocart",
        "position": {"begun_at": "2026-03-04T06:06:07.123456+01:00", "silence_limit_seconds": 90.5, "late_since": None},
    },
    {"source": "watch:frontcore", "position": {}},
    {"source": "alerts:book", "position": {"told": ["a"]}, **LEASE},
    {"source": "events:runs", "last_success_at": NOW},
    {"source": "reconcile:nightly", "last_attempt_at": NOW - HOUR, "lease_holder": "two"},
    {"source": "ledger:retention", "last_attempt_at": NOW, "lease_holder": "three"},
    {"source": "backfill:studiocart", "position": {"page": 3}},
]


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """Migrated from the version before, which had these rows."""
    ledger = Ledger(database_url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with ledger.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0019")
    with ledger.write() as connection:
        for row in ROWS:
            connection.execute(insert(cursors).values(**({"position": {}, "failures": 0} | row)))
    ledger.migrate()
    yield ledger
    ledger.close()


def test_every_row_is_carried_over_when_the_tables_are_made(ledger: Ledger) -> None:
    with ledger.read() as connection:
        (orders,) = connection.execute(select(cursors)).all()
        assert (orders.source, orders.position, orders.first_contact_at) == (
            "studiocart",
            {"highest_id": "7"},
            NOW - HOUR,
        )
        subscriptions = poll_of(connection, "studiocart", ListName.SUBSCRIPTIONS)
        assert subscriptions is not None
        assert (subscriptions.position, subscriptions.deep_swept_at) == ({"whole": True}, NOW)
        assert (subscriptions.lease_holder, subscriptions.lease_until) == ("one", NOW + HOUR)
        completions = poll_of(connection, "learningcart", ListName.COMPLETIONS)
        assert completions is not None
        assert (completions.position["set_aside"], completions.first_contact_at) == (["2/77"], NOW - HOUR)
        poll = completions_poll(connection)
        assert poll is not None
        assert (poll.covered_until, poll.unreadable, poll.last_success_at) == (NOW, 3, NOW)
        assert watches(connection) == {
            "studiocart": Watch(begun_at=NOW, silence_limit_seconds=90.5),
            "frontcore": Watch(),
        }
        assert {name: periodic_tasks.done_at(connection, name) for name in TaskName} == {
            TaskName.FILE_REWRITE: None,
            TaskName.MONTHLY_REPORT: None,
            TaskName.RUN_EVENTS: NOW,
            TaskName.NIGHTLY_RECONCILIATION: NOW - HOUR,
            TaskName.RETENTION: NOW,
        }
        reported = status(connection, NOW)
        assert [each.source for each in reported.sources] == ["studiocart"]
        assert [(each.source, each.list, each.failures) for each in reported.lists] == [
            ("studiocart", "catalog", 2),
            ("studiocart", "subscriptions", 0),
        ]
    with ledger.write() as connection:
        assert alert_states.take(connection, holder="two", now=NOW, lease_seconds=60) is None
        assert alert_states.take(connection, holder="one", now=NOW, lease_seconds=60) == {"told": ["a"]}
    ledger.close()


def test_task_is_done_by_one_of_those_who_ask(ledger: Ledger) -> None:
    nightly, later = TaskName.NIGHTLY_RECONCILIATION, NOW + HOUR
    with ledger.write() as connection:
        assert not periodic_tasks.begin(connection, nightly, now=later, holder="a")
        assert not periodic_tasks.take(connection, nightly, last_done_before=NOW - HOUR, now=later, holder="a")
        assert periodic_tasks.take(connection, nightly, last_done_before=NOW, now=later, holder="a")
        assert not periodic_tasks.take(connection, nightly, last_done_before=NOW, now=later, holder="b")
    ledger.close()
