from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError

from worker.errors import ConfigurationError
from worker.ledger import session
from worker.ledger.session import Ledger, SchemaMismatchError, violated_constraint
from worker.ledger.tables.runs import cursors, pauses

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
HEAD = max(path.name for path in (Path(__file__).parents[5] / "migrations" / "versions").glob("0*.py"))[:4]


def a_pause(system: str = "learningcart", since: datetime = NOW) -> dict[str, object]:
    return {"system": system, "kind": "operator", "reason": "", "actor": "operator:ann", "since": since}


def count(ledger: Ledger) -> int:
    with ledger.read() as connection:
        return len(connection.execute(select(pauses)).all())


def test_write_is_kept_at_the_blocks_end_and_undone_on_an_exception(ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.execute(insert(pauses).values(**a_pause()))

    def fail_in_the_middle() -> None:
        with ledger.write() as connection:
            connection.execute(insert(pauses).values(**a_pause("threedcart")))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_in_the_middle()
    assert count(ledger) == 1


def test_read_sees_one_moment_while_another_writes(ledger: Ledger) -> None:
    with ledger.read() as connection:
        assert connection.execute(select(pauses)).all() == []
        with ledger.write() as other:
            other.execute(insert(pauses).values(**a_pause()))
        assert connection.execute(select(pauses)).all() == []
    assert count(ledger) == 1


def test_writers_queue_and_none_fails_when_twenty_come_at_once(ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.execute(insert(cursors).values(source="studiocart", position={}, failures=0))

    def increment(_number: int) -> None:
        with ledger.write() as connection:
            failures = connection.scalar(select(cursors.c.failures))
            assert failures is not None
            connection.execute(cursors.update().values(failures=failures + 1))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(increment, range(40)))
    with ledger.read() as connection:
        assert connection.scalar(select(cursors.c.failures)) == 40


def test_every_commit_reaches_the_disk(
    tmp_path: Path, prepared_by_the_product: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_prepare_sqlite", prepared_by_the_product)
    ledger = Ledger(f"sqlite:///{tmp_path}/durable.db")
    with ledger.read() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 15_000}
    for is_durable in (False, True, True, False):
        with ledger.write(durable=is_durable) as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1 + is_durable
    with ledger.write() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    ledger.close()


def test_moments_come_back_in_utc_and_naive_ones_are_refused(ledger: Ledger) -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    with ledger.write() as connection:
        connection.execute(insert(pauses).values(**a_pause(since=NOW.astimezone(india))))
        found = connection.scalar(select(pauses.c.since))
        assert found == NOW
        assert found.tzinfo is UTC
        with pytest.raises(StatementError, match="aware datetimes only"):
            connection.execute(select(pauses).where(pauses.c.since < datetime(2026, 1, 1)))  # noqa: DTZ001  (the point)
        earlier = (NOW - timedelta(seconds=1)).astimezone(india)
        assert connection.execute(select(pauses).where(pauses.c.since > earlier)).all()


def test_process_that_was_forked_has_an_engine_of_its_own(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = ledger.engine
    assert ledger.engine is parent
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert ledger.engine is not parent
    assert count(ledger) == 0


def test_ledger_is_usable_again_when_it_was_closed(ledger: Ledger) -> None:
    ledger.close()
    ledger.close()
    assert count(ledger) == 0


# The schema


def test_schema_is_checked_and_the_command_named_when_there_is_no_file(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(SchemaMismatchError, match=r"none\.db does not exist yet\. Run: cartbridge migrate"):
        ledger.check_schema()
    assert not (tmp_path / "none.db").exists()


def test_schema_is_empty_when_nothing_was_migrated(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    with pytest.raises(SchemaMismatchError, match=r"is empty\. Run: cartbridge migrate"):
        Ledger(f"sqlite:///{tmp_path}/empty.db").check_schema()


def test_schema_is_accepted_when_it_was_migrated_and_twice_is_as_good_as_once(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path}/l.db")
    assert ledger.migrate() == (None, HEAD)
    assert ledger.migrate() == (HEAD, HEAD)
    ledger.check_schema()


def test_schema_is_refused_by_both_when_it_is_newer(ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for refuse in (ledger.check_schema, ledger.migrate):
        with pytest.raises(SchemaMismatchError, match=r"9999 is newer.*Install the newer"):
            refuse()
    assert issubclass(SchemaMismatchError, ConfigurationError)


def test_migration_is_done_once_when_four_start_at_once(tmp_path: Path) -> None:
    ledgers = [Ledger(f"sqlite:///{tmp_path}/l.db") for _ in range(4)]
    together = threading.Barrier(4)

    def migrate(ledger: Ledger) -> tuple[str | None, str | None]:
        together.wait()
        return ledger.migrate()

    with ThreadPoolExecutor(4) as pool:
        found = sorted(before or "" for before, _ in pool.map(migrate, ledgers))
    assert found == ["", HEAD, HEAD, HEAD]


# Words for people


def test_label_hides_the_password_wherever_it_stands() -> None:
    ledger = Ledger("postgresql+psycopg://cart:pl4nted@db.example/cart?password=pl4nted&sslpassword=pl4nted")
    assert ledger.label == "postgresql+psycopg://cart:***@db.example/cart"
    assert (ledger.is_sqlite, ledger.path) == (False, None)


def test_label_names_the_file_of_a_sqlite_ledger() -> None:
    ledger = Ledger("sqlite:///cartbridge.db")
    assert (ledger.label, ledger.path) == ("sqlite:///cartbridge.db", Path("cartbridge.db"))


def test_constraint_is_named_when_one_is_violated(ledger: Ledger) -> None:
    with pytest.raises(IntegrityError) as caught, ledger.write() as connection:
        connection.execute(insert(pauses), [a_pause(), a_pause()])
    assert violated_constraint(caught.value) == "pauses.system"


def test_no_constraint_is_named_when_the_error_is_of_another_kind(ledger: Ledger) -> None:
    with pytest.raises(OperationalError) as caught, ledger.read() as connection:
        connection.exec_driver_sql("SELECT * FROM nowhere")
    assert violated_constraint(caught.value) == ""


@pytest.mark.parametrize("is_replaced", [False, True])
def test_ledger_whose_file_was_moved_or_replaced_takes_nothing_more(tmp_path: Path, *, is_replaced: bool) -> None:
    """What is acknowledged in the file that was moved would be lost, and what it sent, sent again by the other."""
    path = tmp_path / "cartbridge.db"
    ledger = Ledger(f"sqlite:///{path}")
    ledger.migrate()
    with ledger.write() as connection:
        connection.execute(insert(pauses).values(**a_pause()))
    copy = Ledger(f"sqlite:///{tmp_path / 'copy.db'}")
    copy.migrate()
    copy.close()
    aside = tmp_path / "aside"
    aside.mkdir()
    for file in tmp_path.glob("cartbridge.db*"):
        file.rename(aside / file.name)
    if is_replaced:
        (tmp_path / "copy.db").rename(path)
    for opening in (ledger.write, ledger.read):
        with pytest.raises(OperationalError, match="moved or replaced"), opening():
            pytest.fail("opened")
    ledger.close()
    with Ledger(f"sqlite:///{path if is_replaced else aside / path.name}").read() as connection:
        assert len(connection.execute(select(pauses)).all()) == (0 if is_replaced else 1)
