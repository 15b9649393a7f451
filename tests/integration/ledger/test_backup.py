"""An older copy of the ledger brought back by the commands of `docs/backup.md`: no seat gets a second comped order."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner, Result

from tests.faults.harness.offers import OFFERS
from tests.faults.harness.product import HandClock, Rig, let_lease_end
from tests.integration.servers import PostgresServer
from worker.cli.app import app
from worker.ledger.periodic.periodic_tasks import TaskName
from worker.ledger.tables.periodic import periodic_tasks
from worker.sandbox import Fault, Sandbox

pytestmark = pytest.mark.integration


def email_of(order_id: int) -> str:
    return f"learner-{order_id}@example.test"


BEFORE, DUE, CUT, REFUSED, HELD, AFTER, BUNDLE, UNSEEN = range(7001, 7009)
"""Done before the copy; due, cut off, to be tried again and held while it was made; new after it, the last not seen."""
START_AT = "2024-01-01"
"""After the one order that the sandbox's shop begins with."""
SEATS = sorted(
    [
        *((email_of(order), 501) for order in (BEFORE, DUE, CUT, REFUSED, HELD, AFTER, UNSEEN)),
        (email_of(BUNDLE), 601),
        (email_of(BUNDLE), 602),
    ]
)


class SqliteCopy:
    """`docs/backup.md` on SQLite."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder = url, folder
        self._ledger, self._copy = Path(make_url(url).database or ""), folder / "copy.db"

    def take(self) -> None:
        connection = sqlite3.connect(self._ledger)
        connection.execute("VACUUM INTO ?", (str(self._copy),))
        connection.close()

    def bring_back(self) -> str:
        """Move the newer ledger aside, all three files of it; returns the URL of the older one."""
        aside = self._folder / "aside"
        aside.mkdir()
        for file in self._folder.glob(f"{self._ledger.name}*"):
            file.rename(aside / file.name)
        shutil.copyfile(self._copy, self._ledger)
        return self._url


class PostgresCopy:
    """`docs/backup.md` on PostgreSQL."""

    def __init__(self, url: str, folder: Path, server: PostgresServer) -> None:
        self._url, self._copy, self._server = url, folder / "copy.dump", server
        self._restored: str | None = None

    def take(self) -> None:
        self._run("pg_dump", "--format=custom", "--no-owner", f"--file={self._copy}", url=self._url)

    def bring_back(self) -> str:
        """Restore into a database of its own: the newer ledger stays as it is. Returns the URL of the older one."""
        self._restored = restored = self._server.create_database()
        self._run("pg_restore", "--no-owner", "--exit-on-error", "--single-transaction", str(self._copy), url=restored)
        return restored

    def drop(self) -> None:
        if self._restored is not None:
            self._server.drop_database(self._restored)

    def _run(self, program: str, *arguments: str, url: str) -> None:
        plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        command: list[str | Path] = [self._server.programs / program, *arguments, f"--dbname={plain}"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr


@pytest.fixture
def copy(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[SqliteCopy | PostgresCopy]:
    if database_url.startswith("sqlite"):
        yield SqliteCopy(database_url, tmp_path)
        return
    on_server = PostgresCopy(database_url, tmp_path, request.getfixturevalue("postgres_server"))
    yield on_server
    on_server.drop()


class Operator:
    """Follows the page: runs its commands, and looks into LearningCart as a person does."""

    def __init__(self, sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._sandbox, self._folder, self._monkeypatch = sandbox, folder, monkeypatch

    def use(self, database_url: str) -> None:
        (self._folder / "offers.toml").write_text(OFFERS)
        variables = self._sandbox.environment(
            systems=("learningcart", "studiocart"),
            CARTBRIDGE_DATABASE_URL=database_url,
            CARTBRIDGE_OFFERS_FILE=str(self._folder / "offers.toml"),
            CARTBRIDGE_STUDIOCART__START_AT=START_AT,
            CARTBRIDGE_STUDIOCART__REQUESTS_PER_SECOND="0",
            CARTBRIDGE_LEARNINGCART__REQUESTS_PER_SECOND="0",
        )
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

    def run(self, *arguments: str, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == exit_code, result.output
        return result

    def findings(self, *, exit_code: int = 1) -> list[dict[str, Any]]:
        found = json.loads(self.run("reconcile", "--since", "2d", "--json", exit_code=exit_code).stdout)
        return list(found["findings"])

    @property
    def effects(self) -> list[dict[str, Any]]:
        """LearningCart's own orders."""
        return [dict(effect.facts) for effect in self._sandbox.effects_of("learningcart", "addCompOrder")]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as started:
        yield started


