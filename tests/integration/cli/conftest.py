"""The command line on a migrated ledger in an empty directory, and a process that is left as it was found."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from worker.cli.app import app
from worker.ledger.session import Ledger

Run = Callable[..., Result]


_built = lru_cache(get_command)


@pytest.fixture
def ledger(migrated_file: Path, tmp_path: Path) -> Iterator[Ledger]:
    """The ledger of the default settings, in the test's own directory."""
    path = tmp_path / "cartbridge.db"
    shutil.copy(migrated_file, path)
    opened = Ledger(f"sqlite:///{path}")
    yield opened
    opened.close()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command as the operating system's user `ann`."""
    monkeypatch.setenv("LOGNAME", "ann")
    # Typer would build the whole command line anew for each invocation.
    monkeypatch.setattr("typer.testing._get_command", _built)

    def invoke(*arguments: str, input: str | None = None) -> Result:  # noqa: A002 -- CliRunner's word
        return CliRunner().invoke(app, arguments, input=input)

    return invoke
