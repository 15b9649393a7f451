"""No statement of the product reads a growing table whole: what each database makes of every statement that is run.

The whole product is driven on a small ledger (sources, workers, sweeps, commands, page, API), and every statement that
reached the database is explained. PostgreSQL is told to avoid whole tables: where it takes one, no index would do.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, event, select, update
from typer.testing import CliRunner

from benchmarks import pages
from benchmarks.fill_ledger import fill
from tasks.control import sweep
from tasks.runtime import Runtime, adopt_runtime
from tests.faults.harness.product import Rig
from worker.broker.schedule import beat_schedule
from worker.cli.app import app
from worker.ledger.session import Ledger
from worker.ledger.tables import indexes
from worker.ledger.tables.runs import cursors, runs
from worker.sandbox import Sandbox
from worker.settings.settings import load_settings
from worker.web.app import create_app

API_TOKEN = "planted-api-token-0123456789"
WEBHOOK_SECRET = "plantedWebhookSecret"
OFFERS = """
[[offer]]
source = "studiocart"
product_id = "1107"
grants = [{ price_id = 501, group_ids = [12] }]

[[follow_on]]
course_id = 1501
catalog_id = 1234
"""
GROWING = (
    *("runs", "steps", "attempts", "events", "orders", "order_versions", "deliveries", "learners", "completions"),
    *("outbox", "subscriptions", "subscription_orders", "carts", "sealed_passwords", "named_seats", "order_notes"),
    "search_texts",
)
"""Every table whose rows grow with the orders."""
PARTIAL = {
    str(index.name)
    for index in (
        indexes.ONE_RUNNING_PER_LANE,
        *indexes.RUN_INDEXES,
        *indexes.ORDER_INDEXES,
        *indexes.DELIVERY_INDEXES,
        *indexes.EVENT_INDEXES,
        *indexes.OTHER_INDEXES,
    )
    if index.dialect_options["postgresql"]["where"] is not None
}
USED = (
    *("runs_needs_reason", "runs_needs", "runs_reason", "runs_other_system", "runs_ended"),
    *("orders_needs_reason", "deliveries_needs_reason", "orders_updated_at"),
)
"""Indexes that the operator's page stands on."""
SOURCES = ("studiocart", "frontcore", "threedcart")
EXCEPTIONS = {
    r"count\(\*\) AS \w+ FROM (runs|orders|deliveries) GROUP BY": "`status` and the metrics count every state; metrics "
    "leave the ledger alone for twenty times as long as they took",
    r"(ILIKE|LIKE lower\()": "forgetting a person: any text may quote them, and no index finds a word in a text",
    r"FROM (events|order_versions) WHERE \w+\.(at|seen_at) <": "retention, once a day: what is older than some months",
    r"^SELECT orders.source, orders.order_id FROM orders$": "forgetting a person: the highest order ids of that moment",
    r"^SELECT \S+ AS value, count\(\*\) AS looked_at": "a filter's choices are counted on a few thousand rows at most",
    r"FROM \(SELECT search_texts": "a search looks through so many of the newest texts before it asks the index",
    r"FROM learners WHERE learners.email_key (GLOB|COLLATE)": "a search beyond ASCII: the keys' index alone is read",
}
"""What of a statement shows that it is one of those that read a table whole, and why that is right."""


PATHS = """
/api/v1/status
/api/v1/orders/studiocart/7001
/api/v1/runs
/api/v1/runs?state=review
/api/v1/runs?email=jane7001@example.test
/api/v1/runs?reason=unmapped_product
/api/v1/orders
/api/v1/orders?state=planned
/api/v1/orders?source=studiocart
/api/v1/orders?email=jane7001@example.test
/api/v1/deliveries
/api/v1/deliveries?state=planned
/api/v1/completions
/api/v1/completions?course_id=1501
/metrics
/readyz
"""
COMMANDS = """\
status
status --json
runs list
runs list --json
runs list --state review
runs list --state failed --since 2h
runs list --source studiocart
runs list --reason superseded
runs list --review-reason unmapped_product
runs list --email {email}
runs list --order-id 7001
runs show {run}
orders list
orders list --state planned --since 2h
orders list --source studiocart
orders list --email {email}
orders list --reason unknown_status
orders show studiocart/7001
deliveries list
deliveries list --state planned
completions list
completions list --course 1501
completions list --email {email}
offers unmapped
why {email}
why studiocart/7001
why {run}
why doe
why 7001
ingest studiocart 7003 --yes
backfill studiocart --since 2020-01-01 --yes
reconcile --since 7d
reconcile --since 7d --fix --yes
replay {run} --yes
replay --state review --replan --yes
replay --source studiocart --since 2h --yes
runs cancel {review} --yes
runs reopen {review} --reason test --yes
runs resolve {review} --reason done
recover --since 2h --without-erasures --yes
retention --yes
export {email}
forget {email} --yes
pause learningcart
resume learningcart"""


