"""Writing `.env`: what stands in it stays, and a file is there whole or not at all."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Final

from dotenv.parser import parse_stream

from worker.settings.environment import FILE_SUFFIX

_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+,=?&~-]+")


def line_of(name: str, value: str) -> str:
    """A variable as a line of `.env`, which reads back as the same value."""
    if _PLAIN.fullmatch(value):
        return f"{name}={value}"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{name}='{escaped}'"


def with_values(text: str, values: Mapping[str, str], comments: Mapping[str, str]) -> str:
    """The text of an `.env` file with these values: in their old place, else at its end, each under its comment.

    Everything else stays as it is. A variable that the file gives as `…_FILE` is left so.
    """
    bindings = list(parse_stream(StringIO(text)))
    there = {each.key for each in bindings if each.key is not None}
    by_file = {each.key for each in bindings if each.key is not None and each.value}
    wanted = {name: value for name, value in values.items() if f"{name}{FILE_SUFFIX}" not in by_file}
    parts = []
    for binding in bindings:
        original = binding.original.string
        if binding.key in wanted:
            before, _, rest = original.partition(binding.key)
            original = before + line_of(binding.key, wanted[binding.key]) + ("\n" if rest.endswith("\n") else "")
        parts.append(original)
    written = "".join(parts)
    for name in (name for name in wanted if name not in there):
        gap = "" if not written else "\n" if written.endswith("\n") else "\n\n"
        written = f"{written}{gap}# {comments[name]}\n{line_of(name, wanted[name])}\n"
    return written


def write_whole(path: Path, text: str, *, mode: int) -> None:
    """Put a file in place in one moment, on the disk when this returns: a process that is killed leaves the old one.

    One that is there keeps its owner. Raises `OSError`.
    """
    beside = path.with_name(f"{path.name}.new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            with suppress(OSError):  # new, or another user's, who may give nothing away
                before = path.stat()
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def private_mode(path: Path) -> int:
    """0600; 0640 where the file is there and was given to a group on purpose, as that of a service is."""
    with suppress(OSError):
        if stat.S_IMODE(path.stat().st_mode) == 0o640:
            return 0o640
    return 0o600
