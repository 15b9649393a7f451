"""Completions: reads LearningCart's report of who began and completed a course, and keeps each learner's progress.

The cursor moves only in the transaction that records what it covers. A poll that dies midway goes on where it stood;
a report that comes twice, or out of order, changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Protocol

from sqlalchemy import Connection

from worker.clients.learningcart.models import CourseCompletionInfo
from worker.clients.unreadable import Rows, UnreadableRow, problem_of
from worker.errors import ApiError, ConfigurationError, InvalidRequestError, ServerError, UnexpectedResponseError
from worker.ledger import leases, outbox, pauses
from worker.ledger.clock import is_ahead
from worker.ledger.events import record_event
from worker.ledger.follow_on import completions as completion_rows
from worker.ledger.follow_on.completions import CompletionState
from worker.ledger.learners.erased import FORGOTTEN, gone_for_good, is_pseudonym, pseudonym
from worker.ledger.session import Ledger
from worker.ledger.states import Actor
from worker.ledger.tables.periodic import ListPoll
from worker.ledger.views.serializers import iso
from worker.sources.order import email_key
from workflows.follow_on.completion_progress import Progress, advance
from workflows.follow_on.planner import FollowOnPlanner
from workflows.ingest.set_aside import CONCERNS_ALL, describe_failure

log = logging.getLogger(__name__)

SYSTEM: Final = "learningcart"
OPERATION: Final = "getCompletions"
ZONE_MARGIN: Final = timedelta(days=1)
"""The zone in which LearningCart reads a date is not known: wider than any offset, on each side of a window."""
OVERLAP: Final = timedelta(days=1)
"""How late LearningCart may report something and still be heard."""
SHORTEST_SPAN: Final = timedelta(hours=6)
"""A window that is refused is halved, down to this."""
_OFFERS_UNUSABLE: Final = "the offers file cannot be used, so what follows on a completed course cannot be planned"
DEFAULT_SPAN: Final = timedelta(days=7)
DEFAULT_BASELINE: Final = timedelta(days=30)


def is_refusal_of_window(error: ApiError) -> bool:
    """Whether an error may say that the window is too wide for this API user.

    No document tells how that is said; WCF says most things with a 500. A site that is away says it otherwise.
    """
    if isinstance(error, ServerError):
        return error.status == 500
    return isinstance(error, InvalidRequestError | UnexpectedResponseError)


class CompletionReader(Protocol):
    """The one call of LearningCart's that this needs; `LearningCartClient` has it."""

    def get_completions(self, begin_at: datetime, end_at: datetime) -> Rows[CourseCompletionInfo]:
        """Return who began or completed a course in the window."""


@dataclass
class CompletionsPolled:
    """What one poll came to."""

    calls: int = 0
    rows: int = 0
    changed: int = 0
    unreadable: int = 0
    """Rows that name no learner or no course: they belong to nobody."""
    set_aside: dict[str, str] = field(default_factory=dict)
    """Rows that cannot be read or recorded, by learner and course, and why: the audit trail holds them."""
    error: str | None = None
    is_left_out: bool = False
    """LearningCart is paused, or another poll is under way: nothing was done."""


