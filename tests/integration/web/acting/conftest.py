"""A runtime on a copy of an empty ledger, a sandbox that is reset, and Ann signed in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.harness.product import Rig
from tests.integration.web.acting.office import API_TOKEN, PASSWORD, REFUSED, Office
from worker.sandbox import Sandbox, SandboxConfig


@pytest.fixture(scope="session")
def session_sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(config=SandboxConfig(seeded=False)) as sandbox:
        yield sandbox


@pytest.fixture
def rig(session_sandbox: Sandbox, migrated_file: Path, tmp_path: Path) -> Iterator[Rig]:
    session_sandbox.reset()
    path = tmp_path / "ledger.db"
    path.write_bytes(migrated_file.read_bytes())
    secrets: Any = {"CARTBRIDGE_WEB__ADMIN_PASSWORD": PASSWORD, "CARTBRIDGE_WEB__API_TOKEN": API_TOKEN}
    rig = Rig(session_sandbox, f"sqlite:///{path}", tmp_path, **secrets)
    yield rig
    rig.close()


@pytest.fixture
def failed_run(rig: Rig) -> str:
    run_id = rig.enrol()
    rig.sandbox.inject(REFUSED)
    rig.work(run_id)
    rig.sandbox.clear_faults()
    return run_id


@pytest.fixture
def office(rig: Rig) -> Iterator[Office]:
    office = Office(rig)
    yield office
    office.close()


@pytest.fixture
def showcase(rig: Rig) -> Iterator[Office]:
    """A page that only shows."""
    office = Office(rig, acts=False)
    yield office
    office.close()
