"""Renders a mail from its template: the operator's own file where there is one, else the built-in."""

from __future__ import annotations

import re
import traceback
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from jinja2 import BaseLoader, ChoiceLoader, FileSystemLoader, StrictUndefined, TemplateNotFound, TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment

from worker.errors import ConfigurationError

WELCOME: Final = "welcome"
FOLLOW_ON: Final = "follow_on"
BUILT_IN: Final = Path(__file__).parent

_UNDEFINED = re.compile(r"'(?P<name>\w+)' is undefined")
_SUBJECT = re.compile(r"Subject:[ \t]*(?P<subject>\S[^\r\n]*)(?:\r?\n)+(?P<text>.*)", re.DOTALL)
_LEARNER: Final = {"first_name": "Jane", "last_name": "Doe", "name": "Jane Doe", "email": "jane@example.com"}
SAMPLES: Final[Mapping[str, tuple[Mapping[str, Any], ...]]] = {
    WELCOME: (
        {
            "learner": _LEARNER,
            "password": "a-sample",
            "user_name": "jane@example.com",
            "login_url": "https://example.com",
        },
        {"learner": _LEARNER, "password": None, "user_name": "jane@example.com", "login_url": "https://example.com"},
    ),
    FOLLOW_ON: ({"learner": _LEARNER, "course_name": "First aid", "checkout_url": "https://example.com/checkout"},),
}
"""What each template is given, as an example: every branch of the built-in ones is in it."""


class TemplateError(ConfigurationError):
    """A template cannot be rendered. The message names the file and the line, and quotes nothing it was given."""


@dataclass(frozen=True)
class Rendered:
    """A mail's words. Its repr shows none of them: they may hold a password."""

    subject: str = field(repr=False)
    text: str = field(repr=False)
    html: str = field(default="", repr=False)


class MailTemplates:
    """The templates `welcome` and `follow_on`.

    `NAME.txt` has `Subject: …` as its first line; a `NAME.html` beside it in the operator's directory becomes the
    mail's HTML part, in which values are escaped. Rendered in Jinja's sandbox, where a name that is not given is an
    error. Files are read anew when they have changed. Safe to share between threads.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        loaders: list[BaseLoader] = [] if directory is None else [FileSystemLoader(directory)]
        self._environment = SandboxedEnvironment(
            loader=ChoiceLoader([*loaders, FileSystemLoader(BUILT_IN)]),
            undefined=StrictUndefined,
            autoescape=lambda name: name is not None and name.endswith(".html"),
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )

    def render(self, name: str, values: Mapping[str, Any]) -> Rendered:
        """Render a mail. Raises `TemplateError`."""
        whole = self._render(f"{name}.txt", values)
        parted = _SUBJECT.fullmatch(whole)
        if parted is None:
            raise TemplateError(f"{self._path(f'{name}.txt')} line 1: should be Subject: and the mail's subject")
        html = ""
        if self._directory is not None and (self._directory / f"{name}.html").exists():
            html = self._render(f"{name}.html", values)
        return Rendered(parted["subject"].strip(), parted["text"], html)

    def problems(self) -> Iterator[str]:
        """A sentence for each template that cannot be rendered with sample values, file and line in it."""
        if self._directory is not None and not self._directory.is_dir():
            yield f"{self._directory} is no directory"
            return
        for name, samples in SAMPLES.items():
            found = {_problem(self, name, sample) for sample in samples} - {""}
            yield from sorted(found)

    def _render(self, file_name: str, values: Mapping[str, Any]) -> str:
        try:
            return self._environment.get_template(file_name).render(values)
        except TemplateSyntaxError as error:
            problem = f"{self._path(error.name or file_name)} line {error.lineno}: {error.message}"
        except TemplateNotFound:
            problem = f"{self._path(file_name)}: a template it includes or extends is not there"
        except Exception as error:  # noqa: BLE001  (a template may raise anything; its text may quote what it was given)
            problem = f"{self._path(file_name)} line {_line_of(error, file_name)}: {_why(error)}"
        # Raised here, not in a handler: an exception keeps its context, and that one's may hold a password.
        raise TemplateError(problem)

    def _path(self, file_name: str) -> Path:
        own = None if self._directory is None else self._directory / file_name
        return own if own is not None and own.exists() else BUILT_IN / file_name


def _problem(templates: MailTemplates, name: str, sample: Mapping[str, Any]) -> str:
    try:
        templates.render(name, sample)
    except TemplateError as error:
        return str(error)
    return ""


def _line_of(error: Exception, file_name: str) -> int:
    """The line of the template: Jinja puts its frames into the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno or 0 for frame in frames if Path(frame.filename).name == file_name]
    return lines[-1] if lines else 1


def _why(error: Exception) -> str:
    """Jinja's own word for a name that is not given; of anything else its kind alone."""
    unknown = _UNDEFINED.fullmatch(str(error))
    if unknown is not None:
        return f"there is no {unknown['name']}; see docs/mail.md for what there is"
    return f"{type(error).__name__} while it was rendered"


LONGEST_LINE: Final = 60
_LONGEST_READ: Final = 600
_DOT_OR_COLON: Final = re.compile(r"([.:\u3002\uff61\u2024])(?=\S)")
"""The ideographic full stops too: browsers take them for a dot in a host's name."""


def one_short_line(text: str | None, *, longest: int = LONGEST_LINE) -> str:
    """A buyer's or a vendor's text for a mail: one line of at most `longest` characters, without any address.

    Whoever fills in a shop's form chooses whom we write to, and must not choose what we write. So words that hold an
    email or a URL are left out, a dot or colon within a word is followed by a space (`example.com` would be shown as a
    link), and control characters and marks of direction are gone.
    """
    plain = unicodedata.normalize("NFKC", (text or "")[:_LONGEST_READ])
    visible = "".join(_shown(each) for each in plain)
    words = (word for word in visible.split() if "@" not in word and "//" not in word and "\\\\" not in word)
    line = " ".join(_DOT_OR_COLON.sub(r"\1 ", " ".join(words)).split())
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if category in {"Zs", "Zl", "Zp"} or character.isspace():
        return " "
    return "" if category in {"Cc", "Cf", "Cs", "Co", "Cn"} else character
