"""Kombu's Redis transport, but that neither a broker which goes away nor a message that cannot be read takes its
workers with it.

When the connection is lost, kombu 5.7 gives the messages a worker holds back to a broker that is not there; what that
raises ends the worker ("Unrecoverable error"); so does a message that is no JSON, from whoever reaches Redis. A message
is a hint: lost, the ledger sends it again.
"""

from __future__ import annotations

import logging
from queue import Empty
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis
from kombu.transport.virtual import QoS

log = logging.getLogger(__name__)


class Deliveries(redis.QoS):
    """What a worker has taken off the queue and not acknowledged."""

    def restore_unacked(self, client: Any = None) -> None:
        """Give it back where the broker can be reached, else forget it. Never raises."""
        try:
            super().restore_unacked(client)  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001  (whatever a broken connection raises, here it must not end a worker)
            log.warning("messages could not be given back to the broker (%s); the ledger sends again", _name(error))
            self._delivered.clear()

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002  (kombu's own)
        """Give back what a worker that died took; what cannot be read is dropped. Raises the connection's errors."""
        try:
            super().restore_by_tag(tag, client, leftmost)  # type: ignore[no-untyped-call]
        except self.channel.connection_errors:
            raise
        except Exception as error:  # noqa: BLE001  (whatever it holds instead of a message)
            log.warning("a message that was taken cannot be read (%s): it is dropped", _name(error))
            with self.channel.conn_or_acquire(client) as connection:
                self._remove_from_indices(tag, connection.pipeline()).execute()  # type: ignore[no-untyped-call]

    def ack(self, delivery_tag: Any) -> None:
        """Take a message off for good. Without a connection it is done with here all the same, and Redis delivers it
        again later.

        The place it took must be free again whatever happens: a worker all of whose places are taken by messages that
        it could not acknowledge reads no more, notices no lost connection either, and stands still for good.
        """
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except (AttributeError, *self.channel.connection_errors) as error:  # the first: it was taken down meanwhile
            self._let_go(delivery_tag, error)

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:  # noqa: FBT001, FBT002  (kombu's own)
        """Give a message back, or take it off; as `ack` without a connection."""
        try:
            super().reject(delivery_tag, requeue=requeue)  # type: ignore[no-untyped-call]
        except (AttributeError, *self.channel.connection_errors) as error:
            self._let_go(delivery_tag, error)

    def _let_go(self, delivery_tag: Any, error: Exception) -> None:
        log.warning("a message could not be acknowledged (%s); delivered again, it does nothing", _name(error))
        QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]


class Channel(redis.Channel):
    """A channel with our deliveries."""

    QoS = Deliveries

    def _brpop_read(self, **options: Any) -> Any:
        """Read one message and hand it over. What cannot be read or handed over is off the queue, and logged."""
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
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
