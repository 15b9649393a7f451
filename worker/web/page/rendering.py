"""Templates into HTML: everything from outside is escaped, and a name that is not there is an error, not a blank."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from worker.formatting import (
    ago,
    clock,
    counted,
    duration,
    local,
    money,
    plain_error,
    time_of_day,
    timestamp,
    zone_label,
)
from worker.ledger.views.serializers import iso
from worker.ledger.views.timeline import person, run_label
from worker.text.control_characters import CONTROL_CHARACTERS
from worker.web.page.views.formatting import sentence, took

TEMPLATES = Path(__file__).parent / "templates"
MOST_COUNTED = 1000
"""Counts stop here: `1,000+` is as good a reason to act as the number, and costs nothing to find."""
_COMMAND = re.compile(r"`([^`]+)`")
_LABEL = re.compile(r"\*\*([A-Za-z ]+)\*\*")
"""A button's label in a sentence about what to do."""


def environment() -> Environment:
    """The templates of the page, with the words of the command line as filters."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    made.filters.update(
        ago=ago,
        capped=capped,
        clock=clock,
        commands=commands,
        counted=counted,
        duration=duration,
        labelled=labelled,
        money=money,
        local=local,
        person=person,
        plain_error=plain_error,
        run_label=run_label,
        sentence=sentence,
        time_of_day=time_of_day,
        timestamp=timestamp,
        took=took,
        words=words,
    )
    made.globals["zone"] = zone_label
    return made


def _shown(value: Any) -> Any:
    """A text without what lets a page read otherwise than it is: a name may turn the direction of what follows.

    A moment is shown as JSON has it, which is what `<time datetime>` takes.
    """
    if isinstance(value, datetime):
        return iso(value)
    return value if not isinstance(value, str) or value.isprintable() else value.translate(CONTROL_CHARACTERS)


def capped(count: int) -> str:
    """A count that was cut at `MOST_COUNTED`, for people: `37`, `1,000+`."""
    return f"{MOST_COUNTED:,}+" if count > MOST_COUNTED else f"{count:,}"


def commands(text: str | None) -> Markup:
    """A sentence in which `commands` stand between backticks."""
    return Markup(_COMMAND.sub(r"<code>\1</code>", str(escape(text or ""))))  # noqa: S704 - escaped before


def labelled(text: str | None) -> Markup:
    """As `commands`, with the labels of buttons between double asterisks."""
    return Markup(_LABEL.sub(r"<strong>\1</strong>", str(commands(text))))  # noqa: S704 - escaped before


def words(code: str | None) -> str:
    """A code for people: `unmapped_product` is `unmapped product`."""
    return (code or "").replace("_", " ")


Context = dict[str, Any]
