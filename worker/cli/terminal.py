"""Sentences for people on a terminal: their lines end between words."""

from __future__ import annotations

import re
import shutil
import textwrap
from typing import Final, TextIO

_COMMAND: Final = re.compile(r"`[^`]*`")
_KEPT_SPACE: Final = "\x1f"
"""Stands in a command for a space, while lines are made."""


def fitted(text: str, stream: TextIO) -> str:
    """A text for people in lines of the terminal's width, each indented as the one it continues; unchanged elsewhere.

    Lines end between words: a command in backticks, an address or a path is never divided.
    """
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(_fitted_line(line, width) for line in text.split("\n"))


def _fitted_line(line: str, width: int) -> str:
    words = line.lstrip(" ")
    indent = line[: len(line) - len(words)]
    kept = _COMMAND.sub(lambda command: command[0].replace(" ", _KEPT_SPACE), words)
    filled = textwrap.fill(
        kept, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return filled.replace(_KEPT_SPACE, " ")
