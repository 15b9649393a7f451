"""The connection to the ledger: one engine a process, write and read transactions, and the schema check."""

from __future__ import annotations

import logging
import os
import select as select_module
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Engine,
    String,
    column,
    create_engine,
    delete,
    event,
    insert,
    inspect,
    make_url,
    select,
    table,
)
from sqlalchemy.exc import (
    DBAPIError,
    DisconnectionError,
    InterfaceError,
    InternalError,
    OperationalError,
)

from worker.errors import ConfigurationError
from worker.ledger.clock import ServerClock, server_time
from worker.ledger.lock import SameFile
from worker.ledger.search.index import make_index
from worker.ledger.tables.schema import schema_tolerance

log = logging.getLogger(__name__)

_WRITE = "cartbridge_write"
_AFTER_COMMIT = "cartbridge_after_commit"
_ALONE = "cartbridge_alone"
_DURABLE = "cartbridge_durable"
_SYNCHRONOUS = "cartbridge_synchronous"
_BUSY_TIMEOUT_MILLISECONDS = 15_000
_LOCKED_WAIT_SECONDS = 0.02
_REVISIONS = table("alembic_version", column("version_num", String))
_MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
_POSTGRESQL_OPTIONS: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "application_name": "cartbridge",
    # A server that vanished without a word (a failover, a firewall that forgot the connection) is noticed within half a
    # minute. By the system's own times whoever waits for its answer waits for two hours, and a new question for 15 min.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
"""Of each connection, unless the ledger's address says otherwise."""


LEDGER_AWAY = (InterfaceError, InternalError, OperationalError)
"""The ledger cannot be used now (a full disk, a lost server): what was under way stays due."""


class SchemaMismatchError(ConfigurationError):
    """The ledger's schema is not the one this version works on. The message names the command to run."""


def after_commit(connection: Connection, call: Callable[[], None]) -> None:
    """Have something done once the transaction of `Ledger.write` is committed; never where it is rolled back.

    For what may be lost, such as a line of the log: a crash in between leaves it out.
    """
    found = connection.get_execution_options().get(_AFTER_COMMIT)
    if found is not None:
        found.append(call)


