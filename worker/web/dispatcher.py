"""What the web asks of the broker: to wake a worker, and to say whether it is there."""

from __future__ import annotations

from typing import Protocol


class Doorbell(Protocol):
    """Tells the workers that there is something in the ledger. It carries ids only, and losing a ring loses nothing."""

    def ring_order(self, source: str, order_id: str) -> bool:
        """Send word of an order's delivery; False if the broker could not be told.

        Never raises. May block for up to a second while the broker is away: call it off the event loop, after the
        answer. For a second after a failure it answers False at once.
        """

    def ring_poll(self, source: str) -> bool:
        """Send word that a source is to be polled now; as `ring_order`."""

    def broker_ok(self) -> bool:
        """Whether the broker answers now. Never raises; may block for up to a second."""
