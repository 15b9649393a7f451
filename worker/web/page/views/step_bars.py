"""A run's steps on one axis of time: where each attempt's bar goes. Pure; a template draws each step's lane as SVG.

Seconds of work among days of waiting would be too thin to see: a wait longer than the work around it is drawn short.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from worker.ledger.views.details import AttemptItem, StepItem

WIDTH = 1000.0
_THINNEST = 8.0
_WAIT_SHARE = 0.12
"""How much of the axis one long wait takes, at most."""
_WAITS_SHARE = 0.5
"""How much all of them together take, at most."""
_SHORTEST_WORK_SECONDS = 0.05


@dataclass(frozen=True)
class Bar:
    """One attempt in its step's lane, in the SVG's units."""

    x: float
    width: float
    outcome: str


@dataclass(frozen=True)
class Wait:
    """A wait that is drawn shorter than it was."""

    x: float
    width: float
    seconds: float


@dataclass(frozen=True)
class StepBars:
    """All lanes, by the steps' names, and the waits that go through all of them."""

    lanes: dict[str, tuple[Bar, ...]]
    waits: tuple[Wait, ...]
    begins_at: datetime | None
    ends_at: datetime | None
    width: float = WIDTH


def step_bars(steps: Sequence[StepItem], now: datetime) -> StepBars:
    """The lanes of a run's steps, as `show_run` gives them; an attempt that has not ended goes on until `now`."""
    tries = {step.name: [_interval(attempt, now) for attempt in step.attempts] for step in steps}
    work = _merged(interval for intervals in tries.values() for interval in intervals)
    if not work:
        return StepBars(dict.fromkeys(tries, ()), (), None, None)
    axis = _Axis(work)
    lanes = {
        step.name: tuple(
            _bar(axis, *interval, attempt.outcome or "open")
            for interval, attempt in zip(tries[step.name], step.attempts, strict=True)
        )
        for step in steps
    }
    return StepBars(lanes, tuple(axis.waits), work[0][0], work[-1][1])


Interval = tuple[datetime, datetime]


def _interval(attempt: AttemptItem, now: datetime) -> Interval:
    return attempt.started_at, max(attempt.started_at, attempt.finished_at or now)


def _merged(intervals: Iterable[Interval]) -> list[Interval]:
    """When anything was under way, in order, without overlaps."""
    merged: list[Interval] = []
    for begun, ended in sorted(intervals):
        if merged and begun <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], ended))
        else:
            merged.append((begun, ended))
    return merged


class _Axis:
    """From moments to places: work and short waits to one scale, long waits shortened."""

    def __init__(self, work: list[Interval]) -> None:
        worked = max(
            sum(((ended - begun) / timedelta(seconds=1) for begun, ended in work), 0.0), _SHORTEST_WORK_SECONDS
        )
        gaps = [later[0] - earlier[1] for earlier, later in pairwise(work)]
        long = [gap for gap in gaps if gap.total_seconds() > worked]
        wait_width = min(_WAIT_SHARE, _WAITS_SHARE / len(long)) * WIDTH if long else 0.0
        to_scale = (work[-1][1] - work[0][0] - sum(long, timedelta())) / timedelta(seconds=1)
        per_second = (WIDTH - wait_width * len(long)) / to_scale if to_scale else 0.0
        self.waits: list[Wait] = []
        self._pieces: list[tuple[datetime, datetime, float, float]] = []
        x = 0.0
        for index, (begun, ended) in enumerate(work):
            width = (ended - begun).total_seconds() * per_second
            self._pieces.append((begun, ended, x, width))
            x += width
            if index < len(gaps):
                is_long = gaps[index].total_seconds() > worked
                width = wait_width if is_long else gaps[index].total_seconds() * per_second
                if is_long:
                    self.waits.append(Wait(round(x, 1), round(width, 1), gaps[index].total_seconds()))
                x += width

    def place(self, moment: datetime) -> float:
        """Where a moment of work is."""
        begun, ended, x, width = next(piece for piece in self._pieces if piece[0] <= moment <= piece[1])
        return x + (width * ((moment - begun) / (ended - begun)) if ended > begun else 0.0)


def _bar(axis: _Axis, begun: datetime, ended: datetime, outcome: str) -> Bar:
    x = axis.place(begun)
    width = max(axis.place(ended) - x, _THINNEST)
    return Bar(round(min(x, WIDTH - width), 1), round(width, 1), outcome)
