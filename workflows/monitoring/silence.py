"""When a source is unusually quiet, learnt from its own past. Pure: moments in, a verdict out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise

HISTORY = timedelta(days=28)
"""So far back is looked: four weekends."""
LEAST_ORDERS = 20
LEAST_SPAN = timedelta(days=14)
"""Less than this is no history: a shop's first week says nothing about its second weekend."""
LONGEST_GAPS_LEFT_OUT = 1
"""So many of the longest gaps count for nothing: one outage must not make the next look usual."""
FACTOR = 1.5
SHORTEST_SILENCE = timedelta(hours=1)


def longest_usual_gap(arrivals: Iterable[datetime]) -> timedelta | None:
    """The longest time without a new order that is usual, in any order given; None while there is too little history.

    It is a gap that did occur, nights and weekends among them: the second longest of `HISTORY`. A high quantile would
    not do, for in a busy shop the nights are rarer among its gaps than any quantile leaves room for.
    """
    moments = sorted(arrivals)
    if len(moments) < LEAST_ORDERS or moments[-1] - moments[0] < LEAST_SPAN:
        return None
    gaps = sorted(later - earlier for earlier, later in pairwise(moments))
    return gaps[-1 - LONGEST_GAPS_LEFT_OUT]


def alarm_after(usual: timedelta) -> timedelta:
    """How long after the last order its silence is worth an alarm: half as long again as what is usual."""
    return max(FACTOR * usual, SHORTEST_SILENCE)
