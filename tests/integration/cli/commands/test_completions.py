from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import Connection

from tests.integration.cli.conftest import Run
from tests.unit.worker.ledger.rows import NOW, add_list_poll, minutes_ago
from worker.ledger.follow_on.completions import LISTED_BY, add_completion
from worker.ledger.outbox import add_event
from worker.ledger.session import Ledger


def add(connection: Connection, customer: int, course: str = "77", *, at: datetime = NOW, **more: object) -> str:
    values = {
        "key": f"{customer}/{course}/-",
        "state": "began",
        "customer_id": str(customer),
        "course_id": course,
        "email": f"learner{customer}@example.test",
        "name": "Jane Doe",
        "course_name": "First aid",
    }
    return add_completion(connection, values | more, now=at)


def test_completions_are_listed_for_people_and_programs_when_there_are_some(run: Run, ledger: Ledger) -> None:
    assert run("completions", "list").stdout == "No completions.\n"
    with ledger.write() as connection:
        first = add(connection, 1, at=minutes_ago(60), state="completed", score=95, completed_at=minutes_ago(61))
        second = add(connection, 2, "78", at=minutes_ago(5), email="")
    rows = json.loads(run("completions", "list", "--json").stdout)
    assert [row["id"] for row in rows] == [second, first]
    assert (rows[1]["state"], rows[1]["score"], rows[1]["completed_at"]) == ("completed", 95, "2025-03-04T10:59:00Z")
    for options, found in [
        (("--email", "Learner1@Example.test"), [first]),
        (("--course", "78"), [second]),
        (("--since", "2025-03-04T11:30Z"), [second]),
        (("--limit", "1"), [second]),
    ]:
        shown = json.loads(run("completions", "list", "--json", *options).stdout)
        assert [row["id"] for row in shown] == found, options
    result = run("completions", "list", "--limit", "1")
    assert "customer 2" in result.stdout
    assert "there are more" in result.stderr


def test_status_tells_of_completions_and_events_when_there_is_something_to_tell(run: Run, ledger: Ledger) -> None:
    quiet = run("status").stdout
    assert "last read" not in quiet
    assert "to be sent" not in quiet
    with ledger.write() as connection:
        position = {"unreadable": 3, "covered_until": NOW.isoformat()}
        add_list_poll(
            connection, LISTED_BY, "completions", last_attempt_at=NOW, last_error="ServerError: boom", position=position
        )
        add_event(connection, "completion.began", {}, now=NOW)
    shown = " ".join(run("status").stdout.split())
    for text in ("completions last read never", "3 without a learner", "boom", "events 1 to be sent"):
        assert text in shown
    found = json.loads(run("status", "--json").stdout)
    assert found["completions"]["covered_until"] == "2025-03-04T12:00:00Z"
    assert found["outbox"]["pending"] == 1
    assert found["sources"] == []
