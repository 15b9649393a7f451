"""The ledger's schema on both databases: migrations, what they make, and what the database itself refuses."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from fastapi import FastAPI
from sqlalchemy import event, inspect, text, update
from sqlalchemy.exc import DBAPIError

from tests.unit.worker.web.asking import AppClient, RecordingDispatcher
from tests.unit.workflows.fakes.storefront import JANE, NOW, an_order, record
from worker.ledger import guards
from worker.ledger.learners.erasure import find_person, forget
from worker.ledger.runs.recoveries import shut_out_planners
from worker.ledger.search.index import is_of_model
from worker.ledger.session import Ledger, SchemaMismatchError
from worker.ledger.states import RunState
from worker.ledger.tables.base import LedgerModel
from worker.ledger.tables.runs import events, order_versions, runs
from worker.web.health import health_routes

REPOSITORY = Path(__file__).parents[3]
HEAD = max(path.name for path in (REPOSITORY / "migrations" / "versions").glob("0*.py"))[:4]
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
        return {name for name in inspect(connection).get_table_names() if is_of_model(name, "table")}


def test_models_and_migrations_agree_when_all_have_run(ledger: Ledger) -> None:
    ledger.migrate()
    with ledger.read() as connection:
        opts = {"compare_type": True, "compare_server_default": True, "include_name": is_of_model}
        context = MigrationContext.configure(connection, opts=opts)
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
            made = {each["name"] for each in found.get_indexes(name) if is_of_model(each["name"], "index")}
            assert made == {each.name for each in table.indexes}
        (partial,) = [each for each in found.get_indexes("runs") if each["name"] == "uq_runs_one_running_per_lane"]
    assert partial["unique"]
    assert any("running" in str(value) for value in partial["dialect_options"].values())


def test_schema_is_refused_with_the_command_when_it_is_empty(ledger: Ledger) -> None:
    with pytest.raises(SchemaMismatchError, match="Run: cartbridge migrate"):
        ledger.check_schema()
    ledger.migrate()
    ledger.check_schema()


def ready(ledger: Ledger) -> int:
    """What a load balancer is told."""
    web = FastAPI()
    web.include_router(health_routes(ledger, RecordingDispatcher(), Path("offers.toml")))
    with closing(AppClient(web)) as client:
        return client.get("/readyz").status_code


@dataclass(frozen=True)
class LaterVersion:
    """A version with one migration more, which is made up."""

    migrations: Path

    def declare(self, **declared: str) -> None:
        """Write the migration, which says of itself what is given."""
        lines = [
            f"{name} = {value!r}" for name, value in ({"revision": "9999", "down_revision": HEAD} | declared).items()
        ]
        body = "def upgrade():\n    op.create_table('later', sa.Column('id', sa.Integer()))\n"
        text = "\n".join(["from alembic import op", "import sqlalchemy as sa", *lines, body])
        (self.migrations / "versions" / "9999_later.py").write_text(text)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """This process is of that version."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("worker.ledger.session._MIGRATIONS", self.migrations)
            yield


@pytest.fixture
def later(tmp_path: Path) -> LaterVersion:
    for path in (REPOSITORY / "migrations").glob("**/*.py"):
        target = tmp_path / path.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text())
    return LaterVersion(tmp_path / "migrations")


def test_schema_is_refused_with_the_command_when_it_is_older(ledger: Ledger, later: LaterVersion) -> None:
    ledger.migrate()
    later.declare()
    with later.installed():
        with pytest.raises(
            SchemaMismatchError, match=rf"{HEAD} is older than this version's 9999\. Run: cartbridge migrate"
        ):
            ledger.check_schema()
        assert ledger.migrate() == (HEAD, "9999")
        ledger.check_schema()


@pytest.mark.parametrize("declared", [{}, {"tolerates": "9999"}])
def test_newer_schema_is_refused_when_it_does_not_tolerate_this_version(
    ledger: Ledger, later: LaterVersion, declared: dict[str, str]
) -> None:
    later.declare(**declared)
    with later.installed():
        ledger.migrate()
    for refuse in (ledger.check_schema, ledger.migrate):
        with pytest.raises(SchemaMismatchError, match=r"9999 is newer .* Install the newer Cartbridge"):
            refuse()
    assert ready(ledger) == 503


