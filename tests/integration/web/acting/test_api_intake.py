from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, func, select
from sqlalchemy.exc import OperationalError

from tests.faults.harness.product import Rig
from tests.integration.web.acting.test_api_actions import BEARER, Program, program
from tests.unit.worker.web.asking import assert_problem
from worker.errors import ConfigurationError
from worker.ledger.periodic import periodic_tasks
from worker.ledger.tables.periodic import periodic_tasks as marks
from worker.ledger.tables.runs import deliveries, orders
from worker.sandbox import Fault
from workflows.ingest.backfill import Backfiller
from workflows.ingest.requested_backfills import HELD_SECONDS, KNOWN_DAYS, MARK, perform_open

__all__ = ["program"]

WINDOW = {"source": "studiocart", "since": "2020-01-01", "until": "2099-01-01"}


def work(rig: Rig, *, stops: bool = False, meanwhile: Callable[[], object] = list) -> list[str]:
    """What a worker does that was told of a backfill; the runs it sends. `meanwhile` happens after each page."""
    sent: list[str] = []

    def send(run_ids: Sequence[str]) -> None:
        sent.extend(run_ids)
        meanwhile()

    runtime = rig.runtime
    perform_open(
        rig.ledger,
        runtime.backfiller,
        holder="a-worker",
        clock=rig.clock,
        send_runs=send,
        should_stop=lambda: stops,
    )
    return sent


def count(rig: Rig, table: Table) -> int:
    with rig.ledger.read() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def report(program: Program, backfill_id: str) -> dict[str, Any]:
    found: dict[str, Any] = program.ask(f"backfills/{backfill_id}")
    return found


def test_order_is_asked_for_when_a_program_names_it(program: Program, rig: Rig) -> None:
    rig.sell(7001)
    would = program.act("ingest", source="studiocart", order_ids=["7001"], dry_run=True)
    assert would.status_code == 202
    assert (would.json()[0]["state"], would.json()[0]["delivery_id"]) == ("planned", None)
    assert any("price 501" in line for line in would.json()[0]["plan"])
    assert (count(rig, deliveries), program.dispatcher.orders) == (0, [])
    (asked,) = program.act("ingest", source="studiocart", order_ids=["7001", "7001"], reason="by phone").json()
    assert program.dispatcher.orders == ["studiocart/7001"]
    assert program.ask(f"deliveries/{asked['delivery_id']}")["state"] == "received"
    rig.runtime.delivery_reader.look("studiocart", "7001")
    assert program.ask(f"deliveries/{asked['delivery_id']}")["state"] == "planned"
    (act,) = program.ask("activity?kind=order_ingested")
    assert (act["actor"], act["reason"], act["order_id"]) == ("operator:api", "by phone", "7001")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"source": "threedcart", "order_ids": ["1"]}, 422),
        ({"source": "nonsense", "order_ids": ["1"]}, 422),
        ({"source": "studiocart", "order_ids": []}, 422),
        ({"source": "studiocart", "order_ids": ["a\0b"]}, 422),
        ({"source": "studiocart", "order_ids": [str(each) for each in range(11)], "dry_run": True}, 422),
        ({"source": "studiocart", "order_ids": ["4711"], "dry_run": True}, 409),
    ],
)
def test_order_is_refused_when_it_cannot_be_asked_for(
    program: Program, rig: Rig, body: dict[str, Any], status: int
) -> None:
    assert_problem(program.act("ingest", **body), status)
    assert count(rig, deliveries) == 0


def test_backfill_is_reported_when_a_worker_did_it(program: Program, rig: Rig) -> None:
    rig.sell(7001)
    asked = program.act("backfills", **WINDOW, reason="before the start")
    assert (asked.status_code, asked.json()["state"]) == (202, "requested")
    assert (program.dispatcher.backfills, count(rig, orders)) == (1, 0)
    assert len(work(rig)) == 1
    done = report(program, asked.json()["id"])
    assert (done["state"], done["new"], done["gives_access"], done["error"]) == ("done", 1, 1, None)
    assert work(rig) == []
    assert [each["id"] for each in program.ask("backfills")] == [asked.json()["id"]]
    acts = {act["kind"]: act["text"] for act in program.ask("activity") if act["kind"].startswith("backfill")}
    assert acts["backfill_ended"] == "ended a backfill of studiocart: 1 order, 1 new, 0 changed"
    assert set(acts) == {"backfill_requested", "backfill_begun", "backfill_ended"}
    with rig.ledger.read() as connection:
        assert not [name for name in connection.scalars(select(marks.c.name)) if name.startswith("backfill")]


