"""What every deployment in one process begins with: its settings, a runtime on a ledger that exists, and whoever acts.

A deployment brings the actors: one by hand (`product`), threads (`races`), processes in virtual time (`simulation`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Engine, event

from tasks.runtime import Runtime, adopt_runtime
from worker.sandbox import Sandbox
from worker.settings.settings import Settings, load_settings

SETTLE_SECONDS = 45.0
LEASE_SECONDS = 120.0


def settings_of(
    sandbox: Sandbox, ledger_url: str, folder: Path, offers: str, *systems: str, **variables: str
) -> Settings:
    """Settings of a deployment on this ledger, against a sandbox that no rate limit slows down."""
    offers_file = folder / "offers.toml"
    offers_file.write_text(offers)
    usual = {
        "CARTBRIDGE_DATABASE_URL": ledger_url,
        "CARTBRIDGE_OFFERS_FILE": str(offers_file),
        "CARTBRIDGE_SETTLE_SECONDS": str(SETTLE_SECONDS),
        "CARTBRIDGE_LEASE_SECONDS": str(LEASE_SECONDS),
        "CARTBRIDGE_STUDIOCART__START_AT": "2020-01-01",
        **{f"CARTBRIDGE_{system.upper()}__REQUESTS_PER_SECOND": "0" for system in systems},
    }
    return load_settings(sandbox.environment(systems=systems, **(usual | variables)), env_file=None)


def start_runtime(settings: Settings, *, clock: Callable[[], datetime] | None, rng: Random) -> Runtime:
    """One process of the product, whose tasks run in this one."""
    runtime = Runtime(settings, clock=clock, rng=rng)
    if runtime.ledger.is_sqlite:
        skip_disk_waits(runtime.ledger.engine)
    adopt_runtime(runtime)
    return runtime


def skip_disk_waits(engine: Engine) -> None:
    """Do not wait for the disk: that would be most of these tests' time, and no power is cut here."""
    event.listen(engine, "connect", _skip_disk_waits)


def _skip_disk_waits(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA synchronous=OFF")
    record.info.clear()  # so that the ledger leaves it at that
