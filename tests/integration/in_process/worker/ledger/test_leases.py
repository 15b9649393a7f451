from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from tests.unit.session_ledger import SessionLedger
from tests.unit.workflows.fakes.storefront import NOW, rows
from worker.ledger import leases
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import cursors

ROOT = Path(__file__).parents[5]
COLUMNS = {"lease_holder", "lease_until"}
SHOWN_BY = "worker/ledger/views/listing.py"
OF_STUDIOCART = cursors.c.source == "studiocart"
LATER = NOW + timedelta(seconds=60)


def put_cursors(ledger: Ledger) -> None:
    with ledger.write() as connection:
        for source in ("studiocart", "frontcore"):
            connection.execute(insert(cursors).values(source=source, position={}, failures=0))


@pytest.fixture
def ledger(session_ledger: SessionLedger) -> Ledger:
    return session_ledger.filled_by(put_cursors)


def take(ledger: Ledger, holder: str, *, at: int = 0, again: bool = False) -> bool:
    now = NOW + timedelta(seconds=at)
    with ledger.write() as connection:
        row = leases.take(
            connection,
            cursors,
            OF_STUDIOCART,
            holder=holder,
            now=now,
            lease_seconds=60,
            again=again,
            last_attempt_at=now,
        )
    return row is not None


def write(ledger: Ledger, holder: str, **values: object) -> bool:
    with ledger.write() as connection:
        return leases.write_held(connection, cursors, OF_STUDIOCART, holder=holder, **values)


def test_row_is_anothers_only_when_the_lease_has_run_out(ledger: Ledger) -> None:
    assert take(ledger, "one")
    assert not take(ledger, "two", at=59)
    assert not take(ledger, "one", at=59)
    assert take(ledger, "one", at=59, again=True)
    assert not take(ledger, "two", at=118)
    assert take(ledger, "two", at=119)
    other, own = sorted(rows(ledger, cursors), key=lambda row: row.source)
    assert (own.lease_holder, own.lease_until) == ("two", NOW + timedelta(seconds=179))
    assert (other.lease_holder, other.lease_until, other.last_attempt_at) == (None, None, None)


def test_only_its_holder_writes_when_a_row_is_held(ledger: Ledger) -> None:
    take(ledger, "one")
    assert not write(ledger, "two", failures=9)
    assert write(ledger, "one", failures=1, **leases.leased("one", now=LATER, lease_seconds=60))
    assert not take(ledger, "two", at=119)
    assert write(ledger, "one", **leases.FREE)
    assert take(ledger, "two", at=1)
    assert not write(ledger, "one", failures=9)
    assert {row.failures for row in rows(ledger, cursors)} == {0, 1}


def test_lease_is_never_shorter_when_it_is_renewed() -> None:
    assert leases.renewed(LATER, now=NOW, lease_seconds=90) == NOW + timedelta(seconds=90)
    assert leases.renewed(LATER, now=NOW, lease_seconds=30) == LATER
    assert leases.renewed(LATER, now=NOW, lease_seconds=None) == LATER


def test_row_can_be_taken_at_once_when_every_lease_was_ended(ledger: Ledger) -> None:
    take(ledger, "one")
    with ledger.write() as connection:
        assert leases.end_all(connection, cursors, now=NOW + timedelta(seconds=1)) == 1
    assert take(ledger, "two", at=1)


def writers() -> Iterator[str]:
    """The modules that name a lease's column as one that is written, or put it into a condition."""
    for package in ("worker", "workflows", "tasks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                is_keyword = (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr == "values"
                    and COLUMNS & {keyword.arg for keyword in node.keywords}
                )
                is_key = isinstance(node, ast.Dict) and COLUMNS & {
                    key.value for key in node.keys if isinstance(key, ast.Constant)
                }
                is_compared = isinstance(node, ast.Compare) and any(
                    f".c.{column}" in ast.unparse(node) for column in COLUMNS
                )
                if is_keyword or is_key or is_compared:
                    yield path.relative_to(ROOT).as_posix()


def test_leases_have_one_writer() -> None:
    assert set(writers()) - {SHOWN_BY} == {"worker/ledger/leases.py"}