def test_backfill_changes_nothing_when_it_is_a_dry_run(program: Program, rig: Rig) -> None:
    rig.sell(7001)
    asked = program.act("backfills", **WINDOW, dry_run=True).json()
    assert work(rig) == []
    assert (report(program, asked["id"])["state"], report(program, asked["id"])["new"]) == ("done", 1)
    assert count(rig, orders) == 0


def test_backfill_is_taken_over_when_its_worker_vanished(program: Program, rig: Rig) -> None:
    rig.sell(7001)
    asked = program.act("backfills", **WINDOW).json()
    assert len(work(rig, stops=True)) == 1  # it ends after its first page
    running = report(program, asked["id"])
    assert (running["state"], running["orders"], running["new"]) == ("running", 1, 1)
    assert work(rig) == []  # what was done is not done again
    done = report(program, asked["id"])
    assert (done["state"], done["orders"], done["new"], done["gives_access"]) == ("done", 1, 1, 1)


def test_backfills_take_one_worker_when_many_are_asked_for(program: Program, rig: Rig) -> None:
    rig.sell(7001)
    for _ in range(2):
        program.act("backfills", **WINDOW)
    with rig.ledger.write() as connection:
        periodic_tasks.begin(connection, MARK, now=rig.clock(), holder="another")
    assert work(rig) == []
    assert count(rig, orders) == 0
    rig.clock.move(HELD_SECONDS + 1)
    assert len(work(rig)) == 1
    assert {each["state"] for each in program.ask("backfills")} == {"done"}


@pytest.mark.parametrize("dry_run", [False, True])
def test_backfill_keeps_its_report_when_another_worker_took_it_over(
    program: Program, rig: Rig, *, dry_run: bool
) -> None:
    rig.sell(7001)
    asked = [program.act("backfills", **WINDOW, dry_run=dry_run).json()["id"] for _ in range(2)]
    reports = list[Any]()

    def another_goes_on() -> None:
        rig.clock.move(HELD_SECONDS + 1)
        work(rig)
        reports.extend(report(program, each) for each in asked)

    work(rig, meanwhile=another_goes_on)
    assert [each["state"] for each in reports] == ["done", "done"]
    assert [report(program, each) for each in asked] == reports
    ends = [act for act in program.ask("activity") if act["kind"] in {"backfill_ended", "backfill_previewed"}]
    assert len(ends) == 2


def test_mark_stays_when_another_worker_holds_it(rig: Rig) -> None:
    with rig.ledger.write() as connection:
        periodic_tasks.begin(connection, MARK, now=rig.clock(), holder="another")
        periodic_tasks.drop(connection, MARK, holder="a-worker")
        assert not periodic_tasks.note_done(connection, MARK, now=rig.clock(), holder="a-worker")
        assert periodic_tasks.note_done(connection, MARK, now=rig.clock(), holder="another")


def test_backfill_waits_when_its_source_is_paused(program: Program, rig: Rig) -> None:
    rig.sell(7001)
    asked = program.act("backfills", **WINDOW).json()["id"]
    program.act("systems/studiocart/pause", reason="they move")
    assert work(rig) == []
    assert report(program, asked)["state"] == "requested"
    program.act("systems/studiocart/resume")
    assert len(work(rig, meanwhile=lambda: program.act("systems/studiocart/pause"))) == 1
    assert report(program, asked)["state"] == "running"
    acts = {act["kind"]: act["text"] for act in program.ask("activity")}
    assert acts["backfill_interrupted"] == (
        "had a backfill of studiocart interrupted (studiocart is paused): 1 order, 1 new so far"
    )
    program.act("systems/studiocart/resume")
    assert work(rig) == []
    done = report(program, asked)
    assert (done["state"], done["orders"], done["new"], done["changed"]) == ("done", 1, 1, 0)


def test_backfill_stays_due_when_the_ledger_is_away(program: Program, rig: Rig) -> None:
    rig.sell(7001)
    asked = program.act("backfills", **WINDOW).json()["id"]

    def server_is_lost() -> None:
        raise OperationalError("x", {}, Exception("server closed the connection"))

    with pytest.raises(OperationalError):
        work(rig, meanwhile=server_is_lost)
    assert report(program, asked)["state"] == "running"
    work(rig)
    assert report(program, asked)["state"] == "done"


