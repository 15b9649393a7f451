from __future__ import annotations

import pytest
from sqlalchemy import select

from tasks.dispatch import Dispatcher
from tests.integration.cli.conftest import Run
from tests.unit.worker.ledger.rows import NOW, add_breaker
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import breakers, events, pauses


def test_a_destination_is_paused_and_resumed_when_asked_for(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[Dispatcher] = []

    def sweep(dispatcher: Dispatcher) -> bool:
        swept.append(dispatcher)
        return True

    monkeypatch.setattr(Dispatcher, "send_sweep", sweep)
    assert "would pause learningcart" in run("pause", "learningcart", "--dry-run").stdout
    assert "paused learningcart" in run("pause", "learningcart", "--reason", "maintenance", "--yes").stdout
    with ledger.read() as connection:
        pause = connection.execute(select(pauses)).one()
    assert (pause.system, pause.actor, pause.reason) == ("learningcart", "operator:ann", "maintenance")
    assert "would resume" in run("resume", "learningcart", "--dry-run").stdout
    assert swept == []
    result = run("resume", "learningcart")
    assert (result.exit_code, "resumed learningcart" in result.stdout) == (0, True)
    assert len(swept) == 1
    with ledger.read() as connection:
        assert connection.execute(select(pauses)).all() == []


def test_operator_is_warned_when_the_system_to_pause_is_not_configured(run: Run, ledger: Ledger) -> None:
    result = run("pause", "threedcart")
    assert (result.exit_code, "threedcart is not configured" in result.stderr) == (0, True)


def test_destination_that_is_down_is_probed_at_once_when_it_is_resumed(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Dispatcher, "send_sweep", lambda _: True)
    with ledger.write() as connection:
        add_breaker(connection)
    shown = run("resume", "learningcart").stdout
    assert shown.startswith("learningcart is not paused. learningcart is down since 2025-03-04 11:30 UTC")
    with ledger.read() as connection:
        assert connection.execute(select(breakers.c.probe_at)).scalar_one() > NOW
        assert [row.kind for row in connection.execute(select(events))] == ["system_resumed"]
