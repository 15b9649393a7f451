"""Alerts: what is wrong now, what of it is new, and the message about it. Grouped, and without learners' data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self
from urllib.parse import urlencode

from sqlalchemy import Connection

from worker.formatting import counted, minute, plain_error
from worker.ledger.clock import is_ahead
from worker.ledger.follow_on.completions import completions_poll
from worker.ledger.offers_in_force import offers_in_force_row
from worker.ledger.outbox import outbox_counts
from worker.ledger.periodic.source_watches import watches
from worker.ledger.views import overview
from worker.ledger.views.overview import ReasonCount
from worker.settings.settings import SENT_TO

DOWN_AFTER = timedelta(minutes=5)
"""A destination that comes back sooner causes no alert: runs wait for it, and lose nothing."""
BEHIND_AFTER = timedelta(minutes=15)
FAILED_POLLS = 3
_LISTS = {"subscriptions": "subscriptions", "catalog": "products"}
_WAITS = {
    "subscriptions": "Orders of subscriptions wait for it; all others go on.",
    "catalog": "Names of new products are not shown; orders go on.",
}
_WORK = ("review/", "failed/", "delivery/")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong now."""

    key: str
    """Stable while it lasts, such as `review/unmapped_product` or `down/learningcart`."""
    title: str
    advice: str = ""
    path: str = ""
    """Where the operator's page shows it."""


@dataclass(frozen=True)
class Reported:
    """What was sent about a problem."""

    title: str
    at: datetime


@dataclass(frozen=True)
class AlertsSent:
    """What was sent about problems that still last."""

    reported: Mapping[str, Reported]
    sent_at: datetime | None = None
    summary_day: str = ""
    """The last day that was summed up, in the operator's zone."""

    @classmethod
    def read(cls, position: Mapping[str, Any]) -> Self:
        """From the ledger's JSON."""
        reported = {
            key: Reported(each["title"], datetime.fromisoformat(each["at"]))
            for key, each in position.get("told", {}).items()
        }
        sent_at = position.get("sent_at")
        return cls(reported, datetime.fromisoformat(sent_at) if sent_at else None, position.get("summary_day", ""))

    def document(self) -> dict[str, Any]:
        """As the ledger's JSON."""
        return {
            "told": {key: {"title": each.title, "at": each.at.isoformat()} for key, each in self.reported.items()},
            "sent_at": self.sent_at.isoformat() if self.sent_at else None,
            "summary_day": self.summary_day,
        }


@dataclass(frozen=True)
class Alert:
    """One message for all that is new."""

    new: tuple[Problem, ...]
    lasting: tuple[Problem, ...] = ()
    over: tuple[str, ...] = ()
    """The titles of conditions that have ended."""

    @property
    def title(self) -> str:
        """The message's subject."""
        if not self.new:
            return "Cartbridge: " + ("over: " + self.over[0] if len(self.over) == 1 else f"{len(self.over)} are over")
        first = self.new[0].title
        return f"Cartbridge: {first}" + (f", and {len(self.new) - 1} more" if len(self.new) > 1 else "")

    def text(self, page_url: str | None) -> str:
        """The message's body, in plain text."""
        parts = [_paragraph(problem, page_url) for problem in self.new]
        if self.over:
            parts.append("Over:\n" + "\n".join(f"- {title}" for title in self.over))
        if self.lasting:
            parts.append("Still so:\n" + "\n".join(f"- {problem.title}" for problem in self.lasting))
        if page_url:
            parts.append(f"The page: {page_url}/")
        return "\n\n".join(parts)


def _paragraph(problem: Problem, page_url: str | None) -> str:
    lines = [problem.title]
    if problem.advice:
        lines.append(problem.advice)
    if page_url and problem.path:
        lines.append(f"{page_url}{problem.path}")
    return "\n".join(lines)


def problems(connection: Connection, now: datetime) -> list[Problem]:
    """Everything that is wrong now, the most pressing first. Reads open rows and the systems' few, by index."""
    systems = list(_systems(connection, now))
    is_paused = any(pause.system in SENT_TO for pause in overview.list_pauses(connection))
    is_held_up = is_paused or any(problem.key.startswith("down/") for problem in systems)
    return [
        *_offers(connection),
        *systems,
        *([] if is_held_up else _behind(connection, now)),
        *_by_reason(overview.failures(connection), "failed", "failed", "/runs?"),
        *_by_reason(overview.reviews(connection), "review", "in review", "/runs?"),
        *_deliveries(overview.delivery_reviews(connection)),
        *_events(connection),
    ]


def _offers(connection: Connection) -> Iterator[Problem]:
    row = offers_in_force_row(connection)
    if row is not None and row.problem is not None:
        yield Problem(
            "offers/invalid",
            "the offers file cannot be used; its last valid rules stay in force",
            f"{row.problem} See: cartbridge offers check",
            path="/offers",
        )


def _systems(connection: Connection, now: datetime) -> Iterator[Problem]:
    for pause in overview.list_pauses(connection):
        if pause.kind == "restored":
            yield Problem(
                f"paused/{pause.system}/restored",
                f"{pause.system} is paused: it holds effects of ours that the ledger does not know",
                "Was the ledger restored from an older copy? See: cartbridge status",
                path="/systems",
            )
        elif pause.kind != "operator":
            yield Problem(
                f"paused/{pause.system}",
                f"{pause.system} refuses our credentials: nothing is sent to it",
                f"Correct them (`cartbridge check`), then: cartbridge resume {pause.system}",
                path="/systems",
            )
    for breaker in overview.list_breakers(connection, now):
        since = breaker.since
        if breaker.state == "open" and since and now - since >= DOWN_AFTER:
            yield Problem(
                f"down/{breaker.system}",
                f"{breaker.system} is down since {minute(since)}",
                "Runs wait for it and lose nothing; it is asked again by itself.",
                path="/systems",
            )
    yield from _polls(connection, now)