@dataclass(frozen=True)
class CompletionsPoller:
    """Polls the completions. Harmless when two run: the cursor's lease lets one in."""

    ledger: Ledger
    reader: CompletionReader
    _: KW_ONLY
    holder: str
    clock: Callable[[], datetime]
    lease_seconds: float
    baseline: timedelta = DEFAULT_BASELINE
    """How far the first poll looks back."""
    span: timedelta = DEFAULT_SPAN
    sends_events: bool = False
    """Every fact is also put into the outbox."""
    follow_on: FollowOnPlanner | None = None
    """Plans what follows on a completed course, in the transaction that records it."""
    should_stop: Callable[[], bool] = lambda: False

    def poll(self) -> CompletionsPolled:
        """Read what was begun and completed since the last poll, with an overlap; commits window by window.

        Never raises for what LearningCart does: the failure is recorded at the cursor, and the next poll goes on. So is
        an offers file that cannot be used while a course was completed: what follows on it cannot be planned.
        """
        polled = CompletionsPolled()
        now = self.clock()
        with self.ledger.write() as connection:
            cursor = None
            if pauses.pause_of(connection, SYSTEM) is None:
                cursor = completion_rows.take_poll(
                    connection, holder=self.holder, now=now, lease_seconds=self.lease_seconds
                )
        if cursor is None:
            polled.is_left_out = True
            return polled
        ended: dict[str, Any]
        try:
            self._read(cursor, polled, now=now)
            ended = {"last_success_at": self.clock(), "last_error": _set_aside_text(polled.set_aside), "failures": 0}
        except Exception as error:  # noqa: BLE001  (of any class: the lease must not outlast the poll)
            polled.error = (
                _OFFERS_UNUSABLE if isinstance(error, ConfigurationError) else describe_failure(error, self.ledger)
            )
            ended = {"last_error": polled.error, "failures": cursor.failures + 1}
            log.warning("polling LearningCart's completions failed: %s", polled.error)
        with self.ledger.write() as connection:
            completion_rows.write_poll(connection, holder=self.holder, **leases.FREE, **ended)
        if polled.unreadable > cursor.position.get("unreadable", 0):
            log.warning("%d of LearningCart's completions name no learner or no course", polled.unreadable)
        return polled

    def _read(self, cursor: ListPoll, polled: CompletionsPolled, *, now: datetime) -> None:
        covered_until = _moment(cursor.position.get("covered_until"))
        if covered_until is not None and is_ahead(covered_until, now):
            covered_until = None  # by a clock that was ahead: how far it is covered is not known
        since = now - self.baseline if covered_until is None else covered_until - OVERLAP
        # Whole seconds, as they are sent: a window must not come out wider than what the site allows.
        begin_at = (since - ZONE_MARGIN).replace(microsecond=0)
        end_at = (now + ZONE_MARGIN).replace(microsecond=0)
        span = max(self.span, SHORTEST_SPAN)
        while begin_at < end_at:
            if self.should_stop():
                raise ApiError("stopped: the process ends", system=SYSTEM, operation=OPERATION, retryable=True)
            asked_at = self.clock()
            upto = min(begin_at + span, end_at)
            polled.calls += 1
            try:
                listed = self.reader.get_completions(begin_at, upto)
            except ApiError as error:
                if upto - begin_at <= SHORTEST_SPAN or not is_refusal_of_window(error):
                    raise
                span = max((upto - begin_at) / 2, SHORTEST_SPAN)
                span -= timedelta(microseconds=span.microseconds)
                log.info("LearningCart refused a window of completions; asking for %s at once", span)
                continue
            covered_until = max(covered_until or begin_at, min(upto, asked_at))
            self._record(listed, polled, covered_until, cursor)
            begin_at = upto

    def _record(
        self,
        listed: Rows[CourseCompletionInfo],
        polled: CompletionsPolled,
        covered_until: datetime,
        cursor: ListPoll,
    ) -> None:
        """Commit a window's completions, and that the cursor covers them."""
        seen = list(self._seen(listed, polled))
        polled.rows += len(listed)
        try:
            polled.changed += self._commit(seen, polled, covered_until, cursor)
        except CONCERNS_ALL:
            raise
        except Exception:  # noqa: BLE001  (of any class; each learner's course then shows whose it is)
            for key in sorted({progress.key for progress in seen}):
                of_key = [progress for progress in seen if progress.key == key]
                try:
                    # The cursor moves with the last of them.
                    polled.changed += self._commit(of_key, polled, None, cursor)
                except CONCERNS_ALL:
                    raise
                except Exception as error:  # noqa: BLE001
                    polled.set_aside[key] = problem_of(error)
            self._commit([], polled, covered_until, cursor)

    @staticmethod
    def _seen(listed: Rows[CourseCompletionInfo], polled: CompletionsPolled) -> Iterator[Progress]:
        for info in listed:
            if isinstance(info, UnreadableRow):
                polled.set_aside[f"row {info.fingerprint}"] = info.problem
                continue
            try:
                progress = Progress.reported(info)
            except Exception as error:  # noqa: BLE001  (of any class: the record concerns itself alone)
                customer_id, course_id = _ids(info)
                polled.set_aside[f"{customer_id}/{course_id}"] = problem_of(error)
                continue
            if progress is None:
                polled.unreadable += 1
            else:
                yield progress

    def _commit(
        self, seen: Sequence[Progress], polled: CompletionsPolled, covered_until: datetime | None, cursor: ListPoll
    ) -> int:
        now = self.clock()
        values: dict[str, Any] = {}
        if covered_until is not None:
            values["position"] = {
                "covered_until": covered_until.isoformat(),
                "unreadable": polled.unreadable + len(polled.set_aside),
                "set_aside": sorted(polled.set_aside),
            }
        with self.ledger.write() as connection:
            is_own = completion_rows.write_poll(
                connection,
                holder=self.holder,
                **leases.leased(self.holder, now=now, lease_seconds=self.lease_seconds),
                **values,
            )
            if not is_own:
                raise ApiError("another poll took over", system=SYSTEM, operation=OPERATION, retryable=True)
            if covered_until is not None:
                known = cursor.position.get("set_aside", ())
                _tell_set_aside(connection, {k: v for k, v in polled.set_aside.items() if k not in known}, now=now)
            return record_progress(
                connection, seen, now=now, sends_events=self.sends_events, follow=self._following(cursor)
            )

    def _following(self, cursor: ListPoll) -> Follow | None:
        if self.follow_on is None:
            return None
        return partial(
            self.follow_on.plan_completed,
            first_contact_at=cursor.first_contact_at or self.clock(),
            is_first_poll=cursor.last_success_at is None,
        )


