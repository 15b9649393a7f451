"""The offers file on disk, and the last valid rules while it cannot be used."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from worker.ledger.offers_in_force import offers_in_force_row
from worker.ledger.session import Ledger
from workflows.monitoring.alerts import problems
from workflows.planning.offers import OffersError
from workflows.planning.offers_file import OffersFile
from workflows.planning.offers_problem import offers_problem

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def an_offer(product_id: str) -> str:
    return f'[[offer]]\nsource = "studiocart"\nproduct_id = "{product_id}"\ngrants = [{{ price_id = 501 }}]\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "offers.toml"


def write(path: Path, text: str) -> None:
    """Another content at another moment, however fast the test is."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(before + 1, before + 1))


def sold(offers_reader: OffersFile) -> list[str | None]:
    return [offer.product_id for offer in offers_reader.current().offers]


def test_last_valid_rules_stay_in_force_when_the_file_breaks(path: Path) -> None:
    offers_reader = OffersFile(path)
    write(path, an_offer("1"))
    assert sold(offers_reader) == ["1"]
    write(path, "[[offer]")
    assert (sold(offers_reader), bool(offers_reader.problems())) == (["1"], True)
    with pytest.raises(OffersError):
        offers_reader.checked()
    path.unlink()
    assert sold(offers_reader) == ["1"]
    write(path, an_offer("2"))
    assert (sold(offers_reader), offers_reader.problems()) == (["2"], ())


def test_last_valid_rules_outlive_a_restart_when_the_file_is_broken(path: Path, ledger: Ledger) -> None:
    write(path, an_offer("1"))
    OffersFile(path, ledger).keep(NOW)
    write(path, "nonsense")
    restarted = OffersFile(path, ledger)
    assert sold(restarted) == ["1"]
    restarted.keep(NOW)  # a problem does not replace what was valid
    path.unlink()
    assert sold(OffersFile(path, ledger)) == ["1"]


def test_there_are_no_rules_when_the_file_never_was_valid(path: Path, ledger: Ledger) -> None:
    offers_reader = OffersFile(path, ledger)
    assert sold(offers_reader) == []
    with pytest.raises(OffersError, match="no such file"):
        offers_reader.in_force()


def test_problem_is_told_with_its_beginning_until_it_is_gone(path: Path, ledger: Ledger) -> None:
    offers_reader = OffersFile(path, ledger)
    write(path, "nonsense")
    offers_reader.keep(NOW)
    write(path, "other nonsense")
    offers_reader.keep(NOW + timedelta(hours=1))
    with ledger.read() as connection:
        row = offers_in_force_row(connection)
        assert row is not None
        assert (row.problem_at, row.valid_at) == (NOW, None)
        assert [each.key for each in problems(connection, NOW)] == ["offers/invalid"]
        assert "offers.toml" in (offers_problem(connection, path) or "")
    write(path, an_offer("1"))
    with ledger.read() as connection:
        assert (offers_problem(connection, path) or "").startswith("a worker found: ")
    offers_reader.keep(NOW + timedelta(hours=2))
    with ledger.read() as connection:
        assert (offers_problem(connection, path), problems(connection, NOW)) == (None, [])


def test_ledger_is_written_only_when_the_file_has_changed(path: Path, ledger: Ledger) -> None:
    write(path, an_offer("1"))
    offers_reader = OffersFile(path, ledger)
    offers_reader.keep(NOW)
    offers_reader.keep(NOW + timedelta(hours=1))
    OffersFile(path, ledger).keep(NOW + timedelta(hours=2))
    with ledger.read() as connection:
        row = offers_in_force_row(connection)
    assert row is not None
    assert (row.valid_at, row.text) == (NOW, an_offer("1"))


def test_a_text_in_force_is_not_checked_again_and_another_is(
    path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, an_offer("1"))
    OffersFile(path, ledger).keep(NOW)
    monkeypatch.setattr("workflows.planning.offers_file.parse_offers", lambda *_, **__: pytest.fail("checked again"))
    with ledger.read() as connection:
        assert offers_problem(connection, path) is None
    monkeypatch.undo()
    write(path, an_offer("1") + "\nnonsense")
    with ledger.read() as connection:
        assert "offers.toml" in (offers_problem(connection, path) or "")
    path.unlink()
    with ledger.read() as connection:
        assert "there is no such file" in (offers_problem(connection, path) or "")
