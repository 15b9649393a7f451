from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from tests.unit.worker.ledger.rows import NOW, add_delivery, add_order, add_run, ledger_in_memory, minutes_ago
from worker.errors import NotInLedgerError
from worker.ledger.views.lookup import find_runs, one_delivery, one_run, suggestions


@pytest.fixture
def connection() -> Iterator[Connection]:
    with ledger_in_memory() as opened:
        yield opened


def test_a_run_is_found_when_named_by_id_key_or_beginning(connection: Connection) -> None:
    add_order(connection)
    run = add_run(connection)
    other = add_run(connection, seat="seat-2", at=minutes_ago(60 * 24 * 365))
    for name in (run, run.upper(), f" {run} ", "studiocart/1109/1107/buyer/501", run[:6]):
        assert find_runs(connection, name) == [run]
        assert one_run(connection, name) == run
    assert find_runs(connection, other[:4]) == [other]


def test_no_run_is_found_when_the_name_is_too_short_or_holds_wildcards(connection: Connection) -> None:
    add_order(connection)
    run = add_run(connection)
    for name in (run[:3], "", "%%%%", run[:3] + "_"):
        assert find_runs(connection, name) == []


def test_more_is_asked_for_when_a_beginning_names_several(connection: Connection) -> None:
    add_order(connection)
    runs = [add_run(connection, seat=f"seat-{number}", at=NOW) for number in range(2)]
    assert sorted(find_runs(connection, runs[0][:8])) == sorted(runs)
    with pytest.raises(NotInLedgerError, match=r"more than one run .*Give more of it"):
        one_run(connection, runs[0][:8])


def test_a_delivery_is_found_when_named_by_id_or_beginning(connection: Connection) -> None:
    add_delivery(connection, "01abcdef")
    assert one_delivery(connection, "01ABCDEF") == "01abcdef"
    assert one_delivery(connection, "01abc") == "01abcdef"
    with pytest.raises(NotInLedgerError, match="no delivery '77777'"):
        one_delivery(connection, "77777")


def test_the_nearest_names_are_offered_when_a_name_is_misspelt(connection: Connection) -> None:
    add_order(connection)
    run = add_run(connection)
    assert suggestions(connection, "jane@exmaple.com") == ["jane@example.com"]
    assert suggestions(connection, "jan@example.com") == ["jane@example.com"]
    assert suggestions(connection, "1109") == ["studiocart/1109"]
    assert suggestions(connection, "frontcore/1109")[0] == "studiocart/1109"
    assert suggestions(connection, "studiocart/1190") == ["studiocart/1109"]
    assert suggestions(connection, run[:-1] + "!") == [run]
    assert suggestions(connection, "studiocart/1109/1107/buyer/502")[0] == "studiocart/1109/1107/buyer/501"
    with pytest.raises(NotInLedgerError, match=f"Did you mean {run}"):
        one_run(connection, run[:-1] + "!")


def test_nothing_is_offered_when_the_ledger_holds_nothing_like_it(connection: Connection) -> None:
    assert suggestions(connection, "zoe@nowhere.example") == []
    with pytest.raises(NotInLedgerError, match=r"There is no run 'zzzzz' in the ledger\. See: cartbridge runs list$"):
        one_run(connection, "zzzzz")
