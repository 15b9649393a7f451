"""How a story is told on the page: answer and buttons, a timeline by days, sentences, links to the systems."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from worker.formatting import local
from worker.ledger.views.diagnosis import Diagnosis
from worker.ledger.views.history import Story
from worker.ledger.views.timeline import TimelineLine
from worker.settings.settings import PAUSABLE, Settings
from worker.web.page.actions.links import Button, beside, in_buttons, suggested

_SYSTEMS = frozenset(PAUSABLE)
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?", re.IGNORECASE)


def days(lines: Iterable[TimelineLine]) -> list[tuple[str, list[TimelineLine]]]:
    """A story's lines by their day, in their order."""
    return [(day, list(of_day)) for day, of_day in groupby(lines, key=lambda line: f"{local(line.at):%Y-%m-%d}")]


@dataclass(frozen=True, slots=True)
class Summary:
    """What stands at the top of a story: the answer, what to do, and the buttons that do it, the first one foremost."""

    answer: str
    tone: str
    action: str | None
    """What to do, in the words of the buttons."""
    command: str | None
    """The same by commands, where it differs."""
    buttons: list[Button]
    others: list[Button]
    """What else may be done to the one run that is meant."""


def summary_of(story: Story | Diagnosis, *, can_act: bool) -> Summary:
    """The top of a story, with buttons where the page may act."""
    buttons = suggested(story.actions) if can_act else []
    others = beside(buttons, story.runs) if can_act and isinstance(story, Story) else []
    said = in_buttons(story.action, story.actions) if story.action and can_act else story.action
    command = story.action if said != story.action else None
    return Summary(story.answer, story.tone, said, command, buttons, others)


def sentence(text: str) -> str:
    """What a command line says in lower case, as a sentence; a system keeps its own spelling."""
    if text.partition(" ")[0] not in _SYSTEMS:
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", "…")) or "\n" in text else f"{text}."


def took(seconds: float) -> str:
    """How long a call took: `85 ms`, `2.4 s`, `12 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def order_at_source(settings: Settings, source: str, order_id: str | None) -> str | None:
    """Where an order is at its source: Studiocart's are WordPress posts; of others no address is known."""
    site, rest, _ = (settings.studiocart.base_url or "").partition("/wp-json/")
    if source != "studiocart" or not rest or order_id is None or not order_id.isdigit():
        return None
    return f"{site}/wp-admin/post.php?post={order_id}&action=edit"


def learningcart_site(settings: Settings) -> str | None:
    """The site that the learners learn on; LearningCart gives no address of a customer or an order there."""
    host = settings.learningcart.site_hostname or ""
    return f"https://{host}/" if _HOST.fullmatch(host) else None
