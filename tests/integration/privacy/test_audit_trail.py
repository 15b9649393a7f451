"""The audit trail keeps its lines whatever the database is asked, and says when somebody took its guards away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from tests.unit.workflows.fakes.storefront import an_order, record
from worker.ledger import guards
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import events, order_versions

DISARMED = {
    "for fewer verbs": (
        "DROP TRIGGER events_refuse_change ON events",
        "CREATE TRIGGER events_refuse_change BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION events_refuse()",
    ),
    "never": (
        "DROP TRIGGER events_refuse_change ON events",
        (
            "CREATE TRIGGER events_refuse_change BEFORE UPDATE OR DELETE ON events FOR EACH ROW WHEN (false) "
            "EXECUTE FUNCTION events_refuse()"
        ),
    ),
    "elsewhere": (
        "DROP TRIGGER events_refuse_change ON events",
        "CREATE SCHEMA other",
        "CREATE TABLE other.events (id int)",
        (
            "CREATE TRIGGER events_refuse_change BEFORE UPDATE OR DELETE ON other.events FOR EACH ROW "
            "EXECUTE FUNCTION events_refuse()"
        ),
    ),
    "not for us": ("SET LOCAL session_replication_role = replica",),
    "not when emptied": ("DROP TRIGGER events_refuse_truncate ON events",),
    "of another table": ("ALTER TABLE events RENAME TO kept", "CREATE TABLE events (LIKE kept)"),
}
SQLITE = {
    "of another table": ("ALTER TABLE events RENAME TO kept", "CREATE TABLE events AS SELECT * FROM kept"),
    "of a view": ("ALTER TABLE events RENAME TO kept", "CREATE VIEW events AS SELECT * FROM kept"),
    "erased from the schema": (
        "PRAGMA writable_schema = ON",
        "DELETE FROM sqlite_master WHERE name = 'events_refuse_update'",
    ),
}
REPLACING = {
    "another's key": ["UPDATE OR REPLACE events SET id = 1 WHERE id > 1"],
    "the same": ["REPLACE INTO events SELECT * FROM events WHERE id = 1"],
    "by row id": [
        "INSERT OR REPLACE INTO events (rowid, at, kind, actor, detail) VALUES (1, '2020-01-01', 'x', 'y', '{}')"
    ],
    "another version": ["UPDATE OR REPLACE order_versions SET order_id = '1109' WHERE order_id = '1110'"],
    "by a view": [
        "CREATE TEMP VIEW trail AS SELECT * FROM events",
        (
            "CREATE TEMP TRIGGER trail_writes INSTEAD OF UPDATE ON trail "
            "BEGIN UPDATE events SET kind = NEW.kind WHERE id = OLD.id; END"
        ),
        "UPDATE trail SET kind = 'other'",
    ],
    "from a file beside": ["ATTACH ':memory:' AS beside", "UPDATE main.events SET kind = 'other'"],
    "by a conflict": [
        (
            "INSERT INTO events (id, at, kind, actor, detail) SELECT id, at, 'other', actor, detail FROM events "
            "WHERE true ON CONFLICT (id) DO UPDATE SET kind = 'other'"
        )
    ],
}


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    ledger.migrate()
    yield ledger
    ledger.close()


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[Ledger]:
    ledger = Ledger(postgres_url)
    ledger.migrate()
    yield ledger
    ledger.close()


def assert_noticed(ledger: Ledger, statements: tuple[str, ...]) -> None:
    with ledger.write() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
        assert any(name.startswith("events_refuse") for name in guards.missing_guards(connection))
        connection.rollback()


@pytest.mark.parametrize("how", DISARMED)
def test_missing_guard_is_noticed_when_a_trigger_fires_for_less(postgresql: Ledger, how: str) -> None:
    assert_noticed(postgresql, DISARMED[how])


@pytest.mark.parametrize("how", SQLITE)
def test_missing_guard_is_noticed_when_the_table_is_another(sqlite: Ledger, how: str) -> None:
    assert_noticed(sqlite, SQLITE[how])


def test_foreign_trigger_is_noticed_when_it_may_swallow_lines(ledger: Ledger) -> None:
    swallow = {
        True: "CREATE TRIGGER lost BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END",
        False: "CREATE RULE lost AS ON INSERT TO events DO INSTEAD NOTHING",
    }[ledger.is_sqlite]
    with ledger.write() as connection:
        connection.exec_driver_sql(swallow)
        assert guards.missing_guards(connection) == []
        assert guards.foreign_guards(connection) == ["lost"]
        assert "lost is no trigger or rule" in (guards.guard_warning(connection) or "")


@pytest.mark.parametrize("name", ["events", "order_versions"])
def test_table_is_kept_when_somebody_would_empty_it(postgresql: Ledger, name: str) -> None:
    with pytest.raises(DBAPIError, match=f"{name} is only added to"), postgresql.write() as connection:
        connection.exec_driver_sql(f"TRUNCATE {name}")


@pytest.mark.parametrize("how", REPLACING)
def test_row_stays_when_sqlite_is_asked_to_replace_it(sqlite: Ledger, how: str) -> None:
    record(sqlite, an_order())
    record(sqlite, an_order("1110"))
    *before, last = REPLACING[how]
    with sqlite.read() as connection:
        for statement in before:
            connection.exec_driver_sql(statement)
        kept = [connection.execute(table.select()).all() for table in (events, order_versions)]
        with pytest.raises(DBAPIError, match="only added to"):
            connection.exec_driver_sql(last)
        assert [connection.execute(table.select()).all() for table in (events, order_versions)] == kept
