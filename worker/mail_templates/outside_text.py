"""What outsiders wrote, as it may stand in a mail of ours: one short line that no mail program turns into a link."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

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
