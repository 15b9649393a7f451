from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Run
from tests.unit.workflows.fakes.storefront import ONE_OFFER, an_order, record
from worker.ledger.session import Ledger

KIM = ("--email", "kim@example.test", "--first", "Kim", "--last", "Lee")


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "offers.toml").write_text(ONE_OFFER)
    monkeypatch.setattr("tasks.dispatch.Dispatcher.send_runs", lambda *_: True)


@pytest.fixture
def nameless(ledger: Ledger, run: Run) -> str:
    """The review of the second seat of order 1109."""
    record(ledger, an_order(quantity=2))
    [found] = json.loads(run("runs", "list", "--review-reason", "unnamed_seat", "--json").stdout)
    return str(found["id"])


def emails(run: Run) -> list[str | None]:
    found = json.loads(run("runs", "list", "--json").stdout)
    return sorted(each["email"] or "" for each in found if each["state"] != "cancelled")


def test_a_seat_is_named_once_when_the_command_is_given_twice(run: Run, nameless: str) -> None:
    dry = run("seats", "name", nameless[:12], *KIM, "--dry-run")
    assert dry.exit_code == 0
    assert "learningcart addCustomer email=kim@example.test first=Kim last=Lee" in dry.stdout
    assert emails(run) == ["", "jane@example.test"]
    done = run("seats", "name", nameless, *KIM, "--reason", "she rang", "--json")
    assert (done.exit_code, json.loads(done.stdout)[0]["result"]) == (0, "named")
    assert emails(run) == ["jane@example.test", "kim@example.test"]
    again = run("seats", "name", nameless, *KIM)
    assert (again.exit_code, "already" in again.stdout) == (0, True)
    assert emails(run) == ["jane@example.test", "kim@example.test"]


def test_a_group_is_named_from_a_file_when_its_order_is_given(run: Run, ledger: Ledger, tmp_path: Path) -> None:
    record(ledger, an_order(quantity=3))
    (tmp_path / "names.csv").write_text("email,first,last\nkim@example.test,Kim,Lee\nbob@example.test,Bob,Ray\n")
    command = ("seats", "name", "--order", "1109", "--file", "names.csv")
    assert run(*command).exit_code == 2  # nobody to ask
    dry = run(*command, "--dry-run")
    assert (dry.stdout.count("addCompOrder"), dry.stderr) == (2, "2 seats would be named.\n")
    assert emails(run) == ["", "", "jane@example.test"]
    assert run(*command, "--yes").exit_code == 0
    assert emails(run) == ["bob@example.test", "jane@example.test", "kim@example.test"]
    shown = run("orders", "show", "1109").stdout
    assert (shown.count("named here"), "unnamed_seat" in shown, "(2 more like it.)" in shown) == (2, False, False)
    again = run(*command, "--yes")
    assert (again.exit_code, "has a seat" in again.stdout) == (0, True)
    (tmp_path / "names.csv").write_text("kim@@example.test,Kim,Lee\n")
    bad = run(*command, "--yes")
    assert (bad.exit_code, "Line 1: the address has more than one @" in bad.stderr) == (1, True)


def test_it_is_misuse_or_refused_when_it_is_not_said_whose_seat_it_is(run: Run, nameless: str) -> None:
    for arguments in ((), (nameless,), ("--order", "1109"), (nameless, *KIM, "--order", "1109"), (nameless, "--again")):
        assert run("seats", "name", *arguments).exit_code == 2
    assert run("seats", "name", nameless, *KIM, "--again").exit_code == 2  # without a reason
    assert run("seats", "name", "nobody", *KIM).exit_code == 1
    refused = run("seats", "name", nameless, "--email", "kim")
    assert (refused.exit_code, "has no @" in refused.stderr) == (1, True)
