"""The command line as a process of its own, against the sandbox over real HTTP."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.sandbox import SECRET_MARKS

CARTBRIDGE = (sys.executable, "-c", "from worker.cli.app import main; main()")
OFFERS = '[[offer]]\nsource = "studiocart"\nproduct_id = "1107"\ngrants = [{ price_id = 501, group_ids = [12] }]\n'


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CARTBRIDGE, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A running `cartbridge sandbox`: the variables it printed, of the systems this version speaks to."""
    (tmp_path / "offers.toml").write_text(OFFERS)
    process = subprocess.Popen([*CARTBRIDGE, "sandbox", "--port", "0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    variables: dict[str, str] = {}
    while "CARTBRIDGE_THREEDCART__TOKEN" not in variables:
        export, _, pair = process.stdout.readline().strip().partition(" ")
        assert export == "export"
        name, _, value = shlex.join(shlex.split(pair)).partition("=")
        variables[name] = value
    yield {name: value for name, value in variables.items() if "LEARNINGCART" in name or "STUDIOCART" in name}
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    process.stdout.close()


def test_an_installation_is_checked_and_an_order_taken_in_when_both_systems_answer(sandbox: dict[str, str]) -> None:
    check = run("check", "--json", **sandbox)
    assert check.returncode == 0, check.stderr
    assert json.loads(check.stdout)["ok"] is True

    assert run("ingest", "studiocart", "1109", **sandbox).returncode == 2
    assert run("migrate").returncode == 0
    dry = run("ingest", "studiocart", "1109", "--dry-run", **sandbox)
    would = "would put SC Product 1 for janedoe@email.com in review (older_than_start)"
    assert (dry.returncode, would in dry.stdout) == (0, True)
    assert json.loads(run("runs", "list", "--json").stdout) == []
    taken = run("ingest", "studiocart", "1109", "999999", "--reason", "phone call", "--json", **sandbox)
    assert taken.returncode == 1
    assert [row["ok"] for row in json.loads(taken.stdout)] == [True, False]
    planned = json.loads(run("runs", "list", "--json").stdout)
    assert [row["key"] for row in planned] == ["studiocart/1109/1107/buyer/501"]
    reported = run("why", "studiocart/1109")
    assert (reported.returncode, "To do:" in reported.stdout) == (0, True)
    for shown in (check, dry, taken, reported, run("check", **sandbox), run("status")):
        for mark in SECRET_MARKS:
            assert mark not in shown.stdout + shown.stderr


def test_the_wrong_part_is_named_when_a_system_refuses_or_is_away(sandbox: dict[str, str]) -> None:
    wrong = sandbox | {
        "CARTBRIDGE_LEARNINGCART__PASSWORD": "planted-wrong-word",
        "CARTBRIDGE_STUDIOCART__BASE_URL": "http://127.0.0.1:9/wp-json/sc/v1",
    }
    check = run("check", "--json", **wrong)
    assert check.returncode == 1
    found = {finding["name"]: finding for finding in json.loads(check.stdout)["findings"]}
    assert (found["learningcart"]["reachable"], found["learningcart"]["accepted"]) == (True, False)
    assert "CARTBRIDGE_LEARNINGCART__PASSWORD" in found["learningcart"]["next_step"]
    assert found["studiocart"]["reachable"] is False
    assert "planted" not in check.stdout + check.stderr
