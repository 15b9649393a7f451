"""Kombu's Redis transport, but that a broker which goes away does not take its workers with it.

When the connection is lost, kombu 5.7 gives the messages a worker holds back to a broker that is not there; what that
raises ends the worker ("Unrecoverable error"). A message is a doorbell: lost, the ledger rings again.
"""

from __future__ import annotations

import logging
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis

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

    def ack(self, delivery_tag: Any) -> None:
        """Take a message off for good. Raises what the connection raises while there is one."""
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except AttributeError as error:  # the connection was taken down meanwhile
            log.warning("a message could not be acknowledged (%s); delivered again, it does nothing", _name(error))


class Channel(redis.Channel):
    """A channel with our deliveries."""

    QoS = Deliveries


class Transport(redis.Transport):
    """What `redis://` and `rediss://` mean once `install` was called."""

    Channel = Channel


def install() -> None:
    """Use this transport for every Redis broker of this process. Safe to repeat."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"


def _name(error: BaseException) -> str:
    return type(error).__name__
