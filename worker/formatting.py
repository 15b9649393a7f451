"""Numbers, moments and lengths of time as people read them, on the command line and on the page alike."""

from __future__ import annotations

from datetime import UTC, datetime


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
    """`1 run`, `2 runs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """A length of time in its largest unit: `45s`, `12m`, `3h`, `9d`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def clock(moment: datetime | None) -> str:
    """A moment in UTC to the second, without its zone: the heading says UTC. Empty for None."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
