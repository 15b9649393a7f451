"""The whole product runs, a person is forgotten, and then every place is looked into: nothing of them is left there.

Their name stands in every personal field, in what a vendor's refusal quotes, and in the reasons that operators type.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen

import httpx
import pytest
import redis
from sqlalchemy import select

from tests.faults.harness.waiting import wait_until
from tests.integration.product import ENOUGH_SECONDS, Product
from worker.ledger.tables.base import LedgerModel
from worker.ledger.tables.ledger import search_texts
from worker.ledger.tables.runs import runs
from worker.sandbox import Fault, Sandbox
from worker.sandbox.config import SandboxConfig

pytestmark = pytest.mark.integration

EMAIL, FIRST, LAST = "mark.planted@person.test", "Plantedfirst", "Plantedläst"
TRACES = ("planted", "pl4 9nt")
QUOTE = json.dumps({"Message": f"{FIRST} {LAST} <{EMAIL}> of 1 Planted Street, PL4 9NT is refused"})
TYPED = f"{FIRST} {LAST} called, write to {EMAIL}"
PASSWORD, TOKEN = "open-sesame-of-the-page", "token-of-the-api-0123456789"
LISTINGS = (
    ("runs", "list", "--json"),
    ("orders", "list", "--json"),
    ("deliveries", "list", "--json"),
    ("completions", "list", "--json"),
    ("status", "--json"),
    ("orders", "show", "studiocart/7001", "--json"),
    ("orders", "show", "studiocart/7002"),
    ("why", "studiocart/7001"),
)
PAGES = (
    *("/", "/runs", "/orders", "/orders/studiocart/7001", "/orders/studiocart/7002", "/systems"),
    *("/search?q=plante", "/search/suggestions?q=plante", "/search?q=person.te"),
)
ROUTES = ("runs", "orders", "deliveries", "completions", "status", "orders/studiocart/7001", "orders/studiocart/7002")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.start(config=SandboxConfig(seeded=False)) as running:
        yield running


def sell_to_them(product: Product, order_id: int, status: str = "paid") -> None:
    order = {
        "customer_firstname": FIRST,
        "customer_lastname": LAST,
        "customer_email": EMAIL,
        "customer_phone": "planted-555",
        "customer_address": "1 Planted Street",
        "customer_zip": "PL4 9NT",
        "product_id": "1107",
        "product_name": "Course",
        "status": status,
        "items": [{"product_name": "Course x 1", "quantity": 1}],
    }
    product.sandbox.studiocart.replace_order(order_id, order)


def run(product: Product, *command: str, code: int = 0) -> str:
    """What a command prints; its log is not among those of the services."""
    process = product.start(*command)
    assert process.wait(ENOUGH_SECONDS) == code, product.log_of(process)
    return product.log_of(process)


def run_ids(product: Product) -> list[str]:
    with product.ledger.read() as connection:
        return [row.id for row in connection.execute(runs.select().order_by(runs.c.order_id))]


def sign_in(client: httpx.Client) -> None:
    found = re.search(r'name="form_token" value="([^"]+)"', client.get("/login").text)
    assert found
    fields = {"form_token": found[1], "name": "ann", "password": PASSWORD}
    answer = client.post("/login", data=fields, headers={"Origin": str(client.base_url).rstrip("/")})
    assert answer.status_code == 303


def stored(product: Product) -> str:
    """All that the ledger keeps: the file's bytes with its log, or every row on PostgreSQL."""
    path = product.ledger.path
    if path is not None:
        return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*")).decode("latin-1")
    with product.ledger.read() as connection:
        tables = LedgerModel.metadata.sorted_tables
        return "\n".join(repr(tuple(row)) for table in tables for row in connection.execute(table.select()))


def shown(product: Product, port: int) -> dict[str, str]:
    """What each page, route and command shows."""
    reported = {}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=ENOUGH_SECONDS) as client:
        for route in ROUTES:
            answer = client.get(f"/api/v1/{route}", headers={"Authorization": f"Bearer {TOKEN}"})
            assert answer.status_code == 200
            reported[f"api {route}"] = answer.text
        sign_in(client)
        for page in PAGES + tuple(f"/runs/{each}" for each in run_ids(product)):
            answer = client.get(page)
            assert answer.status_code == 200, page
            reported[f"page {page}"] = answer.text
    for listing in LISTINGS:
        reported["cartbridge " + " ".join(listing)] = run(product, *listing)
    return reported


def assert_forgotten(places: dict[str, str]) -> None:
    found = {place: trace for place, text in places.items() for trace in TRACES if trace in text.casefold()}
    assert found == {}


