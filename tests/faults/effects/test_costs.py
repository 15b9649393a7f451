"""What the undisturbed path costs: three commits and three round trips a run, and one broker message a workflow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import signals
from sqlalchemy import Connection, event

from tasks.dispatch import Dispatcher
from tests.faults.harness.product import ON_SQLITE, NewRig, Rig
from tests.integration.servers import PostgresServer

pytestmark = pytest.mark.faults


@contextmanager
def counted_commits(rig: Rig) -> Iterator[list[Connection]]:
    commits: list[Connection] = []

    def committed(connection: Connection) -> None:
        if connection.get_execution_options().get("cartbridge_write"):
            commits.append(connection)

    event.listen(rig.ledger.engine, "commit", committed)
    try:
        yield commits
    finally:
        event.remove(rig.ledger.engine, "commit", committed)


def test_run_commits_three_times_when_nothing_goes_wrong(rig: Rig) -> None:
    run_id = rig.enrol()
    with counted_commits(rig) as commits:
        rig.work(run_id)
    assert rig.state(run_id) == ("succeeded", None)
    assert len(commits) == 3


def test_claim_alone_may_be_lost_with_the_power_when_a_run_commits(rig: Rig) -> None:
    """What is not on the disk when the effect is sent would let a second one be sent after a power cut."""
    run_id = rig.enrol()
    with counted_commits(rig) as commits:
        rig.work(run_id)
    assert [each.get_execution_options()["cartbridge_durable"] for each in commits] == [False, True, True]


def test_run_commits_three_times_when_it_has_many_groups(rig: Rig) -> None:
    groups = ", ".join(str(number) for number in range(1, 9))
    grant = f"{{ price_id = 501, group_ids = [{groups}] }}"
    rig.settings.offers_file.write_text(f'[[offer]]\nsource = "studiocart"\nproduct_id = "1107"\ngrants = [{grant}]\n')
    run_id = rig.enrol()
    with counted_commits(rig) as commits:
        rig.work(run_id)
    assert rig.state(run_id) == ("succeeded", None)
    assert sorted(rig.sandbox.learningcart.groups) == list(range(1, 9))
    assert len(commits) == 3


@pytest.mark.integration
@ON_SQLITE
def test_run_is_three_round_trips_when_nothing_goes_wrong(
    new_rig: NewRig, postgres_server: PostgresServer, postgres_ledger: str
) -> None:
    rig = new_rig(CARTBRIDGE_DATABASE_URL=f"{postgres_ledger}?options=-c%20log_statement%3Dall")
    first, second = rig.enrol(), rig.enrol(7002, email="john@example.test")
    rig.work(first)
    noted = len(postgres_server.log.read_text())
    rig.work(second)
    assert rig.state(second) == ("succeeded", None)
    asked = re.findall(r"LOG:  (?:statement|execute \S+): (\w+ \w+)", postgres_server.log.read_text()[noted:])
    assert asked[:3] == ["UPDATE runs", "WITH held", "WITH held"]
    assert asked[3:] == ["SELECT runs"]  # the look at its state


@ON_SQLITE
def test_second_message_commits_nothing_when_the_run_has_ended(rig: Rig) -> None:
    run_id = rig.enrol()
    rig.work(run_id)
    before = rig.everything_stored()
    rig.work(run_id)
    assert rig.everything_stored() == before


@ON_SQLITE
def test_idle_sweep_commits_nothing_when_nothing_is_due(rig: Rig) -> None:
    rig.enrol()
    rig.finish()
    with counted_commits(rig) as commits:
        rig.sweep()
    assert commits == []


def test_one_message_is_sent_when_a_workflow_runs_from_end_to_end(rig: Rig) -> None:
    published: list[dict[str, Any]] = []

    def note(sender: str, body: Any, headers: dict[str, Any], **_: Any) -> None:
        published.append({"task": sender, "body": body, "headers": headers})

    rig.runtime.dispatcher = Dispatcher(rig.runtime.app, rig.ledger)
    signals.before_task_publish.connect(note, weak=False)
    try:
        run_id = rig.enrol(email="very.personal@example.test")
        rig.work(run_id)
    finally:
        signals.before_task_publish.disconnect(note)
    assert rig.state(run_id) == ("succeeded", None)
    (message,) = published
    assert message["task"] == "cartbridge.enrolment.add_customer"
    assert message["body"][0] == (run_id,)
    tail = [link["task"] for link in reversed(message["body"][2]["chain"])]
    assert tail == ["cartbridge.enrolment.add_customer_to_group", "cartbridge.enrolment.add_comped_order"]
    assert "very.personal" not in repr(message)
