"""How many messages wait in each queue of the broker."""

from __future__ import annotations

from celery import Celery
from kombu.connection import Connection

from worker.broker.app import QUEUES

_CONNECT_SECONDS = 1.0


def queue_depths(app: Celery) -> dict[str, int] | None:
    """The messages in each of our queues that a worker has not taken, 0 for one nobody has made; None without a broker.

    Never raises; may block for a second.
    """
    try:
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=_CONNECT_SECONDS)
            return {queue: _depth(connection, queue) for queue in QUEUES}
    except Exception:  # noqa: BLE001  (whatever the broker does, a scrape must get its answer)
        return None


def _depth(connection: Connection, queue: str) -> int:
    try:
        # Asking for a queue that is not there closes the channel: each question gets its own.
        with connection.channel() as channel:  # type: ignore[no-untyped-call]
            return int(channel.queue_declare(queue, passive=True).message_count)
    except connection.channel_errors:
        return 0
