from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.dispatch import Dispatcher
from tasks.runtime import Runtime
from tests.integration.cli.conftest import Run
from tests.unit.workflows.fakes.storefront import ONE_OFFER, FakeSource, an_order
from worker.cli import confirm
from worker.errors import ApiTimeoutError
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import cursors, deliveries, events, orders, runs

TODAY = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeSource:
    """Studiocart, with three orders of the last days and one of long ago."""
    source = FakeSource(lambda: datetime.now(UTC), page_size=2)
    for number, days in ((1, 400), (2, 5), (3, 4), (4, 3)):
        source.put(an_order(str(number), created_at=TODAY - timedelta(days=days)))

    def connect(self: Runtime) -> None:
        self.sources = {"studiocart": source}

    monkeypatch.setattr(Runtime, "_connect_systems", connect)
    (tmp_path / "offers.toml").write_text(ONE_OFFER)
    return source


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard: list[str] = []

    def send(_: Dispatcher, run_ids: Sequence[str]) -> bool:
        heard.extend(run_ids)
        return True

    monkeypatch.setattr(Dispatcher, "send_runs", send)
    return heard


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirm, "is_terminal", lambda: True)


def count(ledger: Ledger, table: Any) -> int:
    with ledger.read() as connection:
        return len(connection.execute(table.select()).all())


def test_the_window_is_taken_in_when_the_operator_said_yes(
    run: Run, ledger: Ledger, shop: FakeSource, sent: list[str]
) -> None:
    result = run("backfill", "studiocart", "--since", "10d", "--yes", "--reason", "moved")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "3 orders read: 3 new, 0 changed; 3 to be given access, 0 in review.\n"
    with ledger.read() as connection:
        found = connection.execute(runs.select()).all()
        ended = connection.execute(events.select().where(events.c.kind == "backfill_ended")).one()
    assert sorted(sent) == sorted(row.id for row in found)
    assert (ended.actor, ended.reason) == ("operator:ann", "moved")
    assert shop.count("since page 1") == 1
    again = run("backfill", "studiocart", "--since", "10d", "--yes", "--json")
    reported = json.loads(again.stdout)
    assert {name: reported[name] for name in ("orders", "new", "changed", "unchanged", "dry_run")} == {
        "orders": 3,
        "new": 0,
        "changed": 0,
        "unchanged": 3,
        "dry_run": False,
    }
    assert reported["since"].endswith("Z")


def test_nothing_is_written_when_it_is_a_dry_run(run: Run, ledger: Ledger, shop: FakeSource) -> None:
    shop.put(an_order("5", created_at=None))
    result = run("backfill", "studiocart", "--since", "10d", "--dry-run")
    assert result.exit_code == 0
    assert "3 orders read: 3 new" in result.stdout
    assert "gives_access" in result.stdout
    assert "to jane@example.test" in result.stdout
    assert "learningcart addCompOrder price 501" in result.stdout
    assert "1 order without a readable date left out" in result.stderr
    assert "cartbridge ingest studiocart 5" in result.stderr
    assert [count(ledger, table) for table in (orders, runs, deliveries, events, cursors)] == [0] * 5
    as_json = json.loads(run("backfill", "studiocart", "--since", "10d", "--dry-run", "--json").stdout)
    assert (as_json["new"], as_json["reasons"], as_json["undated"]) == (3, {"gives_access": 3}, ["5"])
    assert [each["order_id"] for each in as_json["shown"]] == ["4", "3", "2"]


def test_the_rest_is_counted_when_there_are_more_than_are_shown(run: Run, ledger: Ledger, shop: FakeSource) -> None:
    shop.put(*(an_order(str(number), created_at=TODAY - timedelta(days=1)) for number in range(10, 32)))
    result = run("backfill", "studiocart", "--since", "10d", "--dry-run")
    assert "… and 5 more orders." in result.stderr


def test_it_is_misuse_when_there_is_nobody_to_ask(run: Run, ledger: Ledger, shop: FakeSource) -> None:
    result = run("backfill", "studiocart", "--since", "10d")
    assert (result.exit_code, "add --yes" in result.stderr) == (2, True)
    assert shop.asked == []


@pytest.mark.usefixtures("terminal")
def test_the_operator_decides_when_he_has_seen_what_would_be_done(
    run: Run, ledger: Ledger, shop: FakeSource, sent: list[str]
) -> None:
    refused = run("backfill", "studiocart", "--since", "10d", input="n\n")
    assert refused.exit_code == 1
    assert "Take in 3 orders (3 seats to be given access, 0 for review)?" in refused.stderr
    assert "Nothing was changed." in refused.stderr
    assert count(ledger, orders) == 0
    agreed = run("backfill", "studiocart", "--since", "10d", "--json", input="y\n")
    assert agreed.exit_code == 0
    assert json.loads(agreed.stdout.partition("\n")[2])["new"] == 3  # after what the operator typed
    unasked = run("backfill", "studiocart", "--since", "10d")
    assert "Nothing to do" in unasked.stderr
    assert unasked.exit_code == 0


def test_the_rest_is_taken_in_when_it_was_cut_short_and_is_run_again(
    run: Run, ledger: Ledger, shop: FakeSource, sent: list[str]
) -> None:
    shop.pages_until_broken = 1
    since = f"{TODAY - timedelta(days=10):%Y-%m-%d}"
    cut = run("backfill", "studiocart", "--since", since, "--yes")
    assert cut.exit_code == 1
    assert "studiocart: the site is down" in cut.stderr
    assert "Run the same command again" in cut.stderr
    assert count(ledger, orders) == 2
    shop.pages_until_broken = None
    result = run("backfill", "studiocart", "--since", since, "--yes")
    assert result.exit_code == 0
    assert "3 orders read: 1 new, 0 changed; 1 to be given access, 0 in review." in result.stdout
    assert count(ledger, orders) == 3


def test_a_failed_dry_run_has_nothing_to_go_on_with(run: Run, ledger: Ledger, shop: FakeSource) -> None:
    shop.broken = ApiTimeoutError("too slow")
    result = run("backfill", "studiocart", "--since", "10d", "--dry-run")
    assert (result.exit_code, "What was recorded" in result.stderr) == (1, False)


def test_it_is_misuse_when_the_window_or_the_source_cannot_be(run: Run, ledger: Ledger, shop: FakeSource) -> None:
    nothing = run("backfill", "studiocart", "--yes")
    assert (nothing.exit_code, "say from when on" in nothing.stderr) == (2, True)
    for wrong in (["--since", "2d", "--until", "3d"], ["--since", "2999-01-01"]):
        assert run("backfill", "studiocart", *wrong, "--yes").exit_code == 2
    off = run("backfill", "frontcore", "--since", "2d", "--yes")
    assert (off.exit_code, "not configured" in off.stderr) == (2, True)
    assert run("backfill", "shopify", "--since", "2d", "--yes").exit_code == 2
