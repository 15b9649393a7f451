"""The broker of a simulation: queues of task names and ids, which may be late, doubled, lost, or swept empty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from celery import Celery

from tasks.dispatch import Dispatcher
from worker.ledger.session import Ledger

CONTROL, INGEST = "control", "ingest"


@dataclass(frozen=True)
class Message:
    """What a worker is given."""

    task: str
    args: tuple[str, ...] = ()


@dataclass
class Broker:
    """Messages that wait for a worker. `post` may be replaced by one that delays, doubles and loses."""

    waiting: list[Message] = field(default_factory=list)
    is_down: bool = False
    post: Callable[[Message], None] | None = None

    def put(self, message: Message) -> None:
        """Take a message; `ConnectionError` when the broker is down."""
        if self.is_down:
            raise ConnectionError("the broker is down")
        if self.post is None:
            self.waiting.append(message)
        else:
            self.post(message)

    def take(self) -> Message | None:
        """The oldest message, which is gone if its worker dies; None if there is none, or the broker is down."""
        return self.waiting.pop(0) if self.waiting and not self.is_down else None


class SimulatedDispatcher(Dispatcher):
    """The real dispatcher, but for the wire: what it would send goes to a simulated broker."""

    def __init__(self, app: Celery, ledger: Ledger, broker: Broker, *, now: Callable[[], float]) -> None:
        super().__init__(app, ledger, now=now)
        self._broker = broker

    def send_order(self, source: str, order_id: str) -> bool:
        return self._send(lambda: self._broker.put(Message("cartbridge.ingest", (source, order_id))))

    def send_poll(self, source: str) -> bool:
        return self._send(lambda: self._broker.put(Message("cartbridge.poll", (source,))))

    def send_sweep(self) -> bool:
        return self._send(lambda: self._broker.put(Message("cartbridge.dispatch_due")))

    def send_runs(self, run_ids: Sequence[str]) -> bool:
        return super().send_runs(run_ids)

    def _chain(self, run_id: str, planned: list[tuple[str, str, str]]) -> None:
        # All steps here are one system's: the first link carries on in place, and no other is ever sent.
        workflow, kind, _ = planned[0]
        self._broker.put(Message(f"cartbridge.{workflow}.{kind}", (run_id,)))