@contextmanager
def listening() -> Iterator[dict[str, Any]]:
    """Every statement that is run meanwhile, with the parameters it was first run with."""
    found: dict[str, Any] = {}

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, executemany: bool) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")):
            found.setdefault(statement, parameters[0] if executemany else parameters)

    event.listen(Engine, "before_cursor_execute", note)
    yield found
    event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture
def environment(ledger: Ledger, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings of a product with everything switched on."""
    (tmp_path / "offers.toml").write_text(OFFERS)
    variables = {
        "CARTBRIDGE_DATABASE_URL": ledger.engine.url.render_as_string(hide_password=False),
        "CARTBRIDGE_OFFERS_FILE": str(tmp_path / "offers.toml"),
        "CARTBRIDGE_EVENTS__WEBHOOK_URL": "http://127.0.0.1:1/events",
        "CARTBRIDGE_EVENTS__WEBHOOK_SECRET": "whsec_" + "QUJD" * 8,
        "CARTBRIDGE_WEB__API_TOKEN": API_TOKEN,
        "CARTBRIDGE_STUDIOCART__WEBHOOK_SECRET": WEBHOOK_SECRET,
        "CARTBRIDGE_RETRY__MAX_SECONDS": "1",
    }
    for source in SOURCES:
        variables |= {
            f"CARTBRIDGE_{source.upper()}__START_AT": "2020-01-01",
            f"CARTBRIDGE_{source.upper()}__REQUESTS_PER_SECOND": "0",
        }
    made = sandbox.environment(**variables, CARTBRIDGE_LEARNINGCART__REQUESTS_PER_SECOND="0")
    for name, value in made.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start() as running:
        yield running


def sell(sandbox: Sandbox, order_id: int, **changes: Any) -> None:
    order = {
        "customer_firstname": "Jane",
        "customer_lastname": "Doe",
        "customer_email": f"jane{order_id}@example.test",
        "product_id": "1107",
        "status": "paid",
    }
    sandbox.studiocart.replace_order(order_id, order | changes)


def work(runtime: Runtime) -> None:
    """What beat and the workers do, until nothing is due."""
    for entry in beat_schedule(runtime.settings).values():
        runtime.app.tasks[entry["task"]].run(*entry.get("args", ()))
    for _ in range(3):
        sweep(runtime)
        with runtime.ledger.read() as connection:
            due = connection.execute(select(runs.c.id, runs.c.workflow).where(runs.c.state == "pending")).all()
        for run in due:
            step = "create_cart" if run.workflow == "follow_on" else "add_customer"
            runtime.app.tasks[f"cartbridge.{run.workflow}.{step}"].run(run.id)


def drive(sandbox: Sandbox, ledger: Ledger, environment: dict[str, str]) -> None:
    """Use everything the product has once."""
    for order_id in range(7001, 7005):
        sell(sandbox, order_id)
    sell(sandbox, 7005, product_id="9999")
    runtime = Runtime(load_settings(environment, env_file=None))
    adopt_runtime(runtime)
    try:
        work(runtime)
        sell(sandbox, 7001, status="refunded")
        sell(sandbox, 7006)
        runtime.ingest("studiocart", "7001", actor="operator:test")
        customer = sandbox.learningcart.customers[0]
        sandbox.learningcart.add_completion(customer.id, 1501, completed_at=datetime.now(UTC))
        with ledger.write() as connection:
            connection.execute(update(cursors).values(deep_swept_at=None))
        vanish(runtime)
        work(runtime)
        ask_web(runtime, ledger)
    finally:
        runtime.close()
    ask_commands(ledger)


def vanish(runtime: Runtime) -> None:
    """A worker takes a run and is gone, longer ago than its lease lasts."""
    runtime.ingest("studiocart", "7006", actor="operator:test")
    with runtime.ledger.read() as connection:
        run_id = connection.scalars(
            select(runs.c.id).where(runs.c.source == "studiocart", runs.c.order_id == "7006")
        ).one()
    assert runtime.executor.claim(run_id, "learningcart") is not None
    with runtime.ledger.write() as connection:
        ended_at = datetime.now(UTC) - timedelta(hours=1)
        connection.execute(update(runs).where(runs.c.id == run_id).values(lease_until=ended_at))


def ask_web(runtime: Runtime, ledger: Ledger) -> None:
    """Every page, every route of the API with its filters, the metrics, and a webhook."""
    asyncio.run(pages.ask(ledger, 1, far=1))
    web = create_app(runtime.settings, ledger, pages.Silent(), clock=runtime.clock)

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(web), base_url="http://test.example") as client:
            for path in PATHS.split():
                answer = await client.get(path, headers={"Authorization": f"Bearer {API_TOKEN}"})
                assert answer.status_code == 200, (path, answer.text)
            secret = {"X-Webhook-Secret": WEBHOOK_SECRET}
            assert (await client.post("/webhooks/studiocart", json={"id": 7002}, headers=secret)).status_code == 202

    asyncio.run(ask())


def ask_commands(ledger: Ledger) -> None:
    """Every command that looks or acts, with each of its filters."""
    with ledger.read() as connection:
        run_id = connection.scalars(select(runs.c.id).where(runs.c.state == "succeeded").limit(1)).one()
        review_id = connection.scalars(select(runs.c.id).where(runs.c.reason == "unmapped_product").limit(1)).one()
    for line in COMMANDS.splitlines():
        command = line.format(run=run_id, review=review_id, email="jane7002@example.test").split()
        result = CliRunner().invoke(app, command)
        assert result.exit_code in {0, 1}, (command, result.output)


def test_no_statement_reads_a_growing_table_whole(
    ledger: Ledger, sandbox: Sandbox, environment: dict[str, str]
) -> None:
    with listening() as statements:
        drive(sandbox, ledger, environment)
    explain = explain_on_sqlite if ledger.is_sqlite else explain_on_postgres
    plans = {}
    with ledger.read() as connection:
        if not ledger.is_sqlite:
            for way in ("seqscan", "hashjoin", "mergejoin"):  # of few rows each would be the fastest way
                connection.exec_driver_sql(f"SET enable_{way} = off")
        for statement, parameters in statements.items():
            words = " ".join(statement.split())
            if not any(re.search(shown, words) for shown in EXCEPTIONS):
                plans[words] = explain(connection, statement, parameters)
    assert len(plans) > 300
    assert {words: plan.whole for words, plan in plans.items() if plan.whole} == {}
    if ledger.is_sqlite:  # PostgreSQL chooses by what is in the tables, which is nothing
        used = " ".join(plan.text for plan in plans.values())
        assert [index for index in USED if not re.search(rf"\bix_{index}\b", used)] == []


def test_a_run_costs_no_look_at_whole_tables_when_many_went_before(
    postgres_url: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """As PostgreSQL itself chooses, by what it knows of tables that are neither empty nor large."""
    ledger = Ledger(postgres_url)
    ledger.migrate()
    fill(postgres_url, 2000, seed=1)
    rig = Rig(sandbox, postgres_url, tmp_path, shared_clock=True)
    run_id = rig.enrol()
    with ledger.write() as connection:
        connection.exec_driver_sql("ANALYZE")
    with listening() as statements:
        rig.work(run_id)
    assert rig.run(run_id)["state"] == "succeeded"
    assert len(statements) >= 3
    with ledger.read() as connection:
        plans = [explain_on_postgres(connection, *each) for each in statements.items()]
    assert [plan.whole for plan in plans if plan.whole] == []
    rig.close()
    ledger.close()


@dataclass(frozen=True)
class Plan:
    """How a database would carry out a statement."""

    whole: list[str]
    """The growing tables it would read from end to end."""
    text: str = ""


def explain_on_postgres(connection: Any, statement: str, parameters: Any) -> Plan:
    plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    return Plan(list(_read_whole(plan[0]["Plan"], is_limited=False)))


def _read_whole(node: dict[str, Any], *, is_limited: bool) -> Iterator[str]:
    """A table is read whole without an index, and by one that no condition leads into, unless its beginning is enough.

    A filter stands for another way that is no faster on few rows: SQLite, which does not count them, shows it.
    """
    table, index = node.get("Relation Name"), node.get("Index Name")
    is_led = "Index Cond" in node or "Filter" in node or index in PARTIAL or is_limited
    if table in GROWING and (node["Node Type"] == "Seq Scan" or (index is not None and not is_led)):
        yield f"{table} by {index}"
    is_limited = is_limited or node["Node Type"] == "Limit"
    for each in node.get("Plans", []):
        yield from _read_whole(each, is_limited=is_limited and node["Node Type"] not in {"Sort", "Aggregate"})


def explain_on_sqlite(connection: Any, statement: str, parameters: Any) -> Plan:
    lines = [str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    whole = []
    for line in lines:
        scanned = re.fullmatch(rf"SCAN ({'|'.join(GROWING)})\b(?: USING (?:COVERING )?INDEX (\w+))?.*", line)
        if scanned and not (scanned[2] and ("LIMIT" in statement or scanned[2] in PARTIAL)):
            whole.append(line)
    return Plan(whole, "\n".join(lines))


@pytest.mark.integration
def test_pages_keep_room_when_their_rows_are_updated(postgres_ledger_url: str) -> None:
    ledger = Ledger(postgres_ledger_url)
    with ledger.read() as connection:
        roomy = "SELECT relname FROM pg_class WHERE 'fillfactor=80' = ANY(reloptions)"
        assert set(connection.exec_driver_sql(roomy).scalars()) == {"runs", "steps", "attempts", "orders", "deliveries"}
    ledger.close()
