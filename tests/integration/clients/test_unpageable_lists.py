"""Shops whose lists cannot be walked, or only in another way: what is seen is planned, and nobody is told that all is.

Over the sandbox, by the poller, the backfill, the reconciliation and `cartbridge check` as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tasks.reconcile import reconciler_of
from tests.faults.harness.product import Rig
from worker.cli.app import app
from worker.clients.list_pages import UnpageableListError
from worker.ledger.session import Ledger
from worker.ledger.views import overview
from worker.sandbox import Fault, Sandbox, SandboxConfig
from workflows.ingest.backfill import Backfiller, Window
from workflows.ingest.order_polling import Polled
from workflows.monitoring.alerts import problems
from workflows.reconcile.findings import Cause

pytestmark = pytest.mark.integration

ORDERS = 25
NEWEST_TEN = {str(7001 + number) for number in range(ORDERS - 10, ORDERS)}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    url = f"sqlite:///{tmp_path / 'cartbridge.db'}"
    ledger = Ledger(url)
    ledger.migrate()
    ledger.close()
    with Sandbox.start(config=SandboxConfig(seeded=False)) as sandbox:
        rig = Rig(sandbox, url, tmp_path)
        for number in range(ORDERS):
            rig.sell(7001 + number, email=f"learner-{number}@example.test")
        yield rig
        rig.close()


def poll(rig: Rig) -> Polled:
    rig.clock.move(300)
    return rig.runtime.poller("studiocart").poll()


def planned(rig: Rig) -> set[str]:
    return {row["order_id"] for row in rig.rows("runs")}


def check(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name, value in rig.sandbox.environment(systems=["studiocart"]).items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(app, ["check", "--json"])
    [finding] = [each for each in json.loads(result.stdout)["findings"] if each["name"] == "studiocart"]
    return dict(finding)


SAME_PAGE: list[dict[str, Any]] = [
    {"parameters_in": "neither", "tells_totals": False},
    {"parameters_in": "neither", "tells_totals": True},
    {"parameters_in": "query", "refuses_get_bodies": True, "ignored_parameters": frozenset({"page", "per_page"})},
]


@pytest.mark.parametrize("site", SAME_PAGE)
def test_a_poll_fails_and_plans_what_it_saw_when_every_page_is_the_same(rig: Rig, site: dict[str, Any]) -> None:
    for name, value in site.items():
        setattr(rig.sandbox.config.studiocart, name, value)
    for failures in (1, 2, 3):  # what was seen is known by now: that is no reason to stop before the second page
        polled = poll(rig)
        assert "more may stand behind them" in str(polled.error)
        assert planned(rig) == NEWEST_TEN
        with rig.ledger.read() as connection:
            [source] = overview.list_sources(connection, rig.clock())
            assert (source.failures, source.last_success_at, source.baseline_at) == (failures, None, None)
            assert "let requests pass as they are" in str(source.last_error)
    with rig.ledger.read() as connection:
        reported = {problem.key: problem for problem in problems(connection, rig.clock())}
    assert "let requests pass as they are" in reported["failing/studiocart"].advice
    rig.sandbox.config.studiocart.parameters_in = "both"
    rig.sandbox.config.studiocart.ignored_parameters = frozenset()
    assert poll(rig).error is None
    assert len(planned(rig)) == ORDERS


def test_a_poll_fails_when_the_list_stops_being_paged_and_nothing_is_new(rig: Rig) -> None:
    assert poll(rig).error is None
    rig.sandbox.config.studiocart.parameters_in = "neither"
    rig.sandbox.config.studiocart.tells_totals = False
    assert "more may stand behind them" in str(poll(rig).error)


@pytest.mark.parametrize("site", SAME_PAGE)
def test_books_are_not_said_to_agree_when_a_list_cannot_be_walked(rig: Rig, site: dict[str, Any]) -> None:
    assert poll(rig).error is None
    for name, value in site.items():
        setattr(rig.sandbox.config.studiocart, name, value)
    found = reconciler_of(rig.runtime).find(rig.clock() - timedelta(days=2)).findings
    assert Cause.NOT_CHECKED in {finding.cause for finding in found}
    assert any("could not be checked to the end" in finding.sentence for finding in found)


def test_a_backfill_fails_behind_what_it_took_in_when_a_list_cannot_be_walked(rig: Rig) -> None:
    rig.sandbox.config.studiocart.parameters_in = "neither"
    runtime = rig.runtime
    source, policy = runtime.sources["studiocart"], runtime.policies["studiocart"]
    backfiller = Backfiller(rig.ledger, source, policy, runtime.offers, clock=rig.clock)
    window = Window(rig.clock() - timedelta(days=30), datetime.now(UTC) + timedelta(days=1))
    with pytest.raises(UnpageableListError):
        backfiller.preview(window)
    with pytest.raises(UnpageableListError):
        backfiller.run(window, actor="operator:ann")
    assert planned(rig) == NEWEST_TEN


@pytest.mark.parametrize("site", SAME_PAGE)
def test_a_check_is_not_ready_and_says_what_to_do_when_a_list_cannot_be_walked(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, site: dict[str, Any]
) -> None:
    for name, value in site.items():
        setattr(rig.sandbox.config.studiocart, name, value)
    finding = check(rig, monkeypatch)
    assert (finding["accepted"], finding["failed"]) == (False, True)
    assert "exclude the API's path from caching" in finding["next_step"]
    assert "API_KEY" not in finding["next_step"]


@pytest.mark.parametrize(
    "site",
    [
        {"parameters_in": "query"},
        {"parameters_in": "body", "tells_totals": False},
        {"refuses_get_bodies": True},
        {"slow_above_rows": 10},
        {"items": "names"},
        {"buyers_have_accounts": False},
    ],
)
@pytest.mark.parametrize("first", ["query", "body"])
def test_every_order_is_seen_when_another_way_of_asking_works(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, site: dict[str, Any], first: str
) -> None:
    for name, value in site.items():
        setattr(rig.sandbox.config.studiocart, name, value)
    monkeypatch.setenv("CARTBRIDGE_STUDIOCART__PARAMETERS_IN", first)
    finding = check(rig, monkeypatch)
    assert (finding["accepted"], finding["failed"]) == (True, False)
    assert "cannot read" not in finding["detail"]
    assert poll(rig).error is None
    assert len(planned(rig)) == ORDERS


@pytest.mark.parametrize(
    ("site", "step"),
    [
        ({"has_developer_api": False}, "Developer API is part of Studiocart Pro"),
        ({"plain_permalinks": True}, "Does CARTBRIDGE_STUDIOCART__BASE_URL name the API"),
        ({"bad_key_status": 401, "api_key": "another"}, "Correct CARTBRIDGE_STUDIOCART__API_KEY"),
    ],
)
def test_a_check_names_the_next_step_when_the_site_refuses(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, site: dict[str, Any], step: str
) -> None:
    before = rig.sandbox.environment(systems=["studiocart"])
    for name, value in site.items():
        setattr(rig.sandbox.config.studiocart, name, value)
    monkeypatch.setattr(rig.sandbox, "environment", lambda **_: before)
    assert step in check(rig, monkeypatch)["next_step"]


def test_a_check_blames_the_cdn_and_not_the_key_when_a_page_of_html_refuses(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.sandbox.inject(Fault("studiocart", "*", "status", status=403, times=None))
    finding = check(rig, monkeypatch)
    assert "the API key was not judged" in finding["detail"]
    assert "CDN, firewall or security plugin" in finding["next_step"]
    assert "API_KEY" not in finding["next_step"]


def test_everything_works_when_permalinks_are_plain(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.sandbox.config.studiocart.plain_permalinks = True
    address = f"{rig.sandbox.base_url}/studiocart/?rest_route=/sc/v1"
    before = rig.sandbox.environment(systems=["studiocart"]) | {"CARTBRIDGE_STUDIOCART__BASE_URL": address}
    monkeypatch.setattr(rig.sandbox, "environment", lambda **_: before)
    assert check(rig, monkeypatch)["accepted"] is True


def test_orders_go_on_and_the_list_is_told_when_subscriptions_cannot_be_read(rig: Rig) -> None:
    rig.sandbox.inject(Fault("studiocart", "list_subscriptions", "status", status=504, times=None))
    for _ in range(3):
        poller = rig.runtime.subscription_poller("studiocart")
        assert poller is not None
        assert poller.poll().error is not None
        rig.clock.move(300)
    with rig.ledger.read() as connection:
        found = overview.status(connection, rig.clock())
        [reported] = found.lists
        assert (reported.source, reported.list, reported.failures) == ("studiocart", "subscriptions", 3)
        keys = {problem.key for problem in problems(connection, rig.clock())}
    assert "failing/studiocart:subscriptions" in keys