def _polls(connection: Connection, now: datetime) -> Iterator[Problem]:
    """What is wrong with polls; of a source that is paused, or not set any more, the last ones say nothing."""
    paused = {pause.system for pause in overview.list_pauses(connection)}
    asked = watches(connection).keys() - paused
    has_none = not asked and not paused  # nobody has looked which sources there are yet
    for source in overview.list_sources(connection, now):
        if source.source not in asked and not has_none:
            continue
        name, late, silent = source.source, source.late_since, source.silent_since
        if late:
            yield Problem(
                f"late/{name}",
                f"no poll of {name} has succeeded since {minute(late)}",
                _with_error(source.last_error, "See: cartbridge check"),
                path="/systems",
            )
        elif source.failures >= FAILED_POLLS:
            yield Problem(
                f"failing/{name}",
                f"polls of {name} fail: its orders may not all be seen",
                _with_error(source.last_error, "See: cartbridge check"),
                path="/systems",
            )
        elif silent:
            yield Problem(
                f"silent/{name}",
                f"no new order has come from {name} since {minute(silent)}, which is unusual for it",
                "Does its shop still sell?",
                path="/systems",
            )
    for each in overview.list_lists(connection):
        if each.failures >= FAILED_POLLS and (each.source in asked or has_none):
            yield Problem(
                f"failing/{each.source}:{each.list}",
                f"{each.source}'s list of {_LISTS[each.list]} cannot be read",
                _with_error(each.last_error, f"{_WAITS[each.list]} See: cartbridge check"),
                path="/systems",
            )
    completions = completions_poll(connection)
    if completions is not None and completions.failures >= FAILED_POLLS and "learningcart" not in paused:
        yield Problem(
            "late/completions", "LearningCart's completions cannot be read", "See: cartbridge status", path="/systems"
        )


def _with_error(error: str | None, advice: str) -> str:
    """What a poll's last failure says, and what to do about it."""
    return f"{plain_error(error).rstrip('.')}. {advice}" if error else advice


def _behind(connection: Connection, now: datetime) -> Iterator[Problem]:
    for key, noun, verb, due in (
        ("behind", "run", "worked", overview.due_runs(connection, now)),
        ("behind/deliveries", "order notice", "looked at", overview.due_deliveries(connection, now)),
    ):
        age_seconds = due.oldest_age_seconds
        if age_seconds is not None and age_seconds >= BEHIND_AFTER.total_seconds():
            yield Problem(
                key,
                f"{counted(due.count, noun)} due and not {verb}, the oldest since {minute(due.oldest_at)}",
                "Are there enough workers? See: cartbridge status",
                path="/",
            )


def _by_reason(rows: Sequence[ReasonCount], kind: str, word: str, path: str) -> list[Problem]:
    return [
        Problem(
            f"{kind}/{row.reason or ''}",
            f"{_runs_counted(row)} {word}: {row.reason or 'no reason'}",
            f"{row.advice} {row.action}" if row.advice else "",
            path + urlencode({"state": kind, "reason": row.reason or ""}),
        )
        for row in rows
    ]


def _runs_counted(row: ReasonCount) -> str:
    runs = counted(row.count, "run")
    if not 0 < row.orders < row.count:
        return runs
    return f"{runs} of {counted(row.orders, 'order')}"


def _deliveries(rows: Sequence[ReasonCount]) -> list[Problem]:
    found = _by_reason(rows, "delivery", "", "/deliveries?")
    return [
        replace(each, title=f"{counted(row.count, 'order')} could not be read: {row.reason or 'no reason'}", path="/")
        for each, row in zip(found, rows, strict=True)
    ]


def _events(connection: Connection) -> list[Problem]:
    failed = outbox_counts(connection).failed
    if not failed:
        return []
    title = f"{counted(failed, 'event')} given up: the receiver did not take what was sent"
    return [Problem("events/failed", title, "See: cartbridge status")]


def judge(
    found: Sequence[Problem], sent: AlertsSent, *, now: datetime, group: timedelta, repeat: timedelta
) -> tuple[Alert | None, AlertsSent]:
    """What to send now, if anything, and the state once that is sent.

    New is what was not sent yet, and what was sent `repeat` ago and lasts. Within `group` of the last alert it waits,
    to be sent with what else comes. What a clock that was ahead noted is not waited for.
    """
    if sent.sent_at is not None and not is_ahead(sent.sent_at, now) and now - sent.sent_at < group:
        return None, sent
    reported = {problem.key: sent.reported[problem.key] for problem in found if problem.key in sent.reported}
    # Work that somebody did is no news to them.
    over = tuple(
        before.title
        for key, before in sorted(sent.reported.items())
        if key not in reported and not key.startswith(_WORK) and not _is_worse(key, found)
    )
    new = tuple(problem for problem in found if problem.key not in reported or now - reported[problem.key].at >= repeat)
    if not new and not over:
        return None, replace(sent, reported=reported)
    reported |= {problem.key: Reported(problem.title, now) for problem in new}
    lasting = tuple(problem for problem in found if problem not in new)
    return Alert(new, lasting, over), replace(sent, reported=reported, sent_at=now)


def _is_worse(key: str, found: Sequence[Problem]) -> bool:
    """Whether a problem that is not found any more is hidden by a graver one: it is not over."""
    kind, _, about = key.partition("/")
    if kind == "behind":
        return any(problem.key.startswith(("paused/", "down/")) for problem in found)
    return any(problem.key.partition("/")[2].partition("/")[0] == about.partition("/")[0] for problem in found)