class Ledger:
    """The ledger at `database_url` (SQLite or PostgreSQL).

    The engine is made on first use and made anew in a forked process, which must not share its parent's sockets. On
    SQLite a write transaction begins with `BEGIN IMMEDIATE`, so that two writers queue instead of failing, and every
    commit reaches the disk (`synchronous=FULL`) unless `write` is told otherwise: what was acknowledged outlives a
    power cut.
    """

    def __init__(self, database_url: str, *, pool_size: int = 10) -> None:
        self._url = make_url(database_url)
        self._pool_size = pool_size
        self._engine: Engine | None = None
        self._process_id = 0
        self._opening = threading.Lock()
        self._clock: ServerClock | None = None
        self._tolerated: str | None = None
        # Writers of one process queue here, in order, instead of polling SQLite's file lock.
        self._writing: Any = threading.Lock() if self.is_sqlite else nullcontext()

    @property
    def is_sqlite(self) -> bool:
        """Whether the ledger is one SQLite file."""
        return self._url.get_backend_name() == "sqlite"

    @property
    def path(self) -> Path | None:
        """The file of a SQLite ledger, None on PostgreSQL."""
        return Path(self._url.database) if self.is_sqlite and self._url.database else None

    @property
    def label(self) -> str:
        """The ledger's address without its password and its parameters, which may hold one too; for people."""
        return self._url.set(query={}).render_as_string(hide_password=True)

    @property
    def engine(self) -> Engine:
        """This process's engine."""
        with self._opening:
            if self._engine is None or self._process_id != os.getpid():
                self._engine = self._create_engine()
                self._process_id = os.getpid()
            return self._engine

    def _create_engine(self) -> Engine:
        if not self.is_sqlite:
            engine = create_engine(
                self._url,
                hide_parameters=True,
                pool_size=self._pool_size,
                max_overflow=self._pool_size,
                pool_use_lifo=True,  # the connection used last has the statements prepared
                isolation_level="AUTOCOMMIT",  # once a connection, and not each time; what needs one says BEGIN itself
                connect_args={key: each for key, each in _POSTGRESQL_OPTIONS.items() if key not in self._url.query},
            )
            event.listen(engine, "checkout", _replace_closed)
            event.listen(engine, "begin", _begin_postgresql)
            return engine
        if self.path is not None and not self.path.exists():
            with suppress(OSError):  # a folder that is not there is SQLite's to tell
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))  # it will hold names and emails
        engine = create_engine(
            self._url,
            hide_parameters=True,  # an error's text would quote learners' data
            pool_size=self._pool_size,
            max_overflow=self._pool_size,
            connect_args={"timeout": _BUSY_TIMEOUT_MILLISECONDS / 1000, "check_same_thread": False},
        )
        event.listen(engine, "connect", _prepare_sqlite)
        if self.path is not None:
            event.listen(engine, "checkout", SameFile(self.path))
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    @contextmanager
    def write(self, *, alone: bool = False, durable: bool = True) -> Iterator[Connection]:
        """A transaction that changes something: committed at the end of the block, rolled back on an exception.

        `alone`: the block executes one statement that changes something, and no exception follows it. On PostgreSQL the
        statement is then a transaction by itself, committed when it has been executed: one round trip, and not three.
        Not `durable`: on SQLite a power cut may undo it, until the next commit that is durable brings both to the disk.
        For what means nothing without the process that wrote it.
        """
        committed: list[Callable[[], None]] = []
        with self._writing, self.engine.connect() as connection:
            writing = connection.execution_options(
                **{_WRITE: True, _AFTER_COMMIT: committed, _ALONE: alone, _DURABLE: durable}
            )
            with writing.begin():
                if self._clock is not None:
                    self._clock.note(writing)
                yield writing
        for call in committed:
            call()

    @contextmanager
    def read(self, *, in_transaction: bool = False) -> Iterator[Connection]:
        """A connection that only reads: from one consistent view on SQLite, each statement from its own on PostgreSQL.

        There it needs no transaction, and none is begun; but for what is set for a transaction, as the page does.
        """
        with self.engine.connect() as connection:
            if not in_transaction:
                connection = connection.execution_options(**{_ALONE: True})  # noqa: PLW2901  (it is the same one)
            with connection.begin():
                yield connection

    def clock(self, local: Callable[[], datetime]) -> Callable[[], datetime]:
        """The clock that every process on this ledger shares: the server's, or on SQLite the one machine's, `local`."""
        if self.is_sqlite:
            return local
        self._clock = ServerClock(self._ask_time, local=local)
        return self._clock

    def _ask_time(self) -> datetime:
        with self.engine.connect() as connection:
            return server_time(connection)

    def close(self) -> None:
        """Close every pooled connection. The next use opens new ones."""
        with self._opening:
            if self._engine is not None and self._process_id == os.getpid():
                self._engine.dispose()
            self._engine = None

    def check_schema(self) -> None:
        """Raise `SchemaMismatchError` unless this version may work on the ledger's schema: its own, or a newer one that
        says so, which is logged once.

        `SQLAlchemyError` if unreachable.
        """
        if self.is_sqlite and self.path is not None and not self.path.exists():
            raise SchemaMismatchError(f"The ledger {self.label} does not exist yet. Run: cartbridge migrate")
        with self.read() as connection:
            current = _revision(connection)
            if current is not None and current in {_newest_revision(_MIGRATIONS), self._tolerated}:
                return
            chain = _chain(_MIGRATIONS)
            if current is None:
                raise SchemaMismatchError(f"The ledger {self.label} is empty. Run: cartbridge migrate")
            if current in chain.known:
                raise SchemaMismatchError(
                    f"The ledger's schema {current} is older than this version's {chain.head}. Run: cartbridge migrate"
                )
            tolerates = None
            if inspect(connection).has_table(schema_tolerance.name):
                said = select(schema_tolerance.c.tolerates).where(schema_tolerance.c.revision == current)
                tolerates = connection.scalar(said)
        if tolerates not in chain.known:
            raise SchemaMismatchError(
                f"The ledger's schema {current} is newer than this version knows ({chain.head}). Install the newer "
                f"Cartbridge again."
            )
        log.warning(
            "the ledger's schema %s is newer than this version's %s, and lets it go on: upgrade this process too",
            current,
            chain.head,
        )
        self._tolerated = current

    def is_current(self) -> bool:
        """Whether the schema is this version's own. Makes no file, and imports nothing of Alembic."""
        if self.path is not None and not self.path.exists():
            return False
        with self.read() as connection:
            return _revision(connection) == _newest_revision(_MIGRATIONS)

    def migrate(self) -> tuple[str | None, str | None]:
        """Bring the schema to this version's; safe to repeat. Returns the revision before and after.

        Each migration is one transaction: a killed migration leaves the schema it began with.
        """
        from alembic import command  # noqa: PLC0415  (Alembic is slow to import, and rarely needed)
        from alembic.config import Config  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        with self.write() as connection:
            if not self.is_sqlite:
                # The role's own, made for questions, would end each try at the same place.
                connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(4027110977)")
            before = _revision(connection)
            chain = _chain(_MIGRATIONS)
            if before is not None and before not in chain.known:
                raise SchemaMismatchError(
                    f"The ledger's schema {before} is newer than this version knows. Install the newer "
                    f"Cartbridge again."
                )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            after = _revision(connection)
            make_index(connection)
            connection.execute(delete(schema_tolerance))
            connection.execute(insert(schema_tolerance).values(revision=after, tolerates=chain.tolerates))
        return before, after


