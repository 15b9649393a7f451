"""Numbers, moments and lengths of time as people read them, on the command line and on the page alike."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal
from typing import Final

ORDER_NUMBER: Final = re.compile(r"[1-9][0-9]{0,18}")
"""How LearningCart writes its orders' numbers. One that is typed otherwise would be an order that it has not."""
_NO_MINOR_UNIT = frozenset(
    "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split()  # noqa: SIM905 -- reads best so
)
_MINOR_UNIT_OF_THREE_DIGITS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
_ERROR_CLASS: Final = re.compile(r"[A-Z][A-Za-z]*Error: (?=\S)")

_display_zone: tzinfo = UTC
"""The zone in which this process shows moments to people. Everything else is in UTC."""


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """How long ago, or ahead, a moment is: `4m ago`, `in 2h`; empty for None."""
    if moment is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    text = duration(abs(seconds))
    return f"in {text}" if seconds < 0 else f"{text} ago"


def age(moment: datetime | None) -> str:
    """How long ago a moment is, for a narrow column: `4m`; empty for None."""
    return ago(moment).removesuffix(" ago")


def counted(number: int, noun: str) -> str:
    """`1 run`, `2,000 runs`."""
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"


def counted_days(number: float) -> str:
    """`1 day`, `1.5 days`."""
    return f"{number:g} day" if number == 1 else f"{number:g} days"


def plain_error(text: str | None) -> str:
    """An error for people: what the ledger keeps (`NotFoundError: no such order`) without its class; empty for None."""
    found = _ERROR_CLASS.match(text or "")
    return (text or "")[found.end() if found else 0 :]


def minor_digits(currency: str) -> int:
    """How many digits the currency's minor unit has (ISO 4217)."""
    if currency in _NO_MINOR_UNIT:
        return 0
    return 3 if currency in _MINOR_UNIT_OF_THREE_DIGITS else 2


def money(minor_units: int, currency: str | None) -> str:
    """An amount in minor units as people write it: `1,204.00 EUR`, `500 JPY`."""
    digits = minor_digits(currency or "")
    return f"{Decimal(minor_units).scaleb(-digits):,.{digits}f} {currency or ''}".strip()


def duration(seconds: float) -> str:
    """A length of time in its largest unit: `45s`, `12m`, `3h`, `9d`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def show_times_in(zone: tzinfo) -> None:
    """Show moments in this zone from now on, in the whole process. Called once, when the settings are read."""
    global _display_zone  # noqa: PLW0603 -- one operator, one zone, and every table and sentence is in it
    _display_zone = zone


def zone_label() -> str:
    """The zone's name, for the heading of a column: `UTC`, `Europe/Oslo`."""
    return str(_display_zone)


def local(moment: datetime) -> datetime:
    """A moment in the zone that is shown."""
    return moment.astimezone(_display_zone)


def begin_of(day: date) -> datetime:
    """When a day begins in the zone that is shown, in UTC; at the calendar's ends in that zone itself."""
    begins_at = datetime.combine(day, time(), _display_zone)
    try:
        return begins_at.astimezone(UTC)
    except OverflowError:
        return begins_at.replace(tzinfo=UTC)


def clock(moment: datetime | None) -> str:
    """A moment to the second, without its zone: the heading says it. Empty for None."""
    return "" if moment is None else f"{local(moment):%Y-%m-%d %H:%M:%S}"


def time_of_day(moment: datetime) -> str:
    """When on its day a moment is: `14:05:10`."""
    return f"{local(moment):%H:%M:%S}"


def timestamp(moment: datetime) -> str:
    """A moment to the second with its zone: `2025-03-04 14:05:10 CET`."""
    return f"{local(moment):%Y-%m-%d %H:%M:%S %Z}"


def minute(moment: datetime | None) -> str:
    """A moment to the minute with its zone: `2025-03-04 14:05 UTC`, or `an unknown time`."""
    return "an unknown time" if moment is None else f"{local(moment):%Y-%m-%d %H:%M %Z}"
