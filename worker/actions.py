"""What a person can do about a reason: structured actions, and each form they are shown in.

A program reads the actions: the page makes buttons of them, the API sends them. A person reads the sentence that they
stand in, where each is the command that does it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from string import Formatter
from typing import Final

_PLAIN: Final = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
_NEEDS_SINGLE_QUOTES: Final = frozenset('"$`\\!')


class ActionKind(StrEnum):
    """What can be done. Stable: the API sends it."""

    REPLAY = "replay"
    REPLAN = "replan"
    """Plan the order of a run again, by today's offers."""
    REPEAT = "repeat"
    """Repeat finished steps of a run on purpose, under a new reference."""
    RESOLVE = "resolve"
    CANCEL = "cancel"
    NAME_SEAT = "name_seat"
    """Say whom a seat is for, and give access."""
    SHOW_RUN = "show_run"
    EXPLAIN = "explain"
    INGEST = "ingest"
    CHECK = "check"
    CHECK_OFFERS = "check_offers"
    RESUME = "resume"
    STATUS = "status"
    START = "start"
    """Start everything in one process."""
    START_WORKER = "start_worker"


@dataclass(frozen=True)
class Blank:
    """A value that is not known: the word that stands for it in a command, for a person to replace."""

    word: str


RUN: Final = Blank("RUN")
SOURCE: Final = Blank("SOURCE")
ORDER: Final = Blank("ORDER")


@dataclass(frozen=True)
class Action:
    """One thing to do: what, and with which arguments. An argument that a person must supply is a `Blank`."""

    kind: ActionKind
    arguments: Mapping[str, str | Blank]

    def known(self, name: str) -> str | None:
        """An argument's value; None where there is no such argument, or a person must supply it."""
        value = self.arguments.get(name)
        return value if isinstance(value, str) else None

    def filled(self, values: Mapping[Blank, str]) -> Action:
        """The action with what is known in the place of blanks."""
        arguments = {
            name: values.get(value, value) if isinstance(value, Blank) else value
            for name, value in self.arguments.items()
        }
        return Action(self.kind, arguments)


_OPTIONS: Final = {
    "step": "--from-step",
    "reason": "--reason",
    "note": "--note",
    "result_id": "--order-id",
    "email": "--email",
    "first": "--first",
    "last": "--last",
}
"""By argument: the option of the command line; any other argument stands by itself."""
_COMMANDS: Final[Mapping[ActionKind, tuple[str, ...]]] = {
    ActionKind.REPLAY: ("replay", "{run_id}"),
    ActionKind.REPLAN: ("replay", "{run_id}", "--replan"),
    ActionKind.REPEAT: ("replay", "{run_id}", "{step}", "--again", "{reason}"),
    ActionKind.RESOLVE: ("runs resolve", "{run_id}", "{note}", "{result_id}"),
    ActionKind.CANCEL: ("runs cancel", "{run_id}"),
    ActionKind.NAME_SEAT: ("seats name", "{run_id}", "{email}", "{first}", "{last}"),
    ActionKind.SHOW_RUN: ("runs show", "{run_id}"),
    ActionKind.EXPLAIN: ("why", "{subject}"),
    ActionKind.INGEST: ("ingest", "{source}", "{order_id}"),
    ActionKind.CHECK: ("check",),
    ActionKind.CHECK_OFFERS: ("offers check",),
    ActionKind.RESUME: ("resume", "{system}"),
    ActionKind.STATUS: ("status",),
    ActionKind.START: ("up",),
    ActionKind.START_WORKER: ("worker",),
}
"""By kind: the words of its command; an argument that an action does not have is left out, with its option."""


def command(action: Action) -> str:
    """The command that does it, as it can be typed once a person has replaced the words of the blanks."""
    return " ".join(["cartbridge", *_words(action)])


@dataclass(frozen=True, slots=True)
class ActionItem:
    """An action for programs. An argument that a person must supply is None; `command` has a word in its place."""

    kind: str
    arguments: dict[str, str | None]
    command: str

    @classmethod
    def of(cls, action: Action) -> ActionItem:
        """The action as it is sent."""
        return cls(str(action.kind), {name: action.known(name) for name in action.arguments}, command(action))