@pytest.fixture
def operator(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    return Operator(sandbox, tmp_path, monkeypatch)


@pytest.fixture
def open_rig(sandbox: Sandbox, tmp_path: Path) -> Iterator[Callable[[str], Rig]]:
    opened: list[Rig] = []
    clock = HandClock()

    def open_one(url: str) -> Rig:
        opened.append(Rig(sandbox, url, tmp_path, clock=clock, CARTBRIDGE_STUDIOCART__START_AT=START_AT))
        return opened[-1]

    yield open_one
    for rig in opened:
        rig.close()


def enrol(rig: Rig, order_id: int) -> str:
    return rig.enrol(order_id, email=email_of(order_id))


def live_through_a_copy(rig: Rig, copy: SqliteCopy | PostgresCopy) -> str:
    """Orders in every state while the copy is made; afterwards all of them, and new ones, are provisioned.

    Returns the moment of the copy.
    """
    rig.work(enrol(rig, BEFORE))
    enrol(rig, DUE)
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="cut"))
    rig.work(cut := enrol(rig, CUT))
    assert rig.state(cut) == ("waiting", "settling")
    rig.sandbox.inject(Fault("learningcart", "addCompOrder", kind="status", status=429, body="Too many requests"))
    rig.work(refused := enrol(rig, REFUSED))
    assert rig.state(refused) == ("waiting", "retrying")
    held = rig.claim_before_order(enrol(rig, HELD))
    copy.take()
    copied_at = rig.clock().isoformat()
    rig.perform(held)
    rig.finish()
    rig.work(enrol(rig, AFTER))
    rig.sell(BUNDLE, email=email_of(BUNDLE), product_id="1130")
    for run_id in rig.ingest(BUNDLE):
        rig.work(run_id)
    assert {row["state"] for row in rig.rows("runs")} == {"succeeded"}
    rig.sell(UNSEEN, email=email_of(UNSEEN))
    return copied_at


def night(rig: Rig) -> None:
    """What beat does at night, a day after it did so last."""
    with rig.ledger.write() as connection:
        last = periodic_tasks.update().where(periodic_tasks.c.name == TaskName.NIGHTLY_RECONCILIATION)
        connection.execute(last.values(done_at=rig.clock() - timedelta(days=2)))
    rig.runtime.app.tasks["cartbridge.reconcile"].apply(throw=True)


def test_every_seat_has_one_comped_order_when_an_older_copy_was_brought_back(
    database_url: str, copy: SqliteCopy | PostgresCopy, operator: Operator, open_rig: Callable[[str], Rig]
) -> None:
    operator.use(database_url)
    operator.run("migrate")
    lost = open_rig(database_url)
    copied_at = live_through_a_copy(lost, copy)
    lost.close()

    operator.use(restored_url := copy.bring_back())
    operator.run("migrate")
    reported = operator.run("recover", "--without-erasures", "--since", copied_at, "--dry-run").stdout
    assert "3 runs are asked about" in reported  # one was asked about in any case
    operator.run("recover", "--without-erasures", "--since", copied_at, "--yes", "--reason", "the disk broke")
    assert len(operator.effects) == len(SEATS) - 1, "nothing is sent by that"

    restored = open_rig(restored_url)
    let_lease_end(restored)
    restored.runtime.app.tasks["cartbridge.poll"].run("studiocart")
    restored.finish()
    assert sorted((each["email"], each["price_id"]) for each in operator.effects) == SEATS
    assert {row["state"] for row in restored.rows("runs")} == {"succeeded"}
    assert operator.findings(exit_code=0) == []
    [event] = [row for row in restored.rows("events") if row["kind"] == "ledger_recovered"]
    assert (event["reason"], event["detail"]["doubted"]) == ("the disk broke", 3)


def test_learningcart_is_paused_by_night_when_nobody_recovered_the_ledger(
    database_url: str, copy: SqliteCopy | PostgresCopy, operator: Operator, open_rig: Callable[[str], Rig]
) -> None:
    operator.use(database_url)
    operator.run("migrate")
    lost = open_rig(database_url)
    night(lost)  # the first: it is the next that compares
    copied_at = live_through_a_copy(lost, copy)
    lost.close()

    operator.use(restored_url := copy.bring_back())
    restored = open_rig(restored_url)
    made = len(operator.effects)
    night(restored)
    [pause] = restored.rows("pauses")
    assert (pause["system"], pause["kind"], pause["actor"]) == ("learningcart", "restored", "engine")
    assert "cartbridge recover --since" in pause["reason"]
    restored.runtime.app.tasks["cartbridge.poll"].run("studiocart")
    restored.finish()
    assert len(operator.effects) == made, "nothing is sent while LearningCart is paused"

    operator.run("recover", "--without-erasures", "--since", copied_at, "--yes")
    operator.run("resume", "learningcart")
    restored.finish()
    assert sorted((each["email"], each["price_id"]) for each in operator.effects) == SEATS
    night(restored)
    assert restored.rows("pauses") == []
