from __future__ import annotations

import pytest
from sqlalchemy import select

from tests.integration.cli.conftest import Run
from tests.unit.worker.ledger.filling import NOW, add_order, add_run
from worker.ledger.models import attempts, events
from worker.ledger.recovery_models import recoveries
from worker.ledger.session import Ledger


@pytest.fixture
def run_id(ledger: Ledger) -> str:
    with ledger.write() as connection:
        add_order(connection)
        add_run(connection, key="studiocart/1109/1107/buyer/502", state="succeeded")
        return add_run(connection, state="pending")


def test_ledger_is_recovered_when_it_is_confirmed(run: Run, ledger: Ledger, run_id: str) -> None:
    result = run("recover", "--since", "2d", "--dry-run")
    assert (result.exit_code, "1 run is asked about" in result.stdout) == (0, True)
    assert "Nothing was changed." in result.stdout
    assert run("recover", "--since", "2d").exit_code == 2  # nobody to ask
    with ledger.read() as connection:
        assert connection.execute(select(recoveries)).all() == []
    result = run("recover", "--since", "2d", "--yes", "--reason", "the disk broke")
    assert result.exit_code == 0
    assert "Start everything; no run goes on before" in result.stdout
    with ledger.read() as connection:
        [recovery] = connection.execute(select(recoveries)).all()
        [attempt] = connection.execute(select(attempts)).all()
        [told] = connection.execute(select(events).where(events.c.kind == "ledger_recovered")).all()
    assert (recovery.actor, recovery.reason) == ("operator:ann", "the disk broke")
    assert recovery.steps == ["add_cart_item", "add_comped_order"]
    assert (attempt.run_id, attempt.step, attempt.outcome) == (run_id, "add_comped_order", "unknown")
    assert attempt.started_at == recovery.copied_at
    assert (told.actor, told.reason, told.detail["doubted"]) == ("operator:ann", "the disk broke", 1)


def test_what_a_process_held_is_told_when_it_is_freed(run: Run, ledger: Ledger) -> None:
    with ledger.write() as connection:
        add_order(connection)
        add_run(connection, state="running", lease_holder="gone", lease_until=NOW)
    result = run("recover", "--since", "1h", "--yes")
    assert "1 run held by a process while the copy was made is freed." in result.stdout


@pytest.mark.parametrize("given", [(), ("--since", "2099-01-01"), ("--since", "yesterday")])
def test_moment_is_refused_when_no_copy_can_be_of_it(run: Run, ledger: Ledger, given: tuple[str, ...]) -> None:
    assert run("recover", *given, "--yes").exit_code == 2
    with ledger.read() as connection:
        assert connection.execute(select(recoveries)).all() == []
