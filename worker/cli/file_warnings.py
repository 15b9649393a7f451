"""Files that hold secrets or learners' data, and that every user of this machine can read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from worker.environment import VariablesSource
from worker.settings import Settings, variables

_LEDGER_SUFFIXES = ("", "-wal", "-shm", "-journal")


def file_warnings(settings: Settings, env_file: Path, environ: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each such file: the settings, the files of secrets they name, and the ledger."""
    if os.name != "posix":
        return []
    return [
        f"{path} {verb} by every user of this machine, and holds {what}. Run: chmod o-rwx {path}"
        for path, what in _files(settings, env_file, os.environ if environ is None else environ)
        if (verb := _open_to_all(path))
    ]


def _files(settings: Settings, env_file: Path, environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    yield env_file, "the settings"
    for name, path in VariablesSource(Settings, environ, env_file, variables()).files.items():
        if variables()[name].is_secret:
            yield path, name
    if settings.on_sqlite:
        ledger = Path(settings.database_url.get_secret_value().removeprefix("sqlite:///"))
        for suffix in _LEDGER_SUFFIXES:
            yield ledger.with_name(ledger.name + suffix), "learners' names and addresses"


def _open_to_all(path: Path) -> str:
    """What others may do with it: empty where it is theirs alone whom it belongs to, or not there."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    if mode & stat.S_IWOTH:
        return "can be changed"
    return "can be read" if mode & stat.S_IROTH else ""
