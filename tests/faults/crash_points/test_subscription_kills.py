"""A poll of subscriptions is killed at every commit there is: the next one leaves the ledger as if nothing happened."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from tests.faults.harness.product import Killed, die
from tests.integration.subscriptions.watched import IGNORING_TEXT, Watched, a_subscription
from tests.unit.workflows.fakes.storefront import Clock, rows, states
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import events
from worker.sources.subscription import Access
from workflows.planning.offers_file import OffersFile

MORE_THAN_THERE_ARE = 40


def kill_at(ledger: Ledger, commit: int, *, after: bool) -> Callable[[], bool]:
    """Let the process die before or after the ledger's next commit of this number; tells whether it came to that."""
    write, counted = ledger.write, [0]

    @contextmanager
    def doomed() -> Iterator[Connection]:
        counted[0] += 1
        is_last = counted[0] == commit
        with write() as connection:
            yield connection
            if is_last and not after:
                die()
        if is_last:
            die()

    ledger.write = doomed  # type: ignore[assignment, method-assign]
    return lambda: counted[0] >= commit


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_ledger_is_the_same_when_a_poll_is_killed_at_any_commit(
    migrated_file: Path, tmp_path: Path, after: bool
) -> None:
    (tmp_path / "offers.toml").write_text(IGNORING_TEXT)
    for commit in range(1, MORE_THAN_THERE_ARE):
        shutil.copyfile(migrated_file, tmp_path / "cartbridge.db")
        ledger = Ledger(f"sqlite:///{tmp_path / 'cartbridge.db'}")
        watched = Watched(ledger, OffersFile(tmp_path / "offers.toml"), Clock())
        numbers = range(1, 6)
        watched.site.put(*(a_subscription(number, 1000 + number) for number in numbers))
        for number in numbers:
            watched.sell(1000 + number)
            watched.succeed(1000 + number)
        watched.poll()
        watched.site.put(*(a_subscription(number, 1000 + number, access=Access.CANCELED) for number in numbers))
        write = ledger.write
        came_to_it = kill_at(ledger, commit, after=after)
        try:
            watched.poll(minutes=20)
        except Killed:
            assert came_to_it()
        ledger.write = write  # type: ignore[method-assign]
        for _ in range(2):
            assert watched.poll(minutes=20).error is None
        questions = {key: state for key, state in states(ledger).items() if key.endswith("/revoke")}
        asked = ("review", "subscription_canceled")
        assert questions == {f"{1000 + number}/1107/buyer/501/revoke": asked for number in numbers}
        reported = [row.order_id for row in rows(ledger, events) if row.kind == "subscription_ended"]
        assert sorted(reported) == [str(1000 + number) for number in numbers]
        ledger.close()
        if not came_to_it():
            return
    raise AssertionError("more commits than a poll has")