@pytest.mark.parametrize("oldest", [HEAD, "0001"])
def test_newer_schema_is_accepted_with_one_line_when_it_tolerates_this_version(
    ledger: Ledger, later: LaterVersion, oldest: str, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.migrate()
    ledger.check_schema()
    later.declare(tolerates=oldest)
    with later.installed():
        assert ledger.migrate() == (HEAD, "9999")
    for _ in range(3):
        ledger.check_schema()
    assert [record.getMessage() for record in caplog.records if record.name == "worker.ledger.session"] == [
        f"the ledger's schema 9999 is newer than this version's {HEAD}, and lets it go on: upgrade this process too"
    ]
    assert ready(ledger) == 200
    record(ledger, an_order())
    with pytest.raises(SchemaMismatchError, match="9999 is newer"):
        ledger.migrate()


def test_newer_schema_is_refused_when_what_tolerates_was_said_of_another(ledger: Ledger) -> None:
    """As after a migration by other means than `migrate`."""
    ledger.migrate()
    with ledger.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaMismatchError, match="9999 is newer"):
        ledger.check_schema()
    with ledger.write() as connection:
        connection.execute(text("DROP TABLE schema_tolerance"))
    with pytest.raises(SchemaMismatchError, match="9999 is newer"):
        ledger.check_schema()


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
    assert ledger.migrate() == (None, HEAD)
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
        assert sorted(before or "" for before in pool.map(migrate, ledgers)) == ["", HEAD, HEAD, HEAD]


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


def test_every_guard_is_in_place_when_the_schema_is_new(ledger: Ledger) -> None:
    ledger.migrate()
    with ledger.read() as connection:
        expected = guards.ON_SQLITE if ledger.is_sqlite else guards.ON_POSTGRESQL
        assert guards.digests(connection) == expected
        assert guards.guard_warning(connection) is None


def test_missing_guard_is_noticed_when_a_trigger_is_dropped_or_replaced(ledger: Ledger) -> None:
    ledger.migrate()
    drop = (
        "DROP TRIGGER events_refuse_update"
        if ledger.is_sqlite
        else "ALTER TABLE events DISABLE TRIGGER events_refuse_change"
    )
    name = "events_refuse_update" if ledger.is_sqlite else "events_refuse_change"
    with ledger.write() as connection:
        connection.exec_driver_sql(drop)
    with ledger.read() as connection:
        assert guards.missing_guards(connection) == [name]
        assert name in (guards.guard_warning(connection) or "")
    with ledger.write() as connection:
        if ledger.is_sqlite:
            connection.exec_driver_sql(
                "CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events BEGIN SELECT 1; END"
            )
        else:
            connection.exec_driver_sql("ALTER TABLE events ENABLE TRIGGER USER")
            connection.exec_driver_sql(
                "CREATE OR REPLACE FUNCTION events_refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RETURN NEW; END $$"
            )
    with ledger.read() as connection:
        assert guards.missing_guards(connection) == [name]


def test_row_that_would_replace_another_is_refused(ledger: Ledger) -> None:
    ledger.migrate()
    record(ledger, an_order())
    replace = {
        True: "INSERT OR REPLACE INTO events (id, at, kind, actor, detail) "
        "SELECT id, at, 'other', actor, detail FROM events LIMIT 1",
        False: "INSERT INTO events (id, at, kind, actor, detail) SELECT id, at, 'other', actor, detail FROM events "
        "ORDER BY id LIMIT 1 ON CONFLICT (id) DO UPDATE SET kind = EXCLUDED.kind",
    }[ledger.is_sqlite]
    with pytest.raises(DBAPIError, match="events is only added to"), ledger.write() as connection:
        connection.exec_driver_sql(replace)


def test_tables_are_told_as_owned_when_the_role_made_them(ledger: Ledger) -> None:
    ledger.migrate()
    with ledger.read() as connection:
        assert guards.owned_tables(connection) == ([] if ledger.is_sqlite else ["events", "order_versions"])


def test_role_that_does_not_own_the_tables_does_all_its_work_and_cannot_rewrite_them(postgres_url: str) -> None:
    """As docs/security.md lays out."""
    ledger = Ledger(postgres_url)
    ledger.migrate()
    with ledger.write() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS cartbridge_worker")
        connection.exec_driver_sql("CREATE ROLE cartbridge_worker")
        connection.exec_driver_sql("GRANT USAGE ON SCHEMA public TO cartbridge_worker")
        connection.exec_driver_sql(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO cartbridge_worker"
        )
        connection.exec_driver_sql("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO cartbridge_worker")

    @event.listens_for(ledger.engine, "checkout")
    def be_the_worker(connection: Any, *_: Any) -> None:
        connection.autocommit = True
        connection.execute("SET ROLE cartbridge_worker")
        connection.autocommit = False

    ledger.check_schema()
    record(ledger, an_order())
    with ledger.read() as connection:
        assert guards.owned_tables(connection) == []
        assert guards.guard_warning(connection) is None
    with ledger.write() as connection:
        shut_out_planners(connection)
        connection.execute(update(runs).values(state="succeeded", finished_at=NOW, next_attempt_at=None))
        forget(connection, find_person(connection, JANE.email), now=NOW, actor="operator:ann", reason="Jane asked")
    with pytest.raises(DBAPIError, match="only added to"), ledger.write() as connection:
        connection.exec_driver_sql("UPDATE events SET actor = 'nobody'")
    with pytest.raises(DBAPIError, match="must be owner"), ledger.write() as connection:
        connection.exec_driver_sql("ALTER TABLE events DISABLE TRIGGER USER")
    ledger.close()
