"""Watches the sources: an alarm when a source's polls are late, and when the orders it usually brings stay away."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import Connection

from worker.formatting import minute
from worker.ledger.clock import is_ahead
from worker.ledger.periodic import source_watches
from worker.ledger.periodic.source_watches import Watch
from worker.ledger.session import Ledger

log = logging.getLogger(__name__)

MISSED_INTERVALS = 3
WATCH_BROKEN_AFTER = timedelta(minutes=10)
"""Without a check for so long nobody was there, and the watch begins anew; also where a clock was ahead at the last."""
_LEARN_EVERY = timedelta(hours=1)
HISTORY = timedelta(days=28)
"""So far back is looked: four weekends."""
LEAST_ORDERS = 20
LEAST_SPAN = timedelta(days=14)
"""Less than this is no history: a shop's first week says nothing about its second weekend."""
LONGEST_GAPS_LEFT_OUT = 1
"""So many of the longest gaps count for nothing: one outage must not make the next look usual."""
FACTOR = 1.5
SHORTEST_SILENCE = timedelta(hours=1)


def check_sources(ledger: Ledger, poll_seconds: Mapping[str, float], *, now: datetime) -> dict[str, Watch]:
    """Look at every source once, by name with the seconds between its polls (0: never); returns what was found.

    Commits what it found, then logs an error once for each lateness and each silence, and a line when it is over. Safe
    to repeat and to double.
    """
    with ledger.write() as connection:
        source_watches.end_watches(connection, but=poll_seconds)
    found = {}
    for source, seconds in poll_seconds.items():
        with ledger.write() as connection:
            before = source_watches.lock_watch(connection, source)
            state = source_watches.poll_state(connection, source)
            polled_at = state.last_success_at if state is not None else None
            after = _check(connection, source, before, polled_at, poll_seconds=seconds, now=now)
            source_watches.keep_watch(connection, source, after)
        _tell_lateness(source, before, after, state.last_error if state is not None else None)
        _tell_silence(source, before, after)
        found[source] = after
    return found


def _check(
    connection: Connection,
    source: str,
    watch: Watch,
    polled_at: datetime | None,
    *,
    poll_seconds: float,
    now: datetime,
) -> Watch:
    checked_at = watch.checked_at
    is_new = checked_at is None or is_ahead(checked_at, now) or now - checked_at > WATCH_BROKEN_AFTER
    begun_at = now if is_new or watch.begun_at is None else watch.begun_at
    watch = replace(
        watch,
        begun_at=begun_at,
        checked_at=now,
        late_since=late_since(polled_at, begun_at, now=now, poll_seconds=poll_seconds),
    )
    if poll_seconds > 0 and late_since(polled_at, None, now=now, poll_seconds=poll_seconds) is not None:
        return watch  # whoever does not ask hears nothing: that is no silence of the source's
    return _listen(connection, source, watch, now=now)


def late_since(
    last_success_at: datetime | None, begun_at: datetime | None, *, now: datetime, poll_seconds: float
) -> datetime | None:
    """Since when a source's polls are late: its last success, or when the watch began if that is later; None in time.

    Before the watch began nobody polled: what was down for a day is not late when it starts. Without `begun_at`, only
    the last success counts, and a source that never had one is late since now.
    """
    moments = (each for each in (last_success_at, begun_at) if each is not None and not is_ahead(each, now))
    since = max(moments, default=None)
    if since is None:
        return now if poll_seconds > 0 else None
    is_late = poll_seconds > 0 and now - since > timedelta(seconds=MISSED_INTERVALS * poll_seconds)
    return since if is_late else None


def _listen(connection: Connection, source: str, watch: Watch, *, now: datetime) -> Watch:
    if watch.learnt_at is None or now - watch.learnt_at >= _LEARN_EVERY:
        usual = longest_usual_gap(source_watches.arrivals(connection, source, since=now - HISTORY))
        limit = None if usual is None else alarm_after(usual).total_seconds()
        watch = replace(watch, learnt_at=now, silence_limit_seconds=limit)
    if watch.silence_limit_seconds is None:
        return replace(watch, silent_since=None)
    since = now - timedelta(seconds=watch.silence_limit_seconds)
    if source_watches.last_arrival(connection, source, since=since) is not None:
        return replace(watch, silent_since=None)
    return replace(watch, silent_since=watch.silent_since or _last_heard(connection, source, now=now))


def _last_heard(connection: Connection, source: str, *, now: datetime) -> datetime:
    since = now - HISTORY
    return source_watches.last_arrival(connection, source, since=since) or since


def _tell_lateness(source: str, before: Watch, after: Watch, error: str | None) -> None:
    if after.late_since is not None and before.late_since is None:
        why = f"; the last error: {error}" if error else ""
        log.error(
            "no poll of %s has succeeded since %s%s. See: cartbridge check", source, minute(after.late_since), why
        )
    elif before.late_since is not None and after.late_since is None:
        log.info("polls of %s succeed again", source)


def _tell_silence(source: str, before: Watch, after: Watch) -> None:
    if after.silent_since is not None and before.silent_since is None:
        log.error(
            "no new order has come from %s since %s, which is unusual for it. Does its shop still sell?",
            source,
            minute(after.silent_since),
        )
    elif before.silent_since is not None and after.silent_since is None:
        log.info("orders come from %s again", source)


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
