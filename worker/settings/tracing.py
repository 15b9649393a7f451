"""The settings of tracing: where spans are sent."""

from __future__ import annotations

from pydantic import Field

from worker.settings.section import Section
from worker.settings.types import BaseUrl


class TracingSettings(Section):
    """Where traces are sent. Off until an address is given."""

    endpoint: BaseUrl | None = Field(
        None,
        description="Where traces are sent, OTLP over HTTP, such as http://collector:4318. Needs cartbridge[tracing].",
    )