def _revision(connection: Connection) -> str | None:
    """The revision of the ledger's schema; None where no migration ever ran. Alembic keeps it in a table of its own."""
    if not inspect(connection).has_table(_REVISIONS.name):
        return None
    return connection.scalar(select(_REVISIONS.c.version_num))


@cache
def _newest_revision(migrations: Path) -> str:
    """This version's own, by its file's name: reading what is in the files takes longer than most commands do."""
    return max(path.name.partition("_")[0] for path in (migrations / "versions").glob("[0-9]*_*.py"))


@dataclass(frozen=True)
class _Chain:
    """The migrations that this version knows."""

    head: str | None
    known: frozenset[str]
    tolerates: str | None
    """The oldest revision whose code may run on the schema that they lead to."""


@cache
def _chain(migrations: Path) -> _Chain:
    """Read from the disk once a process.

    A migration says in `tolerates` what is the oldest revision whose code may run on it; one that does not, its own.
    """
    from alembic.script import ScriptDirectory  # noqa: PLC0415  (as in `migrate`)

    script = ScriptDirectory(str(migrations))
    revisions = [each.revision for each in script.walk_revisions()][::-1]
    said = {getattr(each.module, "tolerates", each.revision) for each in script.walk_revisions()}
    return _Chain(script.get_current_head(), frozenset(revisions), max(said, key=revisions.index, default=None))


def _replace_closed(connection: Any, _record: Any, _proxy: Any) -> None:
    """Have the pool replace a connection that the server closed meanwhile, before anything was sent on it.

    A closed socket can be read from, and an idle one that is open cannot: this costs no round trip, as a ping would.
    """
    poll = select_module.poll()
    poll.register(connection.fileno(), select_module.POLLIN)
    if poll.poll(0):
        raise DisconnectionError("the server closed the connection")


def _begin_postgresql(connection: Connection) -> None:
    """Begin the transaction that SQLAlchemy takes for begun; one statement alone is one by itself."""
    if not connection.get_execution_options().get(_ALONE, False):
        connection.exec_driver_sql("BEGIN")


def _prepare_sqlite(connection: Any, record: Any) -> None:
    # The driver's own transaction control begins too late for BEGIN IMMEDIATE: switch it off and begin ourselves.
    connection.isolation_level = None
    cursor = connection.cursor()
    _use_wal(cursor)
    cursor.execute("PRAGMA synchronous=FULL")
    record.info[_SYNCHRONOUS] = "FULL"
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MILLISECONDS}")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _use_wal(cursor: Any) -> None:
    """Switch a new file to WAL, which SQLite refuses at once, busy timeout or not, while another process does it."""
    give_up_at = time.monotonic() + _BUSY_TIMEOUT_MILLISECONDS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up_at:
                raise
            time.sleep(_LOCKED_WAIT_SECONDS)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    write = options.get(_WRITE, False)
    if write:
        _set_synchronous(connection, "FULL" if options.get(_DURABLE, True) else "NORMAL")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _set_synchronous(connection: Connection, level: str) -> None:
    """Say whether the next commit waits for the disk. In WAL either keeps the order of the commits."""
    pooled = connection.connection
    if pooled.info.get(_SYNCHRONOUS, level) != level:
        cursor = pooled.cursor()
        cursor.execute(f"PRAGMA synchronous={level}")
        cursor.close()
        pooled.info[_SYNCHRONOUS] = level


def violated_constraint(error: DBAPIError) -> str:
    """The name of the constraint a database error is about, or on SQLite its `table.column` list.

    '' if it is about none.
    """
    diagnostics = getattr(error.orig, "diag", None)
    if diagnostics is not None:
        return diagnostics.constraint_name or ""
    message = str(error.orig)
    return message.partition("constraint failed: ")[2]
