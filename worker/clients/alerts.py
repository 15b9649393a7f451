"""Sends an alert to every address the operator gave: mail, chat, or one of a hundred services, by Apprise."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from apprise import Apprise, AppriseAsset, NotifyBase

from worker.errors import ApiError, ConfigurationError
from worker.text.control_characters import CONTROL_CHARACTERS
from worker.text.redaction import SecretRegistry

log = logging.getLogger(__name__)

SYSTEM = "alerts"
LONGEST_SECONDS = 30.0
"""What a message takes in all: well within the lease of who tells, and no more of a worker's time."""
# Apprise's own lines name addresses, some of which hold tokens.
logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)


class AlertsClient:
    """Tells all receivers. Raises `ConfigurationError` for an address that is none, by its place and never its text."""

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        secrets: SecretRegistry | None = None,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        if not addresses:
            raise ConfigurationError("Alerts have nowhere to go. Set CARTBRIDGE_ALERTS__URLS.")
        self._longest_seconds = longest_seconds
        asset = AppriseAsset(app_id="Cartbridge", app_desc="Cartbridge", app_url="", secure_logging=True)
        self._receivers: list[tuple[str, NotifyBase]] = []
        for number, address in enumerate(addresses, start=1):
            if secrets is not None:
                secrets.add(address)
            scheme = address.partition("://")[0].casefold() if "://" in address else "no scheme"
            receiver = Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
            if not isinstance(receiver, NotifyBase):
                raise ConfigurationError(
                    f"Address {number} of CARTBRIDGE_ALERTS__URLS ({scheme}) is none that Apprise knows. "
                    f"Its form is in Apprise's list of services."
                )
            self._receivers.append((f"{number} ({scheme})", receiver))

    def __repr__(self) -> str:
        return f"AlertsClient({len(self._receivers)} receivers)"

    def send(self, title: str, text: str) -> list[str]:
        """Tell every receiver once, all at a time; returns which of them, as `2 (slack)`, did not take it.

        Raises `ApiError` where nobody took it. Apprise gives up a read after four seconds; a receiver that answers byte
        by byte is left alone after `longest_seconds`, and counts as one that did not take it.
        """
        title, text = (each.translate(CONTROL_CHARACTERS) for each in (title, text))
        taken: set[str] = set()
        threads = [
            threading.Thread(target=_tell, args=(name, receiver, title, text, taken), name="alert", daemon=True)
            for name, receiver in self._receivers
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + self._longest_seconds
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        failed = [name for name, _ in self._receivers if name not in taken]
        if len(failed) == len(self._receivers):
            raise ApiError(
                f"no receiver took the alert: {', '.join(failed)}", system=SYSTEM, operation="notify", retryable=True
            )
        if failed:
            log.warning("alert not taken by receiver %s of CARTBRIDGE_ALERTS__URLS", ", ".join(failed))
        return failed


def _tell(name: str, receiver: NotifyBase, title: str, text: str, taken: set[str]) -> None:
    """Put the receiver's name among those that took it. Never raises."""
    with suppress(Exception):  # a plugin may raise anything, with the address in it
        if receiver.notify(body=text, title=title):
            taken.add(name)
