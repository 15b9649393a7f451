"""The fast target: LearningCart's calls and Studiocart's orders on loopback, in a process of its own.

It answers at once, or after `delay` seconds, from templates made of the sandbox's records, and notes when each call
arrived. Every measure reads its rates here, whoever made the calls.

    with Target() as target:
        target.reset(orders=1000)
        …
        report = target.report()
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import PIPE, Popen
from time import monotonic
from typing import Any, Self
from urllib.parse import parse_qs

from tests.integration.servers import die_with_parent
from worker.sandbox import SandboxConfig
from worker.sandbox.learningcart.form import render
from worker.sandbox.learningcart.records import SiteCustomer, SiteOrder, customer_record, order_record
from worker.sandbox.studiocart.records import order_defaults

ROOT = Path(__file__).resolve().parents[1]
CALLS = ("addCustomer", "addCustomerToGroup", "addCompOrder")
FIRST_ORDER = 1_000_001
_MARK = 777777777
"""Stands in the templates for an order's number, which is also its learner's and its customer's."""


@dataclass(frozen=True)
class Report:
    """What arrived since the last reset: the moments of each call, by `time.monotonic`, and each learner's first."""

    calls: dict[str, list[float]]
    first_calls: dict[int, float]
    customers: int
    """How many different customers have a comped order."""

    @property
    def finished(self) -> list[float]:
        """The moments of the comped orders: each ends a workflow."""
        return self.calls.get("addCompOrder", [])

    def per_second(self) -> float:
        """Workflows a second: a third of the calls, without their first and last tenth: no start or end counts.

        A chain's queue makes all first calls before the second ones, so one kind of call alone would not tell.
        """
        at = sorted(moment for call in CALLS for moment in self.calls.get(call, []))
        first, last = len(at) // 10, len(at) - 1 - len(at) // 10
        if last <= first:
            raise SystemExit(f"only {len(at)} calls arrived: nothing can be measured")
        return (last - first) / len(CALLS) / (at[last] - at[first])


class Target:
    """Starts the target's process; leaves by ending it."""

    def __enter__(self) -> Self:
        self._process = Popen(
            [sys.executable, "-m", "benchmarks.target"],
            cwd=ROOT,
            stdout=PIPE,
            text=True,
            preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509  (it only asks the kernel)
        )
        if self._process.stdout is None:
            raise SystemExit("the target has no output")
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reset(self, *, orders: int = 0, delay_seconds: float = 0.0) -> None:
        """Forget what arrived; the shop has so many paid orders, and LearningCart answers after the delay."""
        self._ask(f"reset?orders={orders}&delay={delay_seconds}")

    def finished(self) -> int:
        """How many comped orders there are."""
        return int(self._ask("count"))

    def report(self) -> Report:
        raw = self._ask("report")
        return Report(raw["calls"], {int(key): at for key, at in raw["first_calls"].items()}, raw["customers"])

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/_target/{path}", timeout=60) as answer:  # noqa: S310  (our own)
            return json.loads(answer.read())


def _templates() -> dict[str, bytes]:
    now = datetime.now(UTC)
    config = SandboxConfig().learningcart
    customer = SiteCustomer(_MARK, {"First Name": "Jane", "Last Name": "Doe", "Email": f"learner-{_MARK}@example.test"})
    order = SiteOrder(_MARK, _MARK, 501, "@@", now)
    token = {
        "Authentication Token": "5a4db0c5-0000-4000-8000-000000000000",
        "Issue Date": now,
        "Expiration Date": now + timedelta(days=7),
    }
    values = {
        "requestToken": (token, "AuthenticationToken"),
        "addCustomer": (customer_record(customer, is_new=True, password="pass"), "Customer"),  # noqa: S106
        "addCustomerToGroup": (True, "boolean"),
        "addCompOrder": (order_record(order, customer, config), "Order"),
        "getCompletions": ([], "CourseCompletionInfo"),
        "getOrdersByDate": ([], "Order"),
    }
    made = {name: render(value, method=name, kind=kind, config=config).body for name, (value, kind) in values.items()}
    shop_order = order_defaults(
        _MARK, {"product_name": "Course", "payment_plan_id": "price_1"}, now, "http://127.0.0.1"
    ) | {"id": _MARK, "customer_email": f"learner-{_MARK}@example.test"}
    return made | {"order": json.dumps(shop_order, separators=(",", ":")).encode()}


