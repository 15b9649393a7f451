from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Run
from tests.unit.workflows.fakes.storefront import JANE, NOW, an_order, record, rows, run_of
from worker.ledger.session import Ledger
from worker.ledger.tables.operator_entries import order_notes
from worker.ledger.tables.web import operators
from workflows.planning.offers_file import OffersFile

OWN = "a password of Kari's own"


def add(run: Run, name: str = "Kari", *more: str) -> None:
    assert run("operators", "add", name, "--password-stdin", *more, input=f"{OWN}\nmore\n").exit_code == 0


def test_operators_are_added_listed_and_removed_when_named(run: Run, ledger: Ledger) -> None:
    assert "admin password" in run("operators", "list").stdout
    add(run, " Kari  Nordmann ", "--reason", "she is new")
    assert run("operators", "list", "--json").stdout.count("Kari Nordmann") == 1
    assert "operator:ann" in run("operators", "list").stdout
    (row,) = rows(ledger, operators)
    assert row.password_hash.startswith("$argon2id$")
    again = run("operators", "add", "KARI nordmann", "--password-stdin", input=f"{OWN}\n")
    assert (again.exit_code, "remove" in again.stderr) == (1, True)
    dry = run("operators", "add", "KARI nordmann", "--dry-run")
    assert (dry.exit_code, dry.stderr) == (1, again.stderr)
    assert "would remove" in run("operators", "remove", "kari nordmann", "--dry-run").stdout
    assert len(rows(ledger, operators)) == 1
    assert (
        run("operators", "remove", "kari nordmann").stdout == "removed operator Kari Nordmann: signed out everywhere\n"
    )
    assert run("operators", "remove", "kari nordmann").exit_code == 1
    assert json.loads(run("operators", "list", "--json").stdout) == []
    acts = json.loads(run("activity", "--json").stdout)
    assert [(act["kind"], act["who"], act["reason"]) for act in acts] == [
        ("operator_removed", "ann", None),
        ("operator_added", "ann", "she is new"),
    ]
    assert acts[0]["text"] == "removed operator Kari Nordmann"


@pytest.mark.parametrize(
    ("name", "password", "code"),
    [("admin", OWN, 1), ("API", OWN, 1), ("", OWN, 1), ("x" * 61, OWN, 1), ("Kari", "short", 1), ("Kari", "", 1)],
)
def test_operator_is_refused_when_name_or_password_cannot_be_taken(
    run: Run, ledger: Ledger, name: str, password: str, code: int
) -> None:
    refused = run("operators", "add", name, "--password-stdin", input=f"{password}\n")
    assert refused.exit_code == code
    assert rows(ledger, operators) == []
    assert password not in refused.stderr or not password


def test_password_is_not_asked_when_there_is_no_terminal(run: Run, ledger: Ledger) -> None:
    refused = run("operators", "add", "Kari", input=f"{OWN}\n{OWN}\n")
    assert refused.exit_code == 2
    assert "--password-stdin" in refused.stderr
    assert "would add operator Kari" in run("operators", "add", "Kari", "--dry-run").stdout


def test_password_is_asked_twice_when_there_is_a_terminal(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.cli.commands.operators.accounts.is_terminal", lambda: True)
    assert run("operators", "add", "Kari", input=f"{OWN}\nanother one\n{OWN}\n{OWN}\n").exit_code == 0
    assert len(rows(ledger, operators)) == 1


def test_activity_is_filtered_when_asked(run: Run, ledger: Ledger, tmp_path: Path) -> None:
    assert run("activity").stdout == "No acts.\n"
    record(ledger, an_order())
    run_id = run_of(ledger, "1109/1107/buyer/501").id
    assert run("runs", "cancel", run_id, "--reason", "bought twice", "--yes").exit_code == 0
    assert run("pause", "learningcart", "--reason", "they move").exit_code == 0
    reported = run("activity").stdout
    assert "cancelled the run" in reported
    assert "they move" in reported
    for arguments, count in (
        (("--who", "Ann"), 2),
        (("--who", "kari"), 0),
        (("--what", "run_cancelled"), 1),
        (("--about", "studiocart/1109"), 1),
        (("--about", "1109"), 1),
        (("--about", run_id), 1),
        (("--until", "2001-01-01"), 0),
        (("--since", "1h"), 2),
        (("--limit", "1"), 1),
    ):
        assert len(json.loads(run("activity", "--json", *arguments).stdout)) == count, arguments
    table = list(csv.DictReader(io.StringIO(run("activity", "--csv").stdout)))
    assert [row["system"] for row in table] == ["learningcart", ""]
    assert run("activity", "--what", "nonsense").exit_code == 2


def test_a_note_stands_in_the_story_when_it_was_written(run: Run, ledger: Ledger) -> None:
    record(ledger, an_order())
    assert "would write on studiocart/1109: Jane rang" in run("orders", "note", "1109", "Jane rang", "--dry-run").stdout
    assert rows(ledger, order_notes) == []
    text = " Jane rang:\r\n\r\n\r\n\r\nshe has two \x1b[31maddresses  "
    assert run("orders", "note", "studiocart/1109", text).exit_code == 0
    (note,) = json.loads(run("orders", "show", "studiocart/1109", "--json").stdout)["notes"]
    assert (note["actor"], note["text"]) == ("operator:ann", "Jane rang:\n\nshe has two \\x1b[31maddresses")
    assert "she has two" in run("orders", "show", "studiocart/1109").stdout
    assert "ann noted on studiocart/1109: Jane rang: she has two" in run("why", JANE.email).stdout
    assert "Jane" not in run("activity").stdout
    assert "wrote a note" in run("activity").stdout
    assert run("orders", "note", "1110", "x").exit_code == 1
    assert run("orders", "note", "1109", " \n ").exit_code == 1
    assert run("orders", "note", "1109", "x" * 2001).exit_code == 1


def test_a_change_of_the_offers_file_is_an_act_of_somebody_when_a_process_sees_it(
    ledger: Ledger, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "offers.toml"
    path.write_text("", encoding="utf-8")
    OffersFile(path, ledger).keep(NOW)
    assert json.loads(run("activity", "--json").stdout) == []
    ignore = '[[ignore]]\nsource = "studiocart"\nproduct_id = "{}"\n'
    for text in (ignore.format(1), ignore.format(1), "nonsense", "still nonsense", ignore.format(22)):
        path.write_text(text, encoding="utf-8")
        for _ in range(2):
            OffersFile(path, ledger).keep(NOW)
    acts = json.loads(run("activity", "--json").stdout)
    assert [(act["kind"], act["who"]) for act in acts] == [
        ("offers_changed", "unknown"),
        ("offers_unusable", "unknown"),
        ("offers_changed", "unknown"),
    ]