def items(step: NextStep | None) -> list[ActionItem]:
    """The actions of a step for programs; none of no step."""
    return [] if step is None else [ActionItem.of(action) for action in step.actions]


def _words(action: Action) -> Iterator[str]:
    for word in _COMMANDS[action.kind]:
        if not word.startswith("{"):
            yield word
        elif (value := action.arguments.get(name := word.strip("{}"))) is not None:
            text = value.word if isinstance(value, Blank) else _quoted(value)
            yield f"{_OPTIONS[name]} {text}" if name in _OPTIONS else text


def _quoted(value: str) -> str:
    """A value as one word of a shell."""
    if _PLAIN.fullmatch(value):
        return value
    return shlex.quote(value) if not value or _NEEDS_SINGLE_QUOTES & set(value) else f'"{value}"'


def explaining(subject: str) -> Action:
    """To see why somebody, an order or a run stands as it does."""
    return Action(ActionKind.EXPLAIN, {"subject": subject})


def resuming(system: str) -> Action:
    """To go on with a system that was paused."""
    return Action(ActionKind.RESUME, {"system": system})


_RESOLVE: Final = {"run_id": RUN, "note": Blank("TEXT")}
_ACTIONS: Final = {
    "replay": Action(ActionKind.REPLAY, {"run_id": RUN}),
    "replan": Action(ActionKind.REPLAN, {"run_id": RUN}),
    "repeat": Action(ActionKind.REPEAT, {"run_id": RUN, "reason": Blank("TEXT")}),
    "repeat_comped_order": Action(ActionKind.REPEAT, {"run_id": RUN, "step": "add_comped_order", "reason": "not made"}),
    "repeat_cart": Action(ActionKind.REPEAT, {"run_id": RUN, "step": "create_cart", "reason": "new cart"}),
    "resolve": Action(ActionKind.RESOLVE, _RESOLVE),
    "resolve_naming": Action(ActionKind.RESOLVE, _RESOLVE | {"note": Blank("WHO")}),
    "resolve_found": Action(ActionKind.RESOLVE, _RESOLVE | {"note": "found", "result_id": Blank("ID")}),
    "cancel": Action(ActionKind.CANCEL, {"run_id": RUN}),
    "name_seat": Action(
        ActionKind.NAME_SEAT,
        {"run_id": RUN, "email": Blank("EMAIL"), "first": Blank("FIRST"), "last": Blank("LAST")},
    ),
    "show_run": Action(ActionKind.SHOW_RUN, {"run_id": RUN}),
    "ingest": Action(ActionKind.INGEST, {"source": SOURCE, "order_id": ORDER}),
    "check": Action(ActionKind.CHECK, {}),
    "check_offers": Action(ActionKind.CHECK_OFFERS, {}),
    "resume_learningcart": resuming("learningcart"),
    "status": Action(ActionKind.STATUS, {}),
    "start": Action(ActionKind.START, {}),
    "start_worker": Action(ActionKind.START_WORKER, {}),
}
"""By the name that stands for it in the text of a step (`NextStep.of`)."""


@dataclass(frozen=True)
class NextStep:
    """What to do: the words of a sentence, and the actions among them."""

    parts: tuple[str | Action, ...]

    @classmethod
    def of(cls, text: str, **own: Action) -> NextStep:
        """A sentence in which `{replay}` stands for the action of that name: one of `own`, else of all there are."""
        parts: list[str | Action] = []
        for words, name, _, _ in Formatter().parse(text):
            parts += [words] if words else []
            parts += [own.get(name) or _ACTIONS[name]] if name else []
        return cls(tuple(parts))

    @property
    def actions(self) -> tuple[Action, ...]:
        """What can be done, in the order of the sentence: the first is what to do."""
        return tuple(part for part in self.parts if isinstance(part, Action))

    @property
    def text(self) -> str:
        """The sentence, each action as its command between backticks."""
        return "".join(part if isinstance(part, str) else f"`{command(part)}`" for part in self.parts)

    def filled(self, values: Mapping[Blank, str]) -> NextStep:
        """The step with what is known in the place of blanks."""
        return NextStep(tuple(part if isinstance(part, str) else part.filled(values) for part in self.parts))

    def needs(self, blank: Blank) -> bool:
        """Whether an action waits for this value."""
        return any(blank in action.arguments.values() for action in self.actions)
