"""A broker at its worst: it brings every message twice, to two different workers, and loses some on demand."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from random import Random

from tasks.dispatch import Dispatcher
from tasks.runtime import Runtime

IDLE_TIMEOUT_SECONDS = 60.0
"""No message takes this long: workers that are not idle by then are stuck."""


@dataclass(frozen=True)
class Message:
    """A task's name and its arguments: ids only."""

    task: str
    arguments: tuple[str, ...]


class StuckError(Exception):
    """Workers were still at it after a minute."""


class DoublingBroker:
    """Messages to `workers` workers. `take` blocks; `wait_until_idle` returns when nothing is waiting or worked on."""

    def __init__(self, workers: int) -> None:
        self.rng = Random(0)
        self.lost_share = 0.0
        """How many of the messages get lost, both copies of each."""
        self.sent = 0
        self.run_was_sent = threading.Event()
        """Set by the first message about a run, lost or not. Whoever waits for one clears it before."""
        self._queues: list[deque[Message]] = [deque() for _ in range(workers)]
        self._open = 0
        self._closed = False
        self._changed = threading.Condition()

    def send(self, message: Message) -> None:
        """Put a message before two workers, or lose it."""
        with self._changed:
            self.sent += 1
            if self.rng.random() < self.lost_share:
                return
            for number in self.rng.sample(range(len(self._queues)), 2):
                self._queues[number].append(message)
            self._open += 2
            self._changed.notify_all()

    def take(self, worker: int) -> Message | None:
        """The next message of a worker, which calls `done` after it; None when the broker is closed."""
        queue = self._queues[worker]
        with self._changed:
            self._changed.wait_for(lambda: queue or self._closed)
            return queue.popleft() if queue else None

    def done(self) -> None:
        """Say that a message was worked, and that what it rang for has been sent."""
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def wait_until_idle(self) -> None:
        """Raises `StuckError` where the workers never end."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._open, IDLE_TIMEOUT_SECONDS):
                raise StuckError(f"{self._open} messages are still under way")

    def close(self) -> None:
        """Let every worker end once its queue is empty."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class DoublingDispatcher(Dispatcher):
    """The product's own dispatcher, its chains built from the ledger, but for the wire behind it."""

    def __init__(self, runtime: Runtime, broker: DoublingBroker) -> None:
        super().__init__(runtime.app, runtime.ledger)
        self._broker = broker

    def send_order(self, source: str, order_id: str) -> bool:
        self._broker.send(Message("cartbridge.ingest", (source, order_id)))
        return True

    def _chain(self, run_id: str, planned: list[tuple[str, str, str]]) -> None:
        workflow, kind, _ = planned[0]
        self._broker.send(Message(f"cartbridge.{workflow}.{kind}", (run_id,)))
        self._broker.run_was_sent.set()
