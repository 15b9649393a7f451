"""A new, empty ledger takes over from one that sold: from SQLite to PostgreSQL, say, as `docs/deployment.md` has it."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from tests.faults.harness.product import ON_SQLITE, NewRig, Rig
from worker.sandbox import Sandbox
from workflows.execution.recovery import Recoverer
from workflows.execution.retry_policy import Patience
from workflows.registry import WORKFLOWS

pytestmark = pytest.mark.faults


@ON_SQLITE
def test_nothing_is_made_twice_when_a_new_ledger_was_told_of_the_one_before(
    new_rig: NewRig, sandbox: Sandbox, migrated_file: Path, tmp_path: Path
) -> None:
    old = new_rig()
    old.enrol(7001)
    old.finish()
    folder = tmp_path / "new"
    folder.mkdir()
    new = Rig(sandbox, f"sqlite:///{shutil.copy(migrated_file, folder / 'cartbridge.db')}", folder, clock=old.clock)
    try:
        patience = Patience(base_seconds=2, max_seconds=3600, max_attempts=4, settle_seconds=45)
        recoverer = Recoverer(new.ledger, WORKFLOWS, patience=patience, clock=new.clock)
        recoverer.recover(new.clock() - timedelta(days=30), actor="operator:test")
        adopted = new.enrol(7001)
        sold_since = new.enrol(7002, email="john@example.test")
        new.finish()
        assert [new.state(run_id) for run_id in (adopted, sold_since)] == [("succeeded", None)] * 2
        assert len(new.comped_orders) == 2
    finally:
        new.close()
