"""The chart of the last hours: where each bar and line of it goes. Pure; a template draws it as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from worker.formatting import counted, local
from worker.ledger.views.page.pace import DayOfWork, HourOfWork

WIDTH = 480
_WIDE = 1180
HEIGHT = 130
_LEFT = 34
_BOTTOM = 18
_TOP = 8
_LABEL_EVERY_HOURS = 6
_LABEL_ROOM = 16
"""Half of what a label takes: nearer to the edge it would be cut."""


@dataclass(frozen=True)
class Bar:
    """One bar, in the SVG's units."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


@dataclass(frozen=True)
class Tick:
    """A label on an axis, and where its line goes."""

    at: float
    label: str


@dataclass(frozen=True)
class Chart:
    """What the template draws."""

    bars: tuple[Bar, ...]
    lines: tuple[tuple[str, str], ...]
    """Kind and points of each unbroken stretch of a line."""
    dots: tuple[tuple[str, float, float, str], ...]
    """Kind, place and title of each measured hour."""
    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    floor: int = HEIGHT - _BOTTOM


def amounts(hours: Sequence[HourOfWork]) -> Chart:
    """Orders and enrolments, two bars an hour."""
    return _in_pairs(hours, [f"{local(hour.begins_at):%a %H:%M %Z}" for hour in hours], _columns(hours), width=WIDTH)


def daily(days: Sequence[DayOfWork]) -> Chart:
    """Orders and enrolments of each day, over the whole width; Mondays are named."""
    slot = _slot(days, _WIDE)
    columns = tuple(
        Tick(round(_LEFT + (index + 0.5) * slot, 1), f"{each.day:%b %-d}")
        for index, each in enumerate(days)
        if each.day.weekday() == 0
    )
    return _in_pairs(days, [f"{each.day:%a %Y-%m-%d}" for each in days], columns, width=_WIDE)


def _in_pairs(
    spans: Sequence[HourOfWork | DayOfWork], names: Sequence[str], columns: tuple[Tick, ...], *, width: int
) -> Chart:
    """Two bars for each hour or day: its orders, and its enrolments."""
    top = nice_ceiling(max((max(each.orders, each.enrolments) for each in spans), default=0))
    slot = _slot(spans, width)
    bars = []
    for index, (each, name) in enumerate(zip(spans, names, strict=True)):
        for offset, kind, count in ((0.14, "orders", each.orders), (0.52, "enrolments", each.enrolments)):
            x, height = round(_LEFT + (index + offset) * slot, 1), _scale(count, top)
            y = round(HEIGHT - _BOTTOM - height, 1)
            title = f"{name}: {counted(count, kind.removesuffix('s'))}"
            bars.append(Bar(x, y, round(slot * 0.34, 1), round(height, 1), kind, title))
    rows = tuple(Tick(_y(value, top), f"{value:,.0f}") for value in (0, top / 2, top) if value == int(value))
    return Chart(tuple(bars), (), (), rows, columns, width=width)


def latencies(hours: Sequence[HourOfWork]) -> Chart:
    """Half and 95 of a hundred enrolments were done within so long, hour by hour, on a scale of powers of ten."""
    measured = [seconds for hour in hours for seconds in (hour.median_seconds, hour.p95_seconds) if seconds is not None]
    top = max((_magnitude(seconds) for seconds in measured), default=1.0)
    top = float(max(1, math.ceil(top)))
    slot = _slot(hours)
    lines, dots = [], []
    for kind, values in (
        ("p95", [hour.p95_seconds for hour in hours]),
        ("median", [hour.median_seconds for hour in hours]),
    ):
        stretch: list[str] = []
        for index, seconds in enumerate(values):
            if seconds is None:
                lines.append((kind, " ".join(stretch)))
                stretch = []
                continue
            x, y = round(_LEFT + (index + 0.5) * slot, 1), _y(_magnitude(seconds), top)
            stretch.append(f"{x},{y}")
            dots.append((kind, x, y, f"{local(hours[index].begins_at):%a %H:%M %Z}, {kind}: {spoken(seconds)}"))
        lines.append((kind, " ".join(stretch)))
    rows = tuple(Tick(_y(float(power), top), spoken(10.0**power)) for power in range(int(top) + 1))
    return Chart(
        (), tuple((kind, points) for kind, points in lines if " " in points), tuple(dots), rows, _columns(hours)
    )


def nice_ceiling(value: float) -> float:
    """The next round number: 1, 2, 4, 10, 20, 40, …; never less than 2."""
    power = 10.0 ** math.floor(math.log10(max(value, 1)))
    return max(2.0, next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value))


def spoken(seconds: float) -> str:
    """A length of time on an axis and in the table: `0.8s`, `12s`, `3m`, `2.5h`, `4d`."""
    if seconds < 10:
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + "s"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.1f}".rstrip("0").rstrip(".") + unit
    return f"{seconds:.0f}s"


def _columns(hours: Sequence[HourOfWork]) -> tuple[Tick, ...]:
    slot = _slot(hours)
    return tuple(
        Tick(round(_LEFT + index * slot, 1), f"{begins_at:%a}" if begins_at.hour == 0 else f"{begins_at:%H:%M}")
        for index, begins_at in enumerate(local(hour.begins_at) for hour in hours)
        if begins_at.hour % _LABEL_EVERY_HOURS == 0 and _LABEL_ROOM < index * slot < WIDTH - _LEFT - _LABEL_ROOM
    )


def _slot(spans: Sequence[HourOfWork | DayOfWork], width: int = WIDTH) -> float:
    return (width - _LEFT) / max(1, len(spans))


def _scale(value: float, top: float) -> float:
    return value / top * (HEIGHT - _BOTTOM - _TOP)


def _y(value: float, top: float) -> float:
    return round(HEIGHT - _BOTTOM - _scale(value, top), 1)


def _magnitude(seconds: float) -> float:
    """On the scale of powers of ten; a second and less is its foot."""
    return math.log10(max(seconds, 1.0))
