"""The arguments and options that commands share, so that one name means one thing everywhere."""

from __future__ import annotations

import difflib
import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer
from typer.models import OptionInfo

from worker.cli.context import opening_of
from worker.reasons import Reason

_AGO = re.compile(r"(\d{1,6})\s*([smhdw])(?:\s+ago)?")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

_MOST_OFFERED = 30
DEFAULT_LIMIT = 50
"""Rows of a table for people; JSON gives everything unless `--limit` says less."""


class SourceName(StrEnum):
    """The systems orders come from."""

    STUDIOCART = "studiocart"
    FRONTCORE = "frontcore"
    THREEDCART = "threedcart"


class SystemName(StrEnum):
    """The systems that can be paused."""

    LEARNINGCART = "learningcart"
    MAIL = "mail"
    STUDIOCART = "studiocart"
    FRONTCORE = "frontcore"
    THREEDCART = "threedcart"


def one_of(names: type[StrEnum]) -> str:
    """All of them, for the help of an option: in its column of types they would squeeze the rest."""
    *first, last = names
    return f"{', '.join(first)} or {last}"


def in_states(states: type[StrEnum]) -> OptionInfo:
    """The option that chooses by state."""
    shown = f"In this state, or in several given so: {one_of(states)}."
    option: OptionInfo = typer.Option("--state", metavar="STATE", help=shown)
    return option


def parse_moment(text: str) -> datetime:
    """A moment: ISO 8601 (a day begins at midnight; naive without a zone), or how long ago: `90s`, `2h`, `3d`, `1w`."""
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago is not None:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago.group(2)]: int(ago.group(1))})
        moment = datetime.fromisoformat(text.strip())
        return moment if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is no moment: give 2025-03-04, 2025-03-04T14:05Z, or 2h for two hours ago"
        ) from None


def in_operators_zone(context: typer.Context, moment: datetime | None) -> datetime | None:
    """A moment in UTC; one that was given without a zone is in that of the settings. Raises `ConfigurationError`."""
    if moment is None or moment.tzinfo is not None:
        return moment
    try:
        return moment.replace(tzinfo=opening_of(context).settings.zone).astimezone(UTC)
    except OverflowError:
        raise typer.BadParameter(f"{moment:%Y-%m-%d} is outside the calendar") from None


def hint_at_review_reason(context: typer.Context, text: str | None) -> str | None:
    """Say, where a note is one of our codes, which option chooses runs by it. The note is taken all the same."""
    takes_codes = any(parameter.name == "review_reason" for parameter in context.command.params)
    if text is not None and takes_codes and text.strip() in list(Reason):
        hint = f"--reason is the note for the audit trail. To choose runs by it: --review-reason {text.strip()}"
        typer.secho(hint, dim=True, err=True)
    return text


def known_reason(text: str | None) -> str | None:
    """A reason's code: a misspelled one would choose nothing, and so do nothing."""
    if text is None or text in list(Reason):
        return text
    [nearest] = difflib.get_close_matches(text, [str(reason) for reason in Reason], n=1, cutoff=0)
    raise typer.BadParameter(f"there is no reason {text!r}; the nearest is {nearest}")


def offered_reasons(incomplete: str) -> list[str]:
    """The reasons' codes that a shell offers."""
    return [str(reason) for reason in Reason if reason.startswith(incomplete)]


def offered_runs(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The newest runs that a shell offers, those that need somebody first, with what they give. None where none can be
    read: a shell shows no errors.
    """
    from itertools import islice

    from worker.cli.context import Opening
    from worker.ledger.states import RunState
    from worker.ledger.views.listing import list_runs

    try:
        opening = Opening(context.find_root().params.get("env_file"))
        with opening.reading() as connection:
            stuck = list_runs(connection, states=(RunState.REVIEW, RunState.FAILED), limit=_MOST_OFFERED)
            found = [*stuck, *list_runs(connection, limit=_MOST_OFFERED)]
    except Exception:  # noqa: BLE001 -- of any class: it would stand in the middle of what is typed
        return []
    named = {run.id: f"{run.state} {run.title} {run.email or ''}" for run in found if run.id.startswith(incomplete)}
    return list(islice(named.items(), _MOST_OFFERED))


AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="CSV on stdout.")]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help=f"At most this many. Default: {DEFAULT_LIMIT}, with --json and --csv all."),
]
Since = Annotated[
    datetime | None,
    typer.Option(
        "--since",
        parser=parse_moment,
        callback=in_operators_zone,
        metavar="TIME",
        help="From then on: 2025-03-04, or 2h for two hours ago.",
    ),
]
Until = Annotated[
    datetime | None,
    typer.Option(
        "--until", parser=parse_moment, callback=in_operators_zone, metavar="TIME", help="Before then; as --since."
    ),
]
OfSource = Annotated[
    SourceName | None, typer.Option("--source", metavar="SOURCE", help=f"Of this source: {one_of(SourceName)}.")
]
OrdersSource = Annotated[
    SourceName,
    typer.Argument(
        metavar="SOURCE", help=f"Whose orders: {one_of(SourceName)}.", show_choices=False, show_default=False
    ),
]
OfReason = Annotated[
    str | None,
    typer.Option("--reason", metavar="CODE", help="With this reason code.", autocompletion=offered_reasons),
]
OfReviewReason = Annotated[
    str | None,
    typer.Option(
        "--review-reason",
        metavar="CODE",
        help="All runs in review with this reason code, such as read_anew.",
        autocompletion=offered_reasons,
        callback=known_reason,
    ),
]
OfEmail = Annotated[str | None, typer.Option("--email", help="Of this learner.")]
OfOrder = Annotated[str | None, typer.Option("--order-id", metavar="ORDER_ID", help="Of this order of the source.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, call by call, and change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Why = Annotated[
    str | None,
    typer.Option("--reason", metavar="TEXT", help="Why; kept in the audit trail.", callback=hint_at_review_reason),
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="The run's id, the beginning of it, or its key.",
        show_default=False,
        autocompletion=offered_runs,
    ),
]
RunOrReason = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="The run's id, the beginning of it, or its key.",
        show_default=False,
        autocompletion=offered_runs,
    ),
]
