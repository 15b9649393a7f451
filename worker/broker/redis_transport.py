"""Kombu's Redis transport, but that neither a broker which goes away nor a message that cannot be read takes its
workers with it.

When the connection is lost, kombu 5.7 gives the messages a worker holds back to a broker that is not there; what that
raises ends the worker ("Unrecoverable error"); so does a message that is no JSON, from whoever reaches Redis, and a
Redis that answers and takes no writes: a replica after a failover, one whose memory or disk is full. A message is a
hint: lost, the ledger sends it again.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from queue import Empty
from typing import Any, Final

from kombu.transport import TRANSPORT_ALIASES, redis
from kombu.transport.virtual import Message, QoS
from kombu.transport.virtual.base import queue_declare_ok_t  # type: ignore[attr-defined]
from redis.exceptions import ResponseError

log = logging.getLogger(__name__)

REFUSED_SECONDS: Final = 5.0
"""How long a Redis is left alone that answers and takes no writes. Without, a worker would ask it without end."""


class Deliveries(QoS):
    """What a worker has taken off the queue and not acknowledged, kept in its memory.

    Kombu's own keeps it in Redis too, by two more round trips a message, so that a killed worker's messages come back
    when a visibility timeout has passed. The ledger has sent what they were about again long before that.
    """

    def restore_unacked(self) -> list[Any]:
        """Give it back where the broker can be reached, else forget it. Never raises, and leaves nothing to report."""
        self._flush()  # type: ignore[no-untyped-call]
        try:
            while self._delivered:
                self.channel._restore_at_beginning(self._delivered.popitem()[1])  # noqa: SLF001  (kombu's QoS does so)
        except Exception as error:  # noqa: BLE001  (whatever a broken connection raises, here it must not end a worker)
            log.warning("messages could not be given back to the broker (%s); the ledger sends again", _name(error))
            self._delivered.clear()
        return []

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:  # noqa: FBT001, FBT002  (kombu's own)
        """Give a message back, or take it off. Without a connection it is done with all the same.

        The place it took must be free again whatever happens: a worker all of whose places are taken by messages that
        it could not give back reads no more, notices no lost connection either, and stands still for good.
        """
        try:
            super().reject(delivery_tag, requeue=requeue)  # type: ignore[no-untyped-call]
        except (AttributeError, *self.channel.connection_errors) as error:  # the first: it was taken down meanwhile
            log.warning("a message could not be given back (%s); the ledger sends again", _name(error))
            self.ack(delivery_tag)  # type: ignore[no-untyped-call]


class PlainMessage(Message):
    """A message as it stands. Kombu unpacks what says that it is packed: 260 KB took 538 MB."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        if (payload.get("headers") or {}).get("compression"):
            raise ValueError("packed")
        super().__init__(payload, channel, **options)  # type: ignore[no-untyped-call]


class Channel(redis.Channel):
    """A channel with our messages and deliveries."""

    Message = PlainMessage
    ack_emulation = False  # in Redis

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        self.QoS: Any = Deliveries  # kombu has just chosen its plain one

    def queue_declare(self, queue: Any = None, passive: bool = False, **options: Any) -> Any:  # noqa: FBT001, FBT002  (kombu's own)
        """Name a queue. A Redis that refuses it, though not asked for its length, does so again when it is used."""
        try:
            return super().queue_declare(queue, passive, **options)  # type: ignore[no-untyped-call]
        except ResponseError:
            if passive:
                raise
            return queue_declare_ok_t(queue, 0, 0)

    def _queue_bind(self, *binding: Any) -> None:
        with suppress(ResponseError):
            super()._queue_bind(*binding)  # type: ignore[no-untyped-call]

    def _brpop_read(self, **options: Any) -> Any:
        """Read one message and hand it over. What cannot be read or handed over is off the queue, and logged.

        Where Redis refuses to be read, the connection is given up: the next one may lead to the server that took over.
        """
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            time.sleep(REFUSED_SECONDS)
            raise ConnectionError(f"Redis refuses to be read ({_name(error)})") from None
        except (Empty, *self.connection_errors):
            raise
        except Exception as error:  # noqa: BLE001  (no JSON, no message, no known encoding: anything can stand there)
            log.warning("a message on the broker cannot be read (%s): it is dropped", _name(error))
            return True


class Transport(redis.Transport):
    """What `redis://` and `rediss://` mean once `install` was called."""

    Channel = Channel


def install() -> None:
    """Use this transport for every Redis broker of this process. Safe to repeat."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"


def _name(error: BaseException) -> str:
    return type(error).__name__
