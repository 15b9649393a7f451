"""The ledger's schema on both databases: migrations, what they make, and what the database itself refuses."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from tests.unit.workflows.shop import an_order, record
from worker.ledger.models import LedgerModel, events, order_versions, runs
from worker.ledger.session import Ledger, SchemaMismatchError
from worker.ledger.states import RunState

REPOSITORY = Path(__file__).parents[2]
KILLED_MIDWAY = """
import os, signal, sys
sys.path.insert(0, {repository!r})
from alembic import op
from worker.ledger.session import Ledger

create_table, made = op.create_table, []

def create_and_die(name, *given, **more):
    create_table(name, *given, **more)
    made.append(name)
    if len(made) == {tables}:
        os.kill(os.getpid(), signal.SIGKILL)

op.create_table = create_and_die
Ledger({url!r}).migrate()
"""


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    ledger = Ledger(database_url)
    yield ledger
    ledger.close()


def tables(ledger: Ledger) -> set[str]:
    with ledger.read() as connection:
        return set(inspect(connection).get_table_names())


def test_models_and_migrations_agree_when_all_have_run(ledger: Ledger) -> None:
    ledger.migrate()
    with ledger.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, LedgerModel.metadata) == []


def test_constraints_and_partial_indexes_have_their_names_when_migrated(ledger: Ledger) -> None:
    ledger.migrate()
    with ledger.read() as connection:
        found = inspect(connection)
        assert tables(ledger) == {*LedgerModel.metadata.tables, "alembic_version"}
        for name, table in LedgerModel.metadata.tables.items():
            assert found.get_pk_constraint(name)["name"] == f"pk_{name}"
            assert {each["name"] for each in found.get_foreign_keys(name)} == {
                each.name for each in table.foreign_key_constraints
            }
            assert {each["name"] for each in found.get_indexes(name)} == {each.name for each in table.indexes}
        (partial,) = [each for each in found.get_indexes("runs") if each["name"] == "uq_runs_one_running_per_lane"]
    assert partial["unique"]
    assert any("running" in str(value) for value in partial["dialect_options"].values())


def test_schema_is_refused_with_the_command_when_it_is_empty(ledger: Ledger) -> None:
    with pytest.raises(SchemaMismatchError, match="Run: cartbridge migrate"):
        ledger.check_schema()
    ledger.migrate()
    ledger.check_schema()


def test_schema_is_refused_with_the_command_when_it_is_older(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.migrate()
    later = tmp_path / "migrations" / "versions"
    later.mkdir(parents=True)
    for path in (REPOSITORY / "migrations").glob("**/*.py"):
        if path.parent.name != "__pycache__":
            target = tmp_path / path.relative_to(REPOSITORY)
            target.write_text(path.read_text())
    (later / "9999_later.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\n"
        "revision, down_revision, branch_labels, depends_on = '9999', '0003', None, None\n\n\n"
        "def upgrade():\n    op.create_table('later', sa.Column('id', sa.Integer()))\n"
    )
    monkeypatch.setattr("worker.ledger.session._MIGRATIONS", tmp_path / "migrations")
    with pytest.raises(SchemaMismatchError, match=r"0003 is older than this version's 9999\. Run: cartbridge migrate"):
        ledger.check_schema()
    assert ledger.migrate() == ("0003", "9999")
    ledger.check_schema()
    monkeypatch.undo()
    for refuse in (ledger.check_schema, ledger.migrate):
        with pytest.raises(SchemaMismatchError, match=r"9999 is newer .* Install the newer Cartbridge"):
            refuse()


@pytest.mark.parametrize("killed_after", [1, 6, 10])
def test_schema_is_as_before_when_a_migration_was_killed_midway(
    ledger: Ledger, database_url: str, killed_after: int
) -> None:
    program = KILLED_MIDWAY.format(repository=str(REPOSITORY), url=database_url, tables=killed_after)
    killed = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert tables(ledger) == set()
    with pytest.raises(SchemaMismatchError):
        ledger.check_schema()
    assert ledger.migrate() == (None, "0003")
    ledger.check_schema()


def test_schema_is_migrated_once_when_several_processes_start_at_once(database_url: str) -> None:
    ledgers = [Ledger(database_url) for _ in range(4)]
    together = threading.Barrier(len(ledgers))

    def migrate(ledger: Ledger) -> str | None:
        together.wait()
        before, _ = ledger.migrate()
        ledger.close()
        return before

    with ThreadPoolExecutor(len(ledgers)) as pool:
        assert sorted(before or "" for before in pool.map(migrate, ledgers)) == ["", "0003", "0003", "0003"]


@pytest.mark.parametrize("name", ["events", "order_versions"])
@pytest.mark.parametrize("verb", ["update", "delete"])
def test_database_refuses_to_change_what_is_only_added_to(ledger: Ledger, name: str, verb: str) -> None:
    ledger.migrate()
    record(ledger, an_order())
    table = {"events": events, "order_versions": order_versions}[name]
    change = {"update": table.update().values(source="other"), "delete": table.delete()}[verb]
    with pytest.raises(DBAPIError, match=f"{name} is only added to"), ledger.write() as connection:
        connection.execute(change)
    with ledger.read() as connection:
        assert connection.execute(table.select().where(table.c.source == "studiocart")).all()


def test_database_refuses_a_second_running_run_in_a_lane(ledger: Ledger) -> None:
    ledger.migrate()
    record(ledger, an_order())
    record(ledger, an_order("1110"))
    with pytest.raises(DBAPIError), ledger.write() as connection:
        connection.execute(runs.update().values(state=RunState.RUNNING))


def test_database_refuses_a_run_without_its_order(ledger: Ledger) -> None:
    ledger.migrate()
    record(ledger, an_order())
    with pytest.raises(DBAPIError), ledger.write() as connection:
        connection.execute(runs.update().values(order_id="9999"))


def test_large_totals_and_long_texts_fit(ledger: Ledger) -> None:
    ledger.migrate()
    order = an_order(status="x" * 10_000)
    assert order.total is not None
    record(ledger, order.model_copy(update={"total": order.total.model_copy(update={"minor_units": 2**63 - 1})}))
    with ledger.read() as connection:
        assert connection.scalar(text("SELECT total_minor_units FROM orders")) == 2**63 - 1