class Follow(Protocol):
    """Plans what follows on a completed course, inside the caller's transaction."""

    def __call__(self, connection: Connection, completion_id: str, completed: Progress, /, *, now: datetime) -> object:
        """Plan it. Raises `ConfigurationError` where it is not known what follows."""


def record_progress(
    connection: Connection, seen: Sequence[Progress], *, now: datetime, sends_events: bool, follow: Follow | None = None
) -> int:
    """Join reports to what is stored, with an event for each state newly reached; returns how many rows changed.

    `follow` is called for each course newly seen to be completed. Its caller holds the cursor's row: no two of these
    run at once.
    """
    by_key: dict[str, list[Progress]] = {}
    for progress in without_erased(connection, seen):
        by_key.setdefault(progress.key, []).append(progress)
    known = completion_rows.known_completions(connection, sorted(by_key))
    changed = 0
    completed: list[tuple[str, Progress]] = []
    for key, reported in sorted(by_key.items()):
        row = known.get(key)
        before = None if row is None else Progress.stored(row)
        after, reached = advance(before, reported)
        if after is None or after == before:
            continue
        changed += 1
        if row is None:
            completion_id = completion_rows.add_completion(connection, asdict(after), now=now)
        else:
            completion_id = row.id
            completion_rows.change_completion(connection, completion_id, asdict(after), now=now)
        for state in reached:
            _tell(connection, completion_id, after, state, now=now, sends_events=sends_events)
        if CompletionState.COMPLETED in reached:
            completed.append((completion_id, after))
    # By email, as everywhere, so that two transactions that add learners never wait for each other.
    for completion_id, after in sorted(completed, key=lambda each: email_key(each[1].email)):
        if follow is not None and not is_pseudonym(after.email):
            follow(connection, completion_id, after, now=now)
    return changed


def without_erased(connection: Connection, seen: Sequence[Progress]) -> list[Progress]:
    """What LearningCart still tells of learners who were forgotten and have not ordered since, under a pseudonym."""
    gone = gone_for_good(connection, {progress.email for progress in seen})
    return [
        replace(each, email=pseudonym(None), name=FORGOTTEN) if email_key(each.email) in gone else each for each in seen
    ]


def _tell_set_aside(connection: Connection, fresh: Mapping[str, str], *, now: datetime) -> None:
    """Write into the audit trail what a poll could not read or record and the last one had not met."""
    for key, problem in sorted(fresh.items()):
        detail = {"completion": key, "problem": problem}
        record_event(connection, at=now, kind="completion_set_aside", actor=Actor.SOURCE, system=SYSTEM, detail=detail)


def _set_aside_text(set_aside: Mapping[str, str]) -> str | None:
    if not set_aside:
        return None
    named = "; ".join(f"{key}: {problem}" for key, problem in sorted(set_aside.items())[:3])
    more = f"; and {len(set_aside) - 3} more" if len(set_aside) > 3 else ""
    return f"Completions that cannot be read or recorded (CUSTOMER/COURSE/BEGAN), all others go on: {named}{more}"[:500]


def _tell(
    connection: Connection,
    completion_id: str,
    progress: Progress,
    state: CompletionState,
    *,
    now: datetime,
    sends_events: bool,
) -> None:
    is_completed = state is CompletionState.COMPLETED
    about = {
        "completion_id": completion_id,
        "customer_id": progress.customer_id,
        "course_id": progress.course_id,
        "started_at": iso(progress.started_at),
        "completed_at": iso(progress.completed_at) if is_completed else None,
        "score": progress.score if is_completed else None,
    }
    record_event(connection, at=now, kind=f"completion_{state}", actor=Actor.SOURCE, system=SYSTEM, detail=about)
    if sends_events:
        learner = {"email": progress.email, "name": progress.name, "course_name": progress.course_name}
        outbox.add_event(connection, f"completion.{state}", about | learner, now=now)


def _ids(info: CourseCompletionInfo) -> tuple[object, object]:
    customer, course = info.customer, info.course
    return customer.customer_id if customer else "-", course.course_id if course else "-"


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
