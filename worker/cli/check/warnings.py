"""What an operator should change though no probe fails by it: who may read files, and rules that lead to nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path

from worker.settings.environment import VariablesSource
from worker.settings.settings import Settings, variables

_LEDGER_SUFFIXES = ("", "-wal", "-shm", "-journal")
_COPIES = ("", "aside", "backup", "backups")
"""Folders beside the ledger in which copies of it are looked for; another one is the operator's to protect."""
_MOST_FILES = 1000
_BEGINNINGS = (b"SQLite format 3\0", b"PGDMP")
"""How a copy of the ledger begins: SQLite's file, `pg_dump --format=custom`."""


def file_warnings(settings: Settings, env_file: Path, environ: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each file with secrets or learners' data that every user of this machine can read."""
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
    yield settings.erasures_path, "who was forgotten, as keyed hashes and order ids"
    beside = [settings.erasures_path.parent]
    ledger_files: list[Path] = []
    if settings.on_sqlite:
        ledger = Path(settings.database_url.get_secret_value().removeprefix("sqlite:///"))
        ledger_files = [ledger.with_name(ledger.name + suffix) for suffix in _LEDGER_SUFFIXES]
        beside.insert(0, ledger.parent)
    for path in ledger_files:
        yield path, "learners' names and addresses"
    for path in dict.fromkeys(copy for folder in beside for copy in _copies_in(folder)):
        if path not in ledger_files:
            yield path, "a copy of the ledger, with learners' names and addresses"


def _copies_in(folder: Path) -> Iterator[Path]:
    """Copies of a ledger in a folder and in those that are for copies, by what they begin with."""
    for name in _COPIES:
        with suppress(OSError):
            yield from (path for path in sorted(islice((folder / name).iterdir(), _MOST_FILES)) if _is_copy(path))


def _is_copy(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(16).startswith(_BEGINNINGS)
    except OSError:
        return False  # one that this user may not read tells nobody else


def _open_to_all(path: Path) -> str:
    """What others may do with it: empty where it is theirs alone whom it belongs to, or not there."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    if mode & stat.S_IWOTH:
        return "can be changed"
    return "can be read" if mode & stat.S_IROTH else ""


def follow_on_warnings(settings: Settings) -> Iterator[str]:
    """What keeps [[follow_on]] rules from leading to a cart, or from telling anybody of it: a sentence each."""
    store, notify = settings.threedcart, settings.follow_on.notify
    if not store.is_configured:
        yield f"A [[follow_on]] rule needs 3dcart, else its runs wait: set {', '.join(store.missing())}."
    elif not store.orders_enabled:
        yield (
            "Carts that nobody checks out are not deleted: their orders are looked for first, and for that set "
            f"{store.variable('orders_enabled')}=true."
        )
    if not settings.learningcart.poll_seconds:
        yield f"A [[follow_on]] rule needs completions: {settings.learningcart.variable('poll_seconds')} is 0."
    if notify == "event" and not settings.events.is_configured:
        yield "CARTBRIDGE_FOLLOW_ON__NOTIFY is event, and CARTBRIDGE_EVENTS__WEBHOOK_URL is not set: nobody is told."
    if notify == "mail" and not settings.mail.is_configured:
        yield "CARTBRIDGE_FOLLOW_ON__NOTIFY is mail, and mail is not configured: nobody is told."
