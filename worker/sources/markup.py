"""Texts that a shop wrote for its pages, as people read them."""

from __future__ import annotations

import html
import re
from typing import Final

_TAG: Final = re.compile(r"<[/!A-Za-z][^<>]*(?:>|$)")
"""A tag, or the beginning of one at which a text was cut off. Takes time in proportion to the text's length."""
_LONGEST_MARKUP: Final = 20_000
"""What stands beyond is not read: no title is so long."""


def plain_text(markup: str, *, longest: int) -> str:
    """A text on one line, without tags and with its entities decoded, cut to `longest` characters."""
    without_tags = _TAG.sub(" ", markup[:_LONGEST_MARKUP])
    return " ".join(html.unescape(without_tags).split())[:longest].rstrip()