def copy_ledger(folder: Path) -> datetime:
    """Copy the ledger on SQLite, and say when."""
    copied_at = datetime.now(UTC)
    with closing(sqlite3.connect(folder / "cartbridge.db")) as connection:
        connection.execute(f"VACUUM INTO '{folder / 'copy.sqlite'}'")
    return copied_at


def assert_forgotten_in_copy(product: Product, folder: Path, copied_at: datetime) -> Popen[bytes]:
    """Restore the copy, and start the product on it: it knows again whom it was to forget."""
    product.ledger.close()
    for each in folder.glob("cartbridge.db*"):
        each.unlink()
    (folder / "copy.sqlite").rename(folder / "cartbridge.db")
    run(product, "recover", "--since", f"{copied_at:%Y-%m-%dT%H:%M:%S}", "--yes", "--reason", TYPED)
    assert_forgotten({"ledger": stored(product)})
    again = product.start("up")
    assert_forgotten(shown(product, product.port_of(again)))
    return again


def in_redis(url: str) -> str:
    with closing(redis.Redis.from_url(url)) as client:
        return " ".join(f"{key!r} {client.dump(key)!r}" for key in client.scan_iter("*"))


@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
def test_nothing_of_a_person_is_left_anywhere_when_they_were_forgotten(
    sandbox: Sandbox, tmp_path: Path, where: str, request: pytest.FixtureRequest
) -> None:
    database = f"sqlite:///{tmp_path / 'cartbridge.db'}"
    more, commands = {}, ["up"]
    if where == "postgresql":
        database = request.getfixturevalue("postgres_url")
        more, commands = {"CARTBRIDGE_BROKER_URL": request.getfixturevalue("redis_url")}, ["web", "worker", "beat"]
    more |= {"CARTBRIDGE_WEB__ADMIN_PASSWORD": PASSWORD, "CARTBRIDGE_WEB__API_TOKEN": TOKEN}
    more |= {"CARTBRIDGE_ERASURES_FILE": str(tmp_path / "erasures.jsonl"), "CARTBRIDGE_RETRY__MAX_ATTEMPTS": "2"}
    with Product(sandbox, database, tmp_path, **more) as product:
        services = [product.start(command) for command in commands]
        port = product.port_of(services[0])
        sandbox.inject(Fault("learningcart", "addCustomerToGroup", kind="status", status=400, body=QUOTE))
        sell_to_them(product, 7001)
        wait_until(lambda: product.states() in (["review"], ["failed"]), seconds=ENOUGH_SECONDS, what="a refusal")
        run(product, "pause", "learningcart", "--reason", TYPED)
        run(product, "resume", "learningcart", "--reason", TYPED)
        run(product, "replay", *run_ids(product), "--reason", TYPED)
        sell_to_them(product, 7002)
        product.wait_until_succeeded(2)
        # From what operators typed and vendors quoted they are missing from the moment it is recorded.
        assert_forgotten({"log": "".join(map(product.log_of, services))})
        with product.ledger.read() as connection:
            table = LedgerModel.metadata.tables["events"]
            reported = [row.reason for row in connection.execute(table.select()) if row.reason]
        assert_forgotten({"reasons": " ".join(reported)})
        copied_at = copy_ledger(tmp_path) if where == "sqlite" else None
        assert "planted" in stored(product).casefold()
        with product.ledger.read() as connection:
            texts = connection.scalars(select(search_texts.c.text)).all()
        assert all("plantedfirst" in text and "plantedlast" in text and EMAIL in text for text in texts)

        run(product, "forget", EMAIL, "--yes", "--reason", TYPED)
        assert_forgotten({"ledger": stored(product), "log": "".join(map(product.log_of, services))})
        assert_forgotten(shown(product, port))
        assert_forgotten({"erasures": (tmp_path / "erasures.jsonl").read_text()})
        if where == "postgresql":
            assert_forgotten({"redis": in_redis(more["CARTBRIDGE_BROKER_URL"])})
        # An edit at the source, which a poll and the operator see.
        sell_to_them(product, 7001, status="completed")
        run(product, "ingest", "studiocart", "7001", "7002")
        product.sell(1, first_id=7003)
        product.wait_until_succeeded(3)
        assert_forgotten({"ledger": stored(product), "log": "".join(map(product.log_of, services))})
        if copied_at is None:
            assert_forgotten(shown(product, port))
            return

        # A copy from before is restored.
        for service in services:
            assert product.stop(service) == 0
        again = assert_forgotten_in_copy(product, tmp_path, copied_at)
        wait_until(lambda: len(product.states()) == 3, seconds=ENOUGH_SECONDS, what="the order since the copy")
        assert_forgotten({"ledger": stored(product), "log": product.log_of(again)})