def test_backfill_says_what_to_do_when_a_fault_of_our_own_ends_it(program: Program, rig: Rig) -> None:
    rig.sell(7001)
    asked = program.act("backfills", **WINDOW).json()["id"]

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work(rig, meanwhile=fail)
    failed = report(program, asked)
    assert (failed["state"], failed["error"].endswith("Ask for it again.")) == ("failed", True)
    assert "Error" not in failed["error"]


def test_backfill_ends_when_nobody_did_it_in_time(program: Program, rig: Rig) -> None:
    asked = program.act("backfills", **WINDOW).json()["id"]
    rig.clock.move(KNOWN_DAYS * 86_400 + 1)
    unseen = report(program, asked)
    assert unseen["state"] == "failed"  # also where no worker ever comes
    assert unseen["error"].endswith("Ask for it again.")
    work(rig)
    ended = report(program, asked)
    assert (ended["state"], ended["error"], count(rig, orders)) == ("failed", unseen["error"], 0)
    assert "backfill_failed" in {act["kind"] for act in program.ask("activity")}
    rig.clock.move(KNOWN_DAYS * 86_400 + 1)
    assert program.ask("backfills") == []


def test_backfill_has_failed_when_nobody_ever_came_to_it(program: Program, rig: Rig) -> None:
    asked = program.act("backfills", **WINDOW).json()["id"]
    rig.clock.move(KNOWN_DAYS * 86_400 - 1)
    assert report(program, asked)["state"] == "requested"
    rig.clock.move(2)
    ended = report(program, asked)
    assert (ended["state"], ended["error"].endswith("Ask for it again.")) == ("failed", True)
    rig.clock.move(KNOWN_DAYS * 86_400)
    assert program.ask("backfills") == []


def test_backfill_ends_when_its_source_was_turned_off(program: Program, rig: Rig) -> None:
    asked = program.act("backfills", **WINDOW).json()["id"]

    def off(_source: str) -> Backfiller:
        raise ConfigurationError("studiocart is not configured")

    perform_open(
        rig.ledger, off, holder="a-worker", clock=rig.clock, send_runs=lambda _: None, should_stop=lambda: False
    )
    ended = report(program, asked)
    assert (ended["state"], ended["error"]) == ("failed", "studiocart is not configured")


def test_backfill_says_why_when_its_source_fails(program: Program, rig: Rig) -> None:
    rig.sandbox.inject(Fault(system="studiocart", operation="*", status=503, times=50))
    asked = program.act("backfills", **WINDOW).json()
    work(rig)
    failed = report(program, asked["id"])
    assert failed["state"] == "failed"
    assert "503" in failed["error"]
    assert failed["ended_at"] is not None


@pytest.mark.parametrize(
    "body",
    [
        {"source": "threedcart", "since": "2020-01-01"},
        {"source": "studiocart"},
        {"source": "studiocart", "since": "2020-01-02", "until": "2020-01-01"},
    ],
)
def test_backfill_is_refused_when_it_has_no_window_or_source(program: Program, body: dict[str, Any]) -> None:
    assert_problem(program.act("backfills", **body), 422)
    assert_problem(program.get("/api/v1/backfills/nothing", headers=BEARER), 404)


def test_learner_is_forgotten_when_a_program_means_it(program: Program, rig: Rig, tmp_path: Path) -> None:
    rig.enrol()
    email = "JANE@example.test"
    refused = program.act("learners/forget", email=email, yes=True)  # its run is open
    assert_problem(refused, 409)
    assert "jane" not in refused.text.lower()
    rig.go_on()
    assert_problem(program.act("learners/forget", email=email), 422)
    held = program.act("learners/forget", email=email, dry_run=True).json()
    assert (held["result"], held["receipt"]) == ("nothing", None)
    assert "1 run, 1 order" in held["message"]
    done = program.act("learners/forget", email=email, yes=True, reason="asked by mail").json()
    assert done["receipt"]["pseudonym"] in done["message"]
    assert done["receipt"]["erasure_id"]
    assert_problem(program.get("/api/v1/why?subject=jane@example.test", headers=BEARER), 404)
    (act,) = program.ask("activity?kind=learner_forgotten")
    assert (act["actor"], act["reason"]) == ("operator:api", "asked by mail")
    assert_problem(program.act("learners/forget", email="nobody@example.test", yes=True), 404)
    refused = program.act("learners/forget", email="nobody", yes=True)
    assert_problem(refused, 422)
    assert "nobody" not in refused.text
