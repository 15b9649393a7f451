"""What a command works with: the settings, the ledger with its schema checked, the runtime; and who is asking."""

from __future__ import annotations

import getpass
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from worker.formatting import show_times_in

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tasks.runtime import Runtime
    from worker.settings.settings import Settings

DEFAULT_ENV_FILE = Path(".env")


class Opening:
    """Opens on demand what one command needs. Commands that need nothing load nothing."""

    def __init__(self, env_file: Path | None = None) -> None:
        self.env_file = env_file or DEFAULT_ENV_FILE

    @cached_property
    def settings(self) -> Settings:
        """The settings; from here on secrets are masked in the log. Raises `ConfigurationError`."""
        from worker.observability.logs import configure_logging, log_uncaught_exceptions
        from worker.settings.settings import load_settings

        settings = load_settings(env_file=self.env_file)
        show_times_in(settings.zone)
        # Short commands tell what came of them themselves; the log is for what nobody foresaw.
        configure_logging(settings, level=logging.ERROR)
        log_uncaught_exceptions()
        return settings

    def say_where_it_is(self) -> None:
        """Where nothing is set, as in a folder that is not its own, say where the installation is, if that is known."""
        if self.env_file.exists() or any(name.startswith("CARTBRIDGE_") for name in os.environ):
            return
        from worker.cli.init.installation import find_installation

        found = find_installation()
        if found is not None:
            typer.secho(f"There are no settings here. {found}", fg=typer.colors.YELLOW, err=True)

    @property
    def ledger_path(self) -> Path | None:
        """The file of a SQLite ledger, None on PostgreSQL."""
        from worker.ledger.session import Ledger

        return Ledger(self.settings.database_url.get_secret_value()).path

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One reading transaction on the ledger. Raises `SchemaMismatchError`, `SQLAlchemyError`."""
        from worker.ledger.session import Ledger

        ledger = Ledger(self.settings.database_url.get_secret_value())
        try:
            ledger.check_schema()
            with ledger.read() as connection:
                yield connection
        finally:
            ledger.close()

    @contextmanager
    def runtime(self) -> Iterator[Runtime]:
        """The process's parts, the ledger checked. Raises `SchemaMismatchError`, `SQLAlchemyError`."""
        from tasks.runtime import Runtime

        runtime = Runtime(self.settings)
        try:
            runtime.ledger.check_schema()
            yield runtime
        finally:
            runtime.close()


def opening_of(context: typer.Context) -> Opening:
    """The command's opening, made by the root command from `--env-file`."""
    opening: Opening = context.obj
    return opening


def current_actor() -> str:
    """Who the audit trail names: `operator:` and the operating system's user."""
    try:
        return f"operator:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user without a name
        return "operator:unknown"
