"""`docs/upstreams.md`: the table of operations names what is there, and leaves nothing out."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from worker.sandbox.config import SandboxConfig
from worker.sandbox.wire import Request
from worker.sandbox.world import World

REPOSITORY = Path(__file__).parents[3]
PAGE = (REPOSITORY / "docs" / "upstreams.md").read_text(encoding="utf-8")
SYSTEMS = ("learningcart", "studiocart", "frontcore", "threedcart")
DOCUMENTED = {
    "learningcart": {
        *("GET /requestToken", "GET /getOrderByID", "GET /getOrdersByDate", "GET /addCompOrder"),
        *("GET /addCustomer", "GET /addCustomerToGroup", "GET /getCompletions"),
    },
    "studiocart": {
        *("GET /customers", "GET /customers/{customer_id}", "GET /orders", "GET /orders/{order_id}"),
        *("GET /orders/subscription/{subscription_id}", "GET /subscriptions", "GET /subscriptions/{subscription_id}"),
        *("GET /products", "GET /products/{product_id}"),
    },
    "frontcore": {"GET /orders"},
    "threedcart": {
        *("POST /Cart", "GET /Cart/{orderkey}", "PUT /Cart/{orderkey}", "DELETE /Cart/{orderkey}"),
        "POST /Cart/{orderkey}/Item",
        *("PUT /Cart/{orderkey}/Item/{cartitemid}", "DELETE /Cart/{orderkey}/Item/{cartitemid}"),
    },
}
"""Every operation that the vendors' four documents name."""
NO_OPERATION = {"close", "ready"}


class Operation(NamedTuple):
    """One row of the table."""

    system: str
    client: str
    address: str
    methods: tuple[str, ...]
    sandbox: str
    test: str
    place: str


def _rows() -> list[Operation]:
    found: list[Operation] = []
    system = client = ""
    for line in PAGE.splitlines():
        if heading := re.fullmatch(r"### .+: `([\w.]+)`, sandbox `(\w+)`", line):
            client, system = heading[1], heading[2]
        elif re.match(r"\| `(GET|POST|PUT|DELETE) /", line):
            address, methods, sandbox, test, place = (cell.strip() for cell in line.strip("|").split("|"))
            names = tuple(re.findall(r"`(\w+)`", methods))
            found.append(
                Operation(system, client, address.strip("`"), names, sandbox.strip("`"), test.strip("`"), place)
            )
    return found


ROWS = _rows()


@cache
def _tests_of(path: str) -> dict[str, str]:
    """The source of each test function of a file, by name."""
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    return {node.name: ast.get_source_segment(text, node) or "" for node in functions}


def _client(row: Operation) -> type:
    module, _, name = row.client.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, type)
    return found


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_documented_operation_is_in_the_table(system: str) -> None:
    listed = [row.address for row in ROWS if row.system == system]
    assert set(listed) >= DOCUMENTED[system]
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("system", SYSTEMS)
def test_no_public_method_of_a_client_is_missing(system: str) -> None:
    rows = [row for row in ROWS if row.system == system]
    public = {name for name, _ in inspect.getmembers(_client(rows[0]), inspect.isfunction) if not name.startswith("_")}
    assert {name for row in rows for name in row.methods} == public - NO_OPERATION


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.system} {row.address}")
def test_sandbox_answers_the_operation_when_its_address_is_called(row: Operation) -> None:
    verb, _, path = row.address.partition(" ")
    system = World(SandboxConfig()).systems[row.system]
    assert system.route(Request(verb, re.sub(r"\{\w+\}", "1", path))).operation == row.sandbox


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.system} {row.address}")
def test_test_over_http_calls_the_method_when_the_table_says_so(row: Operation) -> None:
    path, _, name = row.test.partition("::")
    assert path.startswith("tests/integration/")
    text = _tests_of(path)[name]
    assert any(re.search(rf"\b{method}\b", text) for method in row.methods)
    assert row.place
