"""Makes a process's tracing from its settings."""

from __future__ import annotations

import importlib.util

from worker.errors import ConfigurationError
from worker.observability.tracing import OFF, Tracing, tracing, use_tracing
from worker.settings.features import TracingSettings


def configure_tracing(settings: TracingSettings, process: str) -> Tracing:
    """Make this process's tracing as the settings say. Raises `ConfigurationError` where its packages are missing."""
    if settings.endpoint is None:
        return OFF
    if importlib.util.find_spec("opentelemetry.exporter") is None:
        raise ConfigurationError(
            "CARTBRIDGE_TRACING__ENDPOINT is set, and OpenTelemetry is not installed. "
            "Run: pip install 'cartbridge[tracing]'"
        )
    from worker.observability.spans import send_spans_to  # noqa: PLC0415  (the extra's packages)

    use_tracing(send_spans_to(settings.endpoint, process))
    return tracing()
