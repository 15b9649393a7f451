from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tests.integration.cli.conftest import Run
from tests.unit.worker.ledger.rows import add_order, add_run
from tests.unit.workflows.fakes.storefront import JOHN, a_line, an_order, record
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import events, learners, runs
from worker.sources.order import Learner, Seat


@pytest.fixture
def run_id(ledger: Ledger) -> str:
    with ledger.write() as connection:
        add_order(connection)
        return add_run(connection, state="succeeded")


def emails(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        return list(connection.scalars(select(learners.c.email)))


def test_learner_is_forgotten_when_it_is_confirmed(run: Run, ledger: Ledger, run_id: str) -> None:
    result = run("forget", "JANE@example.com", "--dry-run")
    assert (result.exit_code, "1 run, 1 order" in result.stdout) == (0, True)
    assert emails(ledger) == ["jane@example.com"]
    assert run("forget", "jane@example.com").exit_code == 2  # nobody to ask
    assert emails(ledger) == ["jane@example.com"]
    result = run("forget", "jane@example.com", "--yes", "--reason", "asked by mail")
    assert result.exit_code == 0
    assert emails(ledger)[0] in result.stdout
    with ledger.read() as connection:
        reported = connection.execute(select(events)).one()
    assert (reported.kind, reported.actor, reported.reason) == ("learner_forgotten", "operator:ann", "asked by mail")
    assert reported.detail["orders"] == ["studiocart/1109"]


def test_learner_is_kept_when_a_run_is_open(run: Run, ledger: Ledger, run_id: str) -> None:
    with ledger.write() as connection:
        connection.execute(update(runs).values(state="review"))
    result = run("forget", "jane@example.com", "--yes")
    assert result.exit_code == 1
    assert f"cartbridge runs cancel {run_id}" in result.stderr
    assert emails(ledger) == ["jane@example.com"]


def test_name_is_refused_when_nobody_has_it(run: Run, ledger: Ledger, run_id: str) -> None:
    for email, code, said in (("jane.doe@example.com", 1, "jane.doe@example.com"), ("jane", 2, "has no @")):
        result = run("forget", email, "--yes")
        assert result.exit_code == code
        assert said in result.stderr


def test_receipt_is_json_when_it_is_asked_for(run: Run, ledger: Ledger, run_id: str, tmp_path: Path) -> None:
    result = run("forget", "jane@example.com", "--yes", "--json", "--reason", "Jane@example.com asked")
    assert result.exit_code == 0
    receipt = json.loads(result.stdout)
    assert receipt["removed"] == {"learners": 1, "orders": 1, "runs": 1, "search_texts": 1}
    assert receipt["pseudonym"] == emails(ledger)[0]
    assert receipt["file_rewritten"] is True
    assert len(receipt["remains"]) == 4
    (line,) = Path(receipt["erasures_file"]).read_text().splitlines()
    assert json.loads(line)["id"] == receipt["erasure_id"]
    assert "jane" not in result.stdout.casefold()
    for each in tmp_path.iterdir():
        assert b"jane@example" not in each.read_bytes().lower()


def test_nothing_is_forgotten_when_the_file_of_erasures_cannot_be_written(
    run: Run, ledger: Ledger, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARTBRIDGE_ERASURES_FILE", "/nowhere/erasures.jsonl")
    result = run("forget", "jane@example.com", "--yes")
    assert result.exit_code == 1
    assert "CARTBRIDGE_ERASURES_FILE" in result.stderr
    assert emails(ledger) == ["jane@example.com"]


def test_other_address_of_the_same_name_is_told_when_it_stands_in_the_same_order(run: Run, ledger: Ledger) -> None:
    slip = Learner(email="z@exmaple.test", first_name="Zelda", last_name="Quux")
    zelda = slip.model_copy(update={"email": "z@example.test"})
    seats = [Seat(id="1", learner=zelda), Seat(id="2", learner=JOHN)]
    record(ledger, an_order(learner=slip, lines=[a_line(seats=seats)]))
    with ledger.write() as connection:
        connection.execute(update(runs).values(state="succeeded", next_attempt_at=None))
    asked = run("forget", zelda.email, "--dry-run").stdout
    receipt = json.loads(run("forget", zelda.email, "--yes", "--json").stdout)
    for told in (asked, " ".join(receipt["remains"])):
        assert "The same name stands in the same orders under z@exmaple.test:" in told
        assert JOHN.email not in told
    assert "same name" not in run("forget", slip.email, "--yes").stdout
