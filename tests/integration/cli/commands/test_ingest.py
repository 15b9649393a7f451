from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from tasks.runtime import IngestResult, Runtime
from tests.integration.cli.conftest import Run
from worker.errors import ApiTimeoutError, ConfigurationError, NotFoundError
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import events

Asked = list[tuple[str, str, str, bool]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Which orders were asked for; 404 is not found, 504 does not answer, 7 has nothing to do."""
    heard: Asked = []

    def ingest(_: Runtime, source: str, order_id: str, *, actor: str, dry_run: bool = False) -> IngestResult:
        heard.append((source, order_id, actor, dry_run))
        if order_id == "504":
            raise ApiTimeoutError("no answer in time")
        if order_id == "404" and dry_run:
            raise NotFoundError("studiocart retrieve_order: there is none.")
        if order_id == "404":
            return IngestResult(
                source, order_id, "review", ok=False, reason="order_not_found", note="NotFoundError: HTTP 404."
            )
        lines = (
            () if order_id == "7" else ("give First aid to jane@example.test", "  learningcart addCompOrder price 501")
        )
        return IngestResult(source, order_id, "planned", ok=True, delivery_id="d1", plan_lines=lines, created=("r1",))

    monkeypatch.setattr(Runtime, "ingest", ingest)
    return heard


def test_each_order_is_looked_at_once_when_named(run: Run, ledger: Ledger, asked: Asked) -> None:
    result = run("ingest", "studiocart", "1109", "7", "1109")
    assert result.exit_code == 0
    assert "studiocart/1109  planned" in result.stdout
    assert "  give First aid to jane@example.test\n    learningcart addCompOrder price 501\n" in result.stdout
    assert "nothing to do" in result.stdout
    assert asked == [("studiocart", "1109", "operator:ann", False), ("studiocart", "7", "operator:ann", False)]


def test_the_plan_is_only_told_when_it_is_a_dry_run(run: Run, ledger: Ledger, asked: Asked) -> None:
    result = run("ingest", "studiocart", "1109", "--dry-run", "--reason", "phone call")
    assert "  would give First aid to jane@example.test\n    learningcart addCompOrder price 501\n" in result.stdout
    assert asked[0][3] is True
    with ledger.read() as connection:
        assert connection.execute(select(events)).all() == []


def test_the_reason_is_kept_in_the_audit_trail_when_one_is_given(run: Run, ledger: Ledger, asked: Asked) -> None:
    run("ingest", "studiocart", "1109", "--reason", "phone call")
    with ledger.read() as connection:
        event = connection.execute(select(events)).one()
    assert (event.kind, event.actor, event.reason) == ("order_ingested", "operator:ann", "phone call")
    assert (event.order_id, event.delivery_id) == ("1109", "d1")


def test_the_others_go_on_and_the_exit_code_is_1_when_an_order_fails(run: Run, ledger: Ledger, asked: Asked) -> None:
    result = run("ingest", "studiocart", "404", "504", "1109")
    assert result.exit_code == 1
    assert "order_not_found" in result.stdout
    assert "  HTTP 404.\n" in result.stdout
    step = "Check the number; `cartbridge ingest studiocart 404` looks again."
    assert step in result.stdout
    assert "studiocart/504: no answer in time" in result.stderr
    assert len(asked) == 3
    as_json = run("ingest", "studiocart", "404", "1109", "--json")
    assert [row["ok"] for row in json.loads(as_json.stdout)] == [False, True]
    assert as_json.exit_code == 1
    would = run("ingest", "studiocart", "404", "--dry-run").stderr
    assert f"there is none. The source does not know this order. {step}" in would


def test_it_is_misuse_when_the_source_is_unknown_or_off(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("ingest", "shopify", "1").exit_code == 2
    assert run("ingest", "studiocart").exit_code == 2
    result = run("ingest", "frontcore", "1")
    assert (result.exit_code, "not configured" in result.stderr) == (2, True)

    def off(*_: object, **__: object) -> IngestResult:
        raise ConfigurationError("off")

    monkeypatch.setattr(Runtime, "ingest", off)
    assert run("ingest", "studiocart", "1").exit_code == 2


def test_the_missing_switch_is_named_when_the_store_is_configured_and_its_orders_are_not_taken(
    run: Run, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SECURE_URL", "store.example"), ("PRIVATE_KEY", "k" * 32), ("TOKEN", "t" * 32)):
        monkeypatch.setenv(f"CARTBRIDGE_THREEDCART__{name}", value)
    for command in (("ingest", "threedcart", "5"), ("backfill", "threedcart", "--since", "2d", "--yes")):
        result = run(*command)
        assert (result.exit_code, "CARTBRIDGE_THREEDCART__ORDERS_ENABLED=true" in result.stderr) == (2, True)
