from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.integration.cli.conftest import Run
from worker.ledger.session import Ledger


@pytest.mark.parametrize("command", ["up", "web", "worker", "beat"])
def test_the_process_ends_with_its_own_code_when_started(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    started: list[object] = []

    def start(settings: object) -> int:
        started.append(settings)
        return 3

    monkeypatch.setattr(f"worker.cli.processes.run_{command}", start)
    assert run(command).exit_code == 3
    assert len(started) == 1


def test_the_first_step_is_named_when_everything_starts_and_nothing_is_configured(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, end in (("_run_all", 0), ("adopt_runtime", None), ("spare_memory", None)):
        monkeypatch.setattr(f"worker.cli.processes.{name}", lambda *_, end=end: end)
    result = run("up")
    assert result.exit_code == 0
    assert "Begin with: cartbridge init" in result.stderr + capfd.readouterr().err


def test_the_demo_ends_with_its_own_code_when_started(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = ModuleType("worker.cli.demo.command")
    demo.run_demo = lambda **_: 1  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "worker.cli.demo.command", demo)
    assert run("demo").exit_code == 1


def test_the_ledger_is_made_when_migrated(run: Run, tmp_path: Path) -> None:
    dry = run("migrate", "--dry-run")
    assert (dry.exit_code, "would migrate" in dry.stdout) == (0, True)
    assert not (tmp_path / "cartbridge.db").exists()
    result = run("migrate")
    assert result.exit_code == 0
    assert "sqlite:///cartbridge.db migrated from empty to" in result.stdout
    assert "is up to date (" in run("migrate").stdout
    assert "nothing to do" in run("migrate", "--dry-run").stdout


def test_a_newer_ledger_is_left_alone_when_migrated(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'from-the-future'")
    result = run("migrate")
    assert (result.exit_code, "newer than this version" in result.stderr) == (2, True)
