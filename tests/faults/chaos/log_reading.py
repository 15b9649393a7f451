"""What the processes wrote: secrets, which there must be none of, and tracebacks, of which only some are expected."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

EXPECTED_ERRORS = frozenset(
    {
        "psycopg.OperationalError",
        "psycopg.errors.AdminShutdown",
        "psycopg.errors.CannotConnectNow",
        "psycopg.errors.CrashShutdown",
        "redis.exceptions.ConnectionError",
        "redis.exceptions.TimeoutError",
        "kombu.exceptions.OperationalError",
        "sqlalchemy.exc.OperationalError",
    }
)
"""What a ledger or a broker that goes away makes a process raise."""
_ERROR = re.compile(
    r"^((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Shutdown|Now|Exit|Interrupt|Lost\w*))(?::|$)", re.MULTILINE
)
_BEGINNING = "Traceback (most recent call last)"


@dataclass
class LogReading:
    """What was found in the logs."""

    lines: int = 0
    leaks: list[str] = field(default_factory=list)
    """Where a secret stands: `file:line`, never the secret."""
    expected: Counter[str] = field(default_factory=Counter)
    """Tracebacks by what they end with, and who logged them."""
    unexpected: Counter[str] = field(default_factory=Counter)


def read_logs(paths: Iterable[Path], secrets: Collection[str]) -> LogReading:
    """Read every line of the logs."""
    reading = LogReading()
    for path in sorted(paths):
        bare: list[str] = []
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
            reading.lines += 1
            if any(secret in line for secret in secrets):
                reading.leaks.append(f"{path.name}:{number}")
            try:
                entry = json.loads(line)
            except ValueError:
                bare.append(line)
                continue
            if isinstance(entry, dict) and _BEGINNING in (
                text := f"{entry.get('exception', '')}{entry.get('event', '')}"
            ):
                _count(reading, text, str(entry.get("logger", "")))
        if _BEGINNING in (text := "\n".join(bare)):  # printed by Python itself, past our logging
            _count(reading, text, "stderr")
    return reading


def _count(reading: LogReading, text: str, logger: str) -> None:
    """Count a traceback by its last error."""
    named: list[str] = _ERROR.findall(text)
    error = named[-1] if named else "unknown"
    counter = reading.expected if error in EXPECTED_ERRORS else reading.unexpected
    counter[f"{error} ({logger})"] += 1
