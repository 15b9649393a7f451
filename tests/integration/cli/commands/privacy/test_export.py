from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tests.integration.cli.conftest import Run
from tests.unit.workflows.fakes.storefront import JANE, JOHN, NOW, a_line, an_order, record
from worker.ledger.events import record_event
from worker.ledger.orders.operator_entries import add_note
from worker.ledger.outbox import add_event
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import events, runs
from worker.sources.order import Address, Learner, Seat

MARY = Learner(email="mary@example.test", first_name="Mary", last_name="Moe", address=Address(city="Maryville"))


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """Jane bought a seat for herself, and one for John; Mary bought another order."""
    seats = [Seat(id="participant-1", learner=JANE), Seat(id="participant-2", learner=JOHN)]
    record(ledger, an_order(lines=[a_line(seats=seats)]))
    record(ledger, an_order("1110", learner=MARY))
    with ledger.write() as connection:
        add_event(connection, "enrolment.succeeded", {"email": JANE.email, "name": "Jane Doe"}, now=NOW)
        run = connection.execute(select(runs).where(runs.c.email == JANE.email)).one()
        connection.execute(update(runs).where(runs.c.id == run.id).values(note="Asked together with John Roe\nby mail"))
        about = {"at": NOW, "run_id": run.id, "source": "studiocart", "order_id": "1109"}
        record_event(connection, kind="run_failed", actor="engine", detail={"error": "RefusedError: no seat"}, **about)
    return ledger


def test_everything_of_a_person_is_told_and_nothing_of_others(run: Run, filled: Ledger) -> None:
    result = run("export", "JANE@example.test", "--json", "--reason", "Jane Doe asked")
    assert result.exit_code == 0
    reported = json.loads(result.stdout)
    assert reported["email"] == reported["learner"]["email_key"] == JANE.email
    [order] = reported["orders"]
    assert (order["order_id"], order["buyer_name"], len(order["versions"])) == ("1109", "Jane Doe", 1)
    seats = order["document"]["lines"][0]["seats"]
    assert [seat["learner"] for seat in seats] == [JANE.model_dump(mode="json"), "[another person]"]
    [own] = reported["runs"]
    assert own["note"] == "Asked together with [another person]\nby mail"
    assert "run_failed" in {event["kind"] for event in own["events"]}
    assert reported["messages"][0]["payload"]["data"]["name"] == "Jane Doe"
    for other in ("john", "roe", "mary", "maryville"):
        assert other not in result.stdout.casefold()


def test_buyer_is_left_out_when_somebody_else_in_the_order_asks(run: Run, filled: Ledger) -> None:
    result = run("export", JOHN.email, "--json")
    assert "john" in result.stdout.casefold()
    assert "jane" not in result.stdout.casefold()


def test_text_is_for_people_when_no_json_is_asked_for(run: Run, filled: Ledger) -> None:
    result = run("export", JANE.email)
    assert "buyer name: Jane Doe" in result.stdout
    assert "note: Asked together with [another person]\\nby mail" in result.stdout


def test_trail_keeps_that_it_was_done_and_not_of_whom(run: Run, filled: Ledger) -> None:
    run("export", JANE.email, "--reason", "Jane Doe (jane@example.test) asked")
    with filled.read() as connection:
        [reported] = connection.execute(select(events).where(events.c.kind == "learner_exported")).all()
    assert (reported.actor, reported.reason) == ("operator:ann", "[person] ([person]) asked")
    assert reported.detail["orders"] == 1


def test_file_is_private_when_it_is_written(run: Run, filled: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "jane.json"
    assert run("export", JANE.email, "--json", "--output", str(path)).exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["email"] == JANE.email
    result = run("export", JANE.email, "--output", str(path))
    assert (result.exit_code, "not there yet" in result.stderr) == (1, True)


@pytest.mark.parametrize(("email", "code"), [("nobody@example.test", 1), ("jane", 2)])
def test_nobody_is_exported_when_nobody_is_known(run: Run, filled: Ledger, email: str, code: int) -> None:
    result = run("export", email)
    assert (result.exit_code, result.stdout) == (code, "")


def test_old_rows_are_counted_when_retention_is_only_looked_at(run: Run, filled: Ledger) -> None:
    result = run("retention", "--dry-run", "--json")
    assert result.exit_code == 0
    assert set(json.loads(result.stdout)) == {
        "order_versions", "deliveries", "attempt_texts", "run_notes", "event_texts", "sent_messages",
        "order_notes", "completions",
    }  # fmt: skip
    assert run("retention").exit_code == 2  # nobody to ask
    assert run("retention", "--yes").exit_code == 0


def test_text_about_others_is_told_when_it_names_the_person(run: Run, filled: Ledger) -> None:
    with filled.write() as connection:
        typed = "Jane Doe asked for Mary Moe <mary@example.test>"
        add_note(connection, "studiocart", "1110", typed, actor="operator:ann", now=NOW)
        add_note(connection, "studiocart", "1110", "About Mary Moe alone", actor="operator:ann", now=NOW)
    [mention] = json.loads(run("export", JANE.email, "--json").stdout)["mentions"]
    assert (mention["table"], mention["text"]) == (
        "order_notes",
        "Jane Doe asked for [another person] <[another person]>",
    )
