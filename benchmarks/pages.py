"""Asks each page of the operator's page many times on a large ledger, and says how long it took.

    python benchmarks/pages.py [--runs 1000000] [--times 50] [--limit-milliseconds 200] [--database-url …]

Without a database it starts a PostgreSQL of its own, as the tests do, and fills it. Ends with 1 when any page's 95th
percentile is over the limit; what is suggested while one types has half of it. Each page is asked through the whole
app, signed in, one request after another. The first answer of each is told by itself: nothing was kept for it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.fill_ledger import fill
from tasks.dispatch import Dispatcher
from tests.integration.servers import PostgresServer
from worker.ledger.session import Ledger
from worker.ledger.tables.runs import orders, runs
from worker.settings.settings import Settings
from worker.web.app import create_app

HOST = "http://cartbridge.example"
SUGGESTIONS = "/search/suggestions"
PASSWORD = "only for measuring"  # noqa: S105 - guards a ledger of made-up names
FILTERS = (
    "?state=succeeded", "?state=review", "?state=failed", "?state=cancelled", "?state=waiting", "?state=pending",
    "?state=review&reason=unmapped_product", "?state=review&reason=waiting_list", "?reason=superseded",
    "?reason=done_by_hand", "?source=threedcart", "?source=threedcart&state=failed", "?system=threedcart",
    "?system=learningcart", "?since=1h", "?since=30d&state=review", "?state=succeeded&reason=unmapped_product",
)  # fmt: skip
ORDER_FILTERS = (
    "?state=review",
    "?state=planned",
    "?state=waiting",
    "?source=threedcart",
    "?reason=unknown_status",
    "?since=24h",
)


_FEWEST = 25_000
"""Runs that a ledger needs for a page with 20,000 newer orders before it."""


class Silent(Dispatcher):
    """A dispatcher without a broker."""

    def __init__(self) -> None:
        """Without anything to send to."""

    def send_order(self, source: str, order_id: str) -> bool:
        """Not sent here."""
        return bool(source and order_id)

    def broker_ok(self) -> bool:
        """There is none."""
        return True


def addresses(ledger: Ledger, far: int) -> list[str]:
    """Every page, with things that are in this ledger: those that `far` newer ones stand before."""
    with ledger.read() as connection:
        # From the middle of the year, whose pages of the disk nobody has just read.
        run = connection.execute(select(runs).order_by(runs.c.email_key).offset(min(1000, far)).limit(1)).one()
        newest = connection.execute(
            select(runs.c.id).order_by(runs.c.created_at.desc()).offset(far).limit(1)
        ).scalar_one()
        newest = connection.execute(
            select(orders.c.source, orders.c.order_id).order_by(orders.c.updated_at.desc()).offset(far).limit(1)
        ).one()
    searches = (
        run.email, run.email[:6] + "@", f"{run.source}/{run.order_id}", run.order_id, run.id, run.id[:8],
        run.result_id or "900001", (run.result_id or "900001")[1:], run.id[4:12], "@" + run.email.partition("@")[2],
        "Jane Doe", "nordmann", "safety at work", "Nobody At-All", "zzzz9999",
    )  # fmt: skip
    month = f"{run.created_at:%Y-%m}"
    return [
        "/", "/today/live", "/today/pace",
        "/runs", f"/runs?after={newest}", *(f"/runs{each}" for each in FILTERS),
        f"/runs?state=succeeded&after={newest}",
        "/orders", f"/orders?after={newest.source}/{newest.order_id}", *(f"/orders{each}" for each in ORDER_FILTERS),
        "/deliveries", "/deliveries?state=planned", "/deliveries?source=threedcart", "/activity",
        "/report", f"/report?month={month}",
        *(f"{path}?{httpx.QueryParams(q=each)}" for path in ("/search", SUGGESTIONS) for each in searches),
        f"/runs/{run.id}", f"/orders/{run.source}/{run.order_id}", f"/learners/{run.lane}", "/offers", "/systems",
    ]  # fmt: skip


async def ask(ledger: Ledger, times: int, *, far: int = 20_000) -> dict[str, list[float]]:
    """The milliseconds each page took, by address; a page that does not exist is left out.

    A page that answers with anything but itself took for ever.
    """
    settings = Settings.model_validate({"web": {"admin_password": SecretStr(PASSWORD)}})
    app = create_app(settings, ledger, Silent(), clock=lambda: datetime.now(UTC))
    took: dict[str, list[float]] = {}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOST) as client:
        token = re.search(r'name="form_token" value="([^"]+)"', (await client.get("/login")).text)
        if token is None:
            raise SystemExit("the login page has no form")
        form = {"form_token": token[1], "name": "benchmark", "password": PASSWORD, "next": "/"}
        await client.post("/login", data=form, headers={"Origin": HOST})
        for address in addresses(ledger, far):
            for _ in range(times):
                begun = time.perf_counter()
                answer = await client.get(address)
                if answer.status_code == 404:
                    break
                if answer.status_code not in {200, 303} or answer.headers.get("location", "").startswith("/login"):
                    took[address] = [math.inf]  # told in the table, so that the others' times are not lost
                    break
                took.setdefault(address, []).append((time.perf_counter() - begun) * 1000)
    return took


def percentile(ordered: list[float], share: float) -> float:
    """The value that as large a share as this does not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@contextlib.contextmanager
def filled_database(arguments: argparse.Namespace) -> Iterator[str]:
    """The database that was named, or one of our own, filled."""
    if arguments.database_url:
        yield arguments.database_url
        return
    with PostgresServer() as server:
        url = server.create_database()
        fill(url, arguments.runs, seed=1)
        yield url


def main() -> None:
    """Fill, ask, print, and say by the exit code whether it was fast enough."""
    parser = argparse.ArgumentParser(description="Measure the operator's page on a large ledger.")
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--limit-milliseconds", type=float, default=200.0)
    parser.add_argument("--database-url", default="", help="A ledger that is filled already.")
    arguments = parser.parse_args()
    if not arguments.database_url and arguments.runs < _FEWEST:
        parser.error(f"a page far back needs a ledger of {_FEWEST} runs or more")
    with filled_database(arguments) as url:
        ledger = Ledger(url)
        took = asyncio.run(ask(ledger, arguments.times))
        ledger.close()
    table = Table("page", "first ms", "p50 ms", "p95 ms", "max ms")
    slow = []
    for address, measured in took.items():
        ordered = sorted(measured)
        p95 = percentile(ordered, 0.95)
        share = 0.5 if address.startswith(SUGGESTIONS) else 1.0
        style = "bold red" if p95 > share * arguments.limit_milliseconds else ""
        shown = (measured[0], percentile(ordered, 0.5), p95, ordered[-1])
        table.add_row(address, *(f"{each:.0f}" for each in shown), style=style)
        if style:
            slow.append(address)
    Console(width=120).print(table)
    print(f"{len(took)} pages, {arguments.times} times each; {len(slow)} over {arguments.limit_milliseconds:.0f} ms")
    raise SystemExit(1 if slow else 0)


if __name__ == "__main__":
    main()
