"""Sends an alert to every address the operator gave: mail, chat, or one of a hundred services, by Apprise."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from apprise import Apprise, AppriseAsset, NotifyBase

from worker.errors import ApiError, ConfigurationError
from worker.redaction import SecretBook

log = logging.getLogger(__name__)

SYSTEM = "alerts"
# Apprise's own lines name addresses, some of which hold tokens.
logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)


class AlertsClient:
    """Tells all receivers. Raises `ConfigurationError` for an address that is none, by its place and never its text."""

    def __init__(self, addresses: Sequence[str], *, secrets: SecretBook | None = None) -> None:
        if not addresses:
            raise ConfigurationError("Alerts have nowhere to go. Set CARTBRIDGE_ALERTS__URLS.")
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
        """Tell every receiver once; returns which of them, as `2 (slack)`, did not take it.

        Raises `ApiError` where nobody took it. A receiver that is slow is given up after Apprise's four seconds.
        """
        failed = [name for name, receiver in self._receivers if not _told(receiver, title, text)]
        if len(failed) == len(self._receivers):
            raise ApiError(
                f"no receiver took the alert: {', '.join(failed)}", system=SYSTEM, operation="notify", retryable=True
            )
        if failed:
            log.warning("alert not taken by receiver %s of CARTBRIDGE_ALERTS__URLS", ", ".join(failed))
        return failed


def _told(receiver: NotifyBase, title: str, text: str) -> bool:
    try:
        return bool(receiver.notify(body=text, title=title))
    except Exception:  # noqa: BLE001  (a plugin may raise anything, with the address in it)
        return False
