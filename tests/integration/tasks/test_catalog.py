"""The task that reads the names of products, over HTTP against the sandbox."""

from __future__ import annotations

import shutil
from pathlib import Path

from tasks.ingest import refresh_catalog
from tests.faults.harness.product import Rig
from worker.broker.app import create_celery
from worker.ledger.orders.catalog import product_names
from worker.sandbox import Sandbox


def test_names_are_read_from_every_source_that_tells_them_when_beat_asks(migrated_file: Path, tmp_path: Path) -> None:
    shutil.copyfile(migrated_file, tmp_path / "cartbridge.db")
    with Sandbox.start() as sandbox:
        rig = Rig(sandbox, f"sqlite:///{tmp_path / 'cartbridge.db'}", tmp_path)
        for _ in range(2):
            rig.runtime.app.tasks[refresh_catalog.name].apply(throw=True)
        with rig.ledger.read() as connection:
            assert product_names(connection, "studiocart", ["1130", "1107"]) == {"1130": "SC Product 2"}
        assert sandbox.requests("studiocart", "list_products") == 2  # the page, and the end of the list
        schedule = create_celery(rig.settings).conf.beat_schedule
        assert schedule["refresh_catalog"]["task"] == refresh_catalog.name
        rig.close()