class _Site:
    """What the target holds, and what it answers."""

    def __init__(self) -> None:
        self._templates = _templates()
        self.reset()

    def reset(self, orders: int = 0, delay_seconds: float = 0.0) -> None:
        self.delay_seconds = delay_seconds
        self._orders = orders
        self._calls: dict[str, list[float]] = defaultdict(list)
        self._first_calls: dict[int, float] = {}
        self._customers: set[str] = set()

    def answer(self, target: str) -> tuple[int, bytes, str]:
        """Status, body and further headers of a GET."""
        arrived_at = monotonic()
        path, _, query = target.partition("?")
        folder, _, name = path.rpartition("/")
        if folder.endswith(".svc"):
            return self._learningcart(name, query, arrived_at)
        given = {key: values[-1] for key, values in parse_qs(query).items()}
        if folder.endswith("_target"):
            return 200, json.dumps(self._control(name, given)).encode(), ""
        if name == "orders":
            self._calls["orders"].append(arrived_at)
            return self._page(
                int(given.get("page", 1)), int(given.get("per_page", 10)), is_ascending=given.get("order") == "asc"
            )
        if folder.endswith("/orders"):
            return 200, self._order(int(name)), ""
        return 200, b"[]", "X-WP-Total: 0\r\n"

    def _learningcart(self, name: str, query: str, arrived_at: float) -> tuple[int, bytes, str]:
        body = self._templates.get(name)
        if body is None:
            return 404, b"", ""
        self._calls[name].append(arrived_at)
        if name == "addCustomer":
            number = query.partition("learner-")[2].partition("%40")[0].partition("@")[0]
            self._first_calls.setdefault(int(number), arrived_at)
            return 200, body.replace(b"777777777", number.encode()), ""
        if name == "addCompOrder":
            given = parse_qs(query)
            number = given["CustomerID"][0]
            self._customers.add(number)
            comments = given.get("OrderComments", [""])[0]
            return 200, body.replace(b"777777777", number.encode()).replace(b"@@", comments.encode()), ""
        return 200, body, ""

    def _order(self, number: int) -> bytes:
        return self._templates["order"].replace(b"777777777", b"%d" % number)

    def _page(self, page: int, size: int, *, is_ascending: bool) -> tuple[int, bytes, str]:
        numbers = range(FIRST_ORDER, FIRST_ORDER + self._orders)
        ordered = numbers if is_ascending else numbers[::-1]
        rows = b",".join(self._order(number) for number in ordered[(page - 1) * size : page * size])
        return 200, b"[" + rows + b"]", f"X-WP-Total: {self._orders}\r\n"

    def _control(self, name: str, given: dict[str, str]) -> Any:
        if name == "reset":
            self.reset(int(given["orders"]), float(given["delay"]))
        if name == "report":
            return {"calls": self._calls, "first_calls": self._first_calls, "customers": len(self._customers)}
        return len(self._calls["addCompOrder"])


class _Connection(asyncio.Protocol):
    """One keep-alive connection; a request at a time, as clients of HTTP/1.1 send them."""

    def __init__(self, site: _Site) -> None:
        self._site = site
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(b"\r\n\r\n"):
            return
        target = self._received.split(b" ", 2)[1].decode()
        self._received = b""
        status, body, headers = self._site.answer(target)
        head = (
            f"HTTP/1.1 {status} OK\r\nContent-Type: application/json; charset=utf-8\r\n{headers}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._later(lambda: self._transport.write(head.encode() + body), is_slow=".svc/add" in target)

    def _later(self, write: Callable[[], None], *, is_slow: bool) -> None:
        if is_slow and self._site.delay_seconds:
            asyncio.get_running_loop().call_later(self._site.delay_seconds, write)
        else:
            write()


async def _serve() -> None:
    site = _Site()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(site), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
