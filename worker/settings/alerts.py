"""The settings of alerts: whom to tell that something needs a person, and when to sum up the day."""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from worker.settings.section import Section
from worker.settings.types import BaseUrl, Seconds, Secret, TimeZone

_BETWEEN_URLS = re.compile(r"(?<![\s,])[\s,]++(?=[A-Za-z0-9]+://)")
_HOUR = re.compile(r"[0-9]{2}:[0-9]{2}")


def _hour(value: str) -> str:
    text = value.strip()
    if not text:
        return ""
    if not _HOUR.fullmatch(text):
        raise PydanticCustomError("setting", "should be a time of day such as 07:00, or empty for no summary")
    try:
        time.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("setting", "should be a time of day such as 07:00, or empty for no summary") from None
    return text


TimeOfDay = Annotated[str, AfterValidator(_hour)]


class AlertsSettings(Section):
    """Who is told when something needs a person. Off until an address is given."""

    urls: Secret | None = Field(
        None,
        description="Apprise addresses, apart by spaces or commas: mailto://…, slack://…, msteams://…, json://… "
        "(see its list of services). Each may hold a password: they count as one secret.",
    )
    page_url: BaseUrl | None = Field(
        None, description="Where your browser finds the operator's page; alerts link to it."
    )
    group_seconds: Seconds = Field(300.0, description="Alerts that come sooner after the last wait, and come as one.")
    repeat_seconds: Seconds = Field(86_400.0, description="What lasts is told again after so long.")
    summary_at: TimeOfDay = Field("07:00", description="When the day is summed up, as hours:minutes; empty: never.")
    time_zone: TimeZone = Field("UTC", description="The zone of that time, such as Europe/Oslo.")

    @property
    def is_configured(self) -> bool:
        """True when there is somebody to tell."""
        return self.urls is not None

    @property
    def addresses(self) -> list[str]:
        """Each address by itself. Secrets: for sending alone."""
        return [] if self.urls is None else _BETWEEN_URLS.split(self.urls.get_secret_value().strip(" \t\r\n,"))
