"""Which members each command's `--json` has. They are a promise: one that is missing breaks somebody's program."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from tests.integration.cli.test_listings import ledger
from tests.unit.worker.ledger.rows import NOW, add_attempt, add_cursor, add_delivery, add_event, add_order, add_run
from worker.cli.app import app
from worker.ledger.follow_on.completions import add_completion
from worker.ledger.session import Ledger

__all__ = ["ledger"]

RUN = (
    "id workflow key state reason source order_id completion_id line_id seat_id title email grant attempts "
    "failed_attempts generation result_id parent_id note next_attempt_at created_at updated_at finished_at advice "
    "action actions"
)
ORDER = (
    "source order_id state reason status payment buyer_email buyer_name total renewal before_start version created_at "
    "first_seen_at updated_at advice action actions"
)
DELIVERY = (
    "id source order_id via actor state reason note duplicate attempts received_at next_attempt_at finished_at advice "
    "action actions"
)
COMPLETION = (
    "id state customer_id email name course_id course_name score started_at completed_at first_seen_at updated_at "
    "follow_ons"
)
STATUS = (
    "at offers_problem runs orders deliveries reviews failures delivery_reviews due due_deliveries pauses breakers "
    "sources lists completions outbox"
)
MEMBERS = {
    "runs list": RUN,
    "runs show RUN": f"{RUN} learner delivery_id cancel_reason lease_holder lease_until lane_shut_until steps events",
    "orders list": ORDER,
    "orders show studiocart/1109": f"{ORDER} subscription lines versions runs deliveries notes events",
    "deliveries list": DELIVERY,
    "deliveries show DELIVERY": f"{DELIVERY} order run_ids events",
    "completions list": COMPLETION,
    "completions show COMPLETION": COMPLETION,
    "status": STATUS,
    "why studiocart/1109": "subject answer action actions tone orders runs timeline omitted",
    "offers check": "file ok problems",
    "check": "ok verdict findings warnings setup",
}
NESTED = {
    "runs show RUN": {
        "steps": "name state output finished_at attempts",
        "events": "at kind actor run_id reason detail",
        "steps attempts": (
            "number kind generation started_at finished_at outcome http_status error reference result_id holder"
        ),
    },
    "why studiocart/1109": {"timeline": "at text tone order run_id", "orders": f"{ORDER} subscription", "runs": RUN},
    "orders show studiocart/1109": {
        "lines": "id title product seats",
        "lines seats": "id learner hold note course_date_id",
        "runs": RUN,
        "deliveries": DELIVERY,
    },
}


@pytest.fixture
def names(ledger: Ledger) -> dict[str, str]:
    """An order with all that hangs on it; gives the ids by the word that stands for each."""
    with ledger.write() as connection:
        line = {"id": "1107", "product": {"product_id": "1107"}, "seats": [{"id": "buyer", "learner": None}]}
        add_order(connection, document={"lines": [line]})
        delivery = add_delivery(connection, "d0123456789")
        run = add_run(connection)
        add_attempt(connection, run, "add_customer", 1)
        add_event(connection, "run_planned", run_id=run)
        add_cursor(connection)
        completion = {"customer_id": "5001", "state": "began", "email": "a@b.example", "name": "", "course_name": ""}
        found = add_completion(connection, completion | {"key": "5001/1/-", "course_id": "1"}, now=NOW)
    return {"RUN": run, "DELIVERY": delivery, "COMPLETION": found}


@pytest.mark.parametrize("command", MEMBERS)
def test_members_are_the_promised_ones_when_a_command_prints_json(names: dict[str, str], command: str) -> None:
    words = [names.get(word, word) for word in command.split()]
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    shown = found[0] if isinstance(found, list) else found
    assert list(shown) == MEMBERS[command].split()
    for path, members in NESTED.get(command, {}).items():
        inner = shown
        for name in path.split():
            inner = inner[name][0]
        assert list(inner) == members.split(), path
