"""How soon webhooks are acknowledged, and how soon after one LearningCart is called: senders that do not wait."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from benchmarks.product import WEBHOOK_SECRET, Deployment
from benchmarks.target import FIRST_ORDER
from benchmarks.throughput import Servers

RATES = (10, 20)
SECONDS = 20
ACKNOWLEDGED_RATE = 200
ACKNOWLEDGED_SECONDS = 10
WARM_UP = 20


@dataclass(frozen=True)
class Sent:
    """A webhook: when it was due to be sent, and how long it took to be acknowledged; refused, it took for ever."""

    order: int
    at: float
    acknowledged_seconds: float

    @property
    def is_refused(self) -> bool:
        return math.isinf(self.acknowledged_seconds)


def measure(servers: Servers, advance: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """Milliseconds, as p50 and p99."""
    found = {}
    for rate in RATES:
        advance(f"{rate} orders/s")
        found[f"first call at {rate}/s"] = _first_calls(servers, rate)
    advance(f"{ACKNOWLEDGED_RATE} webhooks/s")
    with _deployed(servers, "web") as product:
        asyncio.run(send(product.port, FIRST_ORDER, WARM_UP, 20.0))
        first = FIRST_ORDER + WARM_UP
        sent = asyncio.run(send(product.port, first, ACKNOWLEDGED_RATE * ACKNOWLEDGED_SECONDS, ACKNOWLEDGED_RATE))
    found[f"acknowledged at {ACKNOWLEDGED_RATE}/s"] = percentiles([each.acknowledged_seconds for each in sent]) | {
        "refused": sum(each.is_refused for each in sent)
    }
    return found


def _first_calls(servers: Servers, rate: int) -> dict[str, float]:
    count = rate * SECONDS
    with _deployed(servers, "web", "worker", "beat") as product:
        asyncio.run(send(product.port, FIRST_ORDER, WARM_UP, 10.0))
        sent = asyncio.run(send(product.port, FIRST_ORDER + WARM_UP, count, rate))
        accepted = WARM_UP + count - sum(each.is_refused for each in sent)
        product.wait(lambda: servers.target.finished() >= accepted, f"{accepted} orders")
    called_at = servers.target.report().first_calls
    return percentiles([called_at.get(each.order, math.inf) - each.at for each in sent])


@contextmanager
def _deployed(servers: Servers, *commands: str) -> Iterator[Deployment]:
    """The product on empty servers, ready for webhooks."""
    servers.target.reset(orders=100_000)
    servers.broker.flushall()
    url = servers.postgres.create_database()
    with Deployment(servers.target, url, servers.broker.url, CARTBRIDGE_STUDIOCART__POLL_SECONDS="0") as product:
        product.run("migrate")
        for command in commands:
            product.start(command)
        product.wait_until_ready()
        yield product
    servers.postgres.drop_database(url)


async def send(port: int, first: int, count: int, rate: float) -> list[Sent]:
    """Send webhooks of so many orders at random moments, however long the answers take."""
    rng = random.Random(first)
    due_at = monotonic()
    sending = []
    for order in range(first, first + count):
        due_at += rng.expovariate(rate)
        await asyncio.sleep(max(0.0, due_at - monotonic()))
        sending.append(asyncio.create_task(_post(port, order, due_at)))
    return await asyncio.gather(*sending)


async def _post(port: int, order: int, due_at: float) -> Sent:
    body = json.dumps({"id": order}).encode()
    head = (
        f"POST /webhooks/studiocart HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Webhook-Secret: {WEBHOOK_SECRET}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + body)
    answer = await reader.read()
    took_seconds = monotonic() - due_at
    writer.close()
    return Sent(order, due_at, took_seconds if b" 202 " in answer[:20] else math.inf)


def percentiles(seconds: list[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    ordered = sorted(seconds)
    return {f"p{share}": ordered[min(len(ordered) - 1, len(ordered) * share // 100)] * 1000 for share in (50, 99)}
