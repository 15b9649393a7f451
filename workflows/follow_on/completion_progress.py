"""A learner's progress in a course, and what becomes of it by what LearningCart tells: pure, and never backwards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Self

from worker.clients.learningcart.models import CourseCompletionInfo
from worker.ledger.follow_on.completions import CompletionState
from worker.ledger.tables.follow_on import CompletionRecord
from worker.ledger.views.serializers import iso
from worker.text import bounded
from worker.text.email_address import trimmed_email
from worker.text.personal_text import EXPIRED

_LARGEST_SCORE: Final = 2**31 - 1
"""What a column holds: a garbled score must not hide the completion."""


@dataclass(frozen=True)
class Progress:
    """How far a learner is in a course that was begun once."""

    key: str
    state: CompletionState
    customer_id: str
    course_id: str
    email: str = ""
    name: str = ""
    course_name: str = ""
    score: int | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None

    @classmethod
    def reported(cls, info: CourseCompletionInfo) -> Self | None:
        """What LearningCart tells; None where it names no learner or course, or a status that is none of the two."""
        customer, course = info.customer, info.course
        if customer is None or course is None or course.course_id is None or info.status not in {0, 1, None}:
            return None
        is_completed = info.is_completed or (info.status is None and info.completed_at is not None)
        return cls(
            key=f"{customer.customer_id}/{course.course_id}/{iso(info.started_at) or '-'}",
            state=CompletionState.COMPLETED if is_completed else CompletionState.BEGAN,
            customer_id=str(customer.customer_id),
            course_id=str(course.course_id),
            email=bounded.email(trimmed_email(_text(customer.email))),
            name=bounded.words(_text(f"{customer.first_name or ''} {customer.last_name or ''}")),
            course_name=bounded.words(_text(course.course_name)),
            score=None if info.score is None or abs(info.score) > _LARGEST_SCORE else info.score,
            started_at=info.started_at,
            completed_at=info.completed_at if is_completed else None,
        )

    @classmethod
    def stored(cls, row: CompletionRecord) -> Self:
        """What the ledger holds."""
        values = {name: getattr(row, name) for name in cls.__dataclass_fields__}
        return cls(**values | {"state": CompletionState(row.state)})

    def joined_by(self, other_progress: Progress) -> Progress:
        """This progress joined with a later report of it. It never goes back, whatever the order and number of reports.

        The report that moves the progress forward decides who the learner is; others fill in what is missing.
        """
        is_forward = other_progress.state is CompletionState.COMPLETED and self.state is CompletionState.BEGAN
        if self.name == EXPIRED and not is_forward:  # kept for long enough: only news tells again whose it is
            other_progress = replace(other_progress, email="", name="")
        leading, other = (other_progress, self) if is_forward else (self, other_progress)
        return replace(
            self,
            state=leading.state,
            email=leading.email or other.email,
            name=leading.name or other.name,
            course_name=leading.course_name or other.course_name,
            score=max((each for each in (self.score, other_progress.score) if each is not None), default=None),
            completed_at=min((each for each in (self.completed_at, other_progress.completed_at) if each), default=None),
        )


def advance(before: Progress | None, reported: Iterable[Progress]) -> tuple[Progress | None, list[CompletionState]]:
    """One learner's course after these reports, and the states it newly reached, in their order."""
    after, reached = before, []
    for each_report in sorted(reported, key=lambda each: each.state is CompletionState.COMPLETED):
        joined = each_report if after is None else after.joined_by(each_report)
        if after is None or joined.state is not after.state:
            reached.append(joined.state)
        after = joined
    return after, reached


def _text(text: str | None) -> str:
    """A text that either database takes: without NUL, and without half a character."""
    return (text or "").encode("utf-8", "replace").decode().replace("\0", "").strip()
