"""Machines whose clocks are minutes apart, on one PostgreSQL: a lease and a settle time mean the same to each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks import runtime as runtime_module
from tests.faults.harness.deployment import SETTLE_SECONDS
from tests.faults.harness.product import Rig
from worker.ledger.session import Ledger
from worker.sandbox import Sandbox, SandboxConfig

pytestmark = [pytest.mark.integration, pytest.mark.faults]
SKEWS_SECONDS = (-420.0, 300.0)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(config=SandboxConfig(seeded=False)) as running:
        yield running


def a_clock(skew_seconds: float) -> runtime_module.Clock:
    return lambda: datetime.now(UTC) + timedelta(seconds=skew_seconds)


@pytest.mark.parametrize("skew_seconds", SKEWS_SECONDS)
def test_clock_is_the_servers_when_the_machines_is_wrong(postgres_url: str, skew_seconds: float) -> None:
    ledger = Ledger(postgres_url)
    clock = ledger.clock(a_clock(skew_seconds))
    assert abs(clock() - datetime.now(UTC)) < timedelta(seconds=2)
    with ledger.write():
        assert abs(clock() - datetime.now(UTC)) < timedelta(seconds=2)
    ledger.close()


@pytest.mark.parametrize("skew_seconds", SKEWS_SECONDS)
def test_nothing_is_sent_twice_when_another_machines_clock_is_wrong(
    sandbox: Sandbox, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skew_seconds: float
) -> None:
    """While one sends, the other sweeps and works: by its own clock the lease has ended long ago, or never will."""
    ledger = Ledger(postgres_url)
    ledger.migrate()
    ledger.close()
    one = Rig(sandbox, postgres_url, tmp_path, shared_clock=True)
    monkeypatch.setattr(runtime_module, "utc_now", a_clock(skew_seconds))
    other = Rig(sandbox, postgres_url, tmp_path, shared_clock=True)
    try:
        run_id = one.enrol()

        def meddle() -> None:
            other.sweep()
            other.work(run_id)

        one.after_last_check("add_comp_order", meddle)
        one.work(run_id)
        assert one.state(run_id) == ("succeeded", None)
        assert len(one.comped_orders) == 1
        assert abs(other.runtime.clock() - one.runtime.clock()) < timedelta(seconds=SETTLE_SECONDS / 10)
    finally:
        one.close()
        other.close()
