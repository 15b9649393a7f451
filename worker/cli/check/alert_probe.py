"""Sending a test alert, so that the first real one is not the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cli.check.result import ProbeResult
from worker.errors import ApiError, ConfigurationError

if TYPE_CHECKING:
    from worker.settings.settings import Settings

_TITLE = "Cartbridge: a test"
_TEXT = "This is a test alert, sent by `cartbridge check --alert`. Nothing is wrong."


def send_test_alert(settings: Settings) -> ProbeResult:
    """Tell every receiver of alerts, and find who did not take it."""
    from worker.clients.alerts import AlertsClient
    from worker.observability.logs import known_secrets

    variable = "CARTBRIDGE_ALERTS__URLS"
    if not settings.alerts.is_configured:
        return ProbeResult(
            "alerts", "alerts", configured=False, next_step=f"Off. To be told of trouble, set {variable}."
        )
    try:
        client = AlertsClient(settings.alerts.addresses, secrets=known_secrets)
        failed = client.send(_TITLE, _TEXT)
    except ConfigurationError as error:
        return ProbeResult("alerts", "alerts", configured=True, reachable=False, next_step=str(error))
    except ApiError as error:
        step = f"Correct {variable}, or look at what the service says."
        return ProbeResult("alerts", "alerts", configured=True, reachable=False, detail=str(error), next_step=step)
    if failed:
        step = f"Correct them in {variable}."
        detail = f"receiver {', '.join(failed)} did not take it"
        return ProbeResult("alerts", "alerts", configured=True, reachable=False, detail=detail, next_step=step)
    many = len(settings.alerts.addresses)
    detail = "a test was taken by " + ("its receiver" if many == 1 else f"all {many} receivers")
    return ProbeResult("alerts", "alerts", configured=True, reachable=True, accepted=True, detail=detail)
