from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import update

from tests.unit.worker.ledger.rows import NOW, add_order, add_run
from worker.ledger.learners import sealed_passwords
from worker.ledger.learners.sealed_passwords import Credentials, PasswordSeal, SealBrokenError
from worker.ledger.session import Ledger
from worker.ledger.states import RunState
from worker.ledger.tables.runs import runs

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
CREDENTIALS = Credentials("planted-pässword", "jane")


def some_runs(ledger: Ledger, *seats: str) -> list[str]:
    with ledger.write() as connection:
        add_order(connection)
        return [add_run(connection, seat=seat, workflow="welcome_mail") for seat in seats]


def test_credentials_come_back_when_any_of_the_keys_sealed_them() -> None:
    sealed = PasswordSeal([OLD]).close(CREDENTIALS, run_id="run-1")
    rotated = PasswordSeal([NEW, OLD])
    assert rotated.open(sealed, run_id="run-1") == CREDENTIALS
    assert PasswordSeal([NEW]).open(rotated.close(CREDENTIALS, run_id="run-1"), run_id="run-1") == CREDENTIALS
    shown = f"{CREDENTIALS!r} {rotated!r} {sealed}"
    assert "planted" not in shown
    assert OLD not in shown


@pytest.mark.parametrize(
    ("keys", "run_id", "broken"), [([NEW], "run-1", False), ([OLD], "run-2", False), ([OLD], "run-1", True)]
)
def test_seal_stays_closed_when_key_or_run_are_others_or_it_was_touched(
    keys: list[str], run_id: str, broken: bool
) -> None:
    sealed = PasswordSeal([OLD]).close(CREDENTIALS, run_id="run-1")
    with pytest.raises(SealBrokenError) as caught:
        PasswordSeal(keys).open(sealed[:-8] if broken else sealed, run_id=run_id)
    assert sealed not in str(caught.value)
    assert caught.value.__context__ is None


def test_password_is_overwritten_when_it_is_erased(ledger: Ledger) -> None:
    (run_id,) = some_runs(ledger, "buyer")
    with ledger.write() as connection:
        sealed_passwords.keep(connection, run_id, "sealed", now=NOW)
        sealed_passwords.keep(connection, run_id, "another", now=NOW)
        assert sealed_passwords.find(connection, run_id) == "sealed"
        assert sealed_passwords.erase(connection, [run_id, "other"], now=NOW) == [run_id]
        assert sealed_passwords.find(connection, run_id) is None
        assert sealed_passwords.erase(connection, [run_id], now=NOW) == []
        assert sealed_passwords.find(connection, "other") is None


def test_password_is_out_of_time_when_it_is_old_or_its_run_has_ended(ledger: Ledger) -> None:
    old, new, ended, erased = some_runs(ledger, "old", "new", "ended", "erased")
    with ledger.write() as connection:
        for run_id, sealed_at in ((old, NOW - timedelta(days=8)), (new, NOW), (ended, NOW), (erased, NOW)):
            sealed_passwords.keep(connection, run_id, "sealed", now=sealed_at)
        sealed_passwords.erase(connection, [erased], now=NOW)
        connection.execute(update(runs).where(runs.c.id == ended).values(state=RunState.CANCELLED))
        found = sealed_passwords.out_of_time(connection, before=NOW - timedelta(days=7))
    assert found == [old, ended]
