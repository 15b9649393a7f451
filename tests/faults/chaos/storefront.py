"""The shops: sell orders without end from a thread, announce them as shops do, and change some of them later."""

from __future__ import annotations

import heapq
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

import requests

from tests.faults.chaos.external_systems import Outside
from tests.faults.harness.sales import Sale, Stream
from tests.faults.judging.sold import Access
from worker.sandbox import studiocart_webhook

ORDERS_PER_SECOND = 3.0
_BACKLOG_TO_SLOW_DOWN_AT = 120
_SLOW_SHARE = 0.2
_SENDERS = 4
_WEBHOOK_SECONDS = 2.0
_TRIES = 3
_PERSISTENT_SHARE = 0.5
_STEP_SECONDS = 0.02


@dataclass
class Sold:
    """One sale, and when the world could know of it (seconds since the epoch; None: not yet)."""

    sale: Sale
    sold_at: float
    paid_at: float | None
    changed_at: float | None = None

    @property
    def is_withdrawn(self) -> bool:
        return self.sale.is_withdrawn and self.changed_at is not None

    @property
    def access(self) -> Access:
        """What its seats must have at the end."""
        if self.paid_at is None:
            return Access.NOT_DUE
        return Access.WITHDRAWN if self.is_withdrawn else Access.DUE


@dataclass
class Till:
    """Everything that was sold, and what became of the webhooks. Shared by threads under its lock."""

    sold: list[Sold] = field(default_factory=list)
    webhooks: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def all(self) -> list[Sold]:
        """A copy of the list."""
        with self.lock:
            return list(self.sold)

    def note_webhook(self, result: str) -> None:
        with self.lock:
            self.webhooks[result] += 1


class Shop:
    """Sells `ORDERS_PER_SECOND` from `open` to `close`; fewer while the product has a long backlog."""

    def __init__(self, outside: Outside, web_url: str, *, seed: str, backlog: Callable[[], int]) -> None:
        self.till = Till()
        self._outside = outside
        self._web_url = web_url
        self._backlog = backlog
        self._stream = Stream(Random(f"{seed}/sales"))
        self._rng = Random(f"{seed}/webhooks")
        self._later: list[tuple[float, int, Sold]] = []
        self._tie = count()
        self._closing = threading.Event()
        self._senders = ThreadPoolExecutor(_SENDERS, thread_name_prefix="webhook")
        self._thread = threading.Thread(target=self._run, name="shop", daemon=True)
        self.failure: BaseException | None = None
        """What ended the stream before its time: a fault of this harness or of the sandbox."""

    def open(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop selling, make the changes that are still to come, and send the last webhooks. Harmless when closed."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self._senders.shutdown(wait=True, cancel_futures=False)

    def _run(self) -> None:
        try:
            next_at = time.monotonic()
            while not self._closing.wait(_STEP_SECONDS):
                if time.monotonic() >= next_at:
                    self._sell(self._stream.next_sale())
                    is_behind = self._backlog() > _BACKLOG_TO_SLOW_DOWN_AT
                    pace = ORDERS_PER_SECOND * (_SLOW_SHARE if is_behind else 1.0)
                    next_at = max(next_at + 1 / pace, time.monotonic() - 1.0)
                self._change(until=time.monotonic())
            self._change(until=float("inf"))
        except Exception as error:  # noqa: BLE001 - told by whoever watches the shop
            self.failure = error

    def _sell(self, sale: Sale) -> None:
        record = self._outside.add_order(sale.source, sale.record)
        now = time.time()
        sold = Sold(sale, sold_at=now, paid_at=None if sale.is_paid_late else now)
        with self.till.lock:
            self.till.sold.append(sold)
        self._announce(sale, record, sale.webhooks)
        if sale.later is not None:
            heapq.heappush(self._later, (time.monotonic() + sale.later_seconds, next(self._tie), sold))

    def _change(self, *, until: float) -> None:
        while self._later and self._later[0][0] <= until:
            _, _, sold = heapq.heappop(self._later)
            sale = sold.sale
            record = self._outside.change_order(sale.source, sale.order_id, **sale.later or {})
            sold.changed_at = time.time()
            if sale.is_paid_late:
                sold.paid_at = sold.changed_at
            self._announce(sale, record, self._rng.randint(0, 2))

    # Webhooks

    def _announce(self, sale: Sale, record: dict[str, Any], times: int) -> None:
        for _ in range(times):
            tries = _TRIES if self._rng.random() < _PERSISTENT_SHARE else 1
            self._senders.submit(self._send, sale.source, record, tries)

    def _send(self, source: str, record: dict[str, Any], tries: int) -> None:
        """Send one webhook. Half of the shops try again; the others' webhooks are lost, and polling has to make up."""
        secret = self._outside.environment[f"CARTBRIDGE_{source.upper()}__WEBHOOK_SECRET"]
        if source == "studiocart":
            headers, body = studiocart_webhook(record, secret=secret)
        else:
            headers = {"Content-Type": "application/json", "X-Webhook-Secret": secret}
            body = json.dumps({"id": record["id"]}).encode()
        for left in reversed(range(tries)):
            if self._is_taken(source, headers, body):
                self.till.note_webhook("taken")
                return
            if left and not self._closing.is_set():
                self._closing.wait(1.0)
        self.till.note_webhook("lost")

    def _is_taken(self, source: str, headers: dict[str, str], body: bytes) -> bool:
        with requests.Session() as session:
            session.trust_env = False
            url = f"{self._web_url}/webhooks/{source}"
            try:
                answer = session.post(url, data=body, headers=headers, timeout=_WEBHOOK_SECONDS)
            except requests.RequestException:
                return False
        if answer.status_code not in {202, 503}:
            self.till.note_webhook(f"answered {answer.status_code}")
        return answer.status_code == 202
