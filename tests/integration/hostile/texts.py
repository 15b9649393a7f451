"""Texts that make a pattern slow which is not linear: long runs of whatever it may begin with, and no end."""

from __future__ import annotations

import re
from collections.abc import Iterator

FRAGMENTS = (
    " ",
    "\n",
    "\t \n",
    "a",
    "a-",
    "a.",
    "A_",
    "0",
    "9.",
    "e+",
    "-",
    "\\",
    '\\"',
    "\\\\\\",
    '"',
    "'",
    "<",
    "<!--",
    "<!---->",
    "<a ",
    "<?xml",
    ">",
    "{",
    "[[",
    ", ",
    ",",
    "@",
    "a@",
    "@a.",
    "a@b.",
    "http://",
    "?",
    "&",
    "=",
    "%3D",
    "%",
    "`",
    "x ",
    " x ",
    " x 1",
    "1/",
    "/Date(",
    ":",
    '":"',
    '"token":"',
    '\\"token\\":\\"',
    "token=",
    "invalid ",
    "user-",
    "participant-",
    "cb-",
    "studiocart order ",
    "é",
    "\u200b",
    "😀",
)
PREFIXES = ("", '"token":"', "<x", "participant-", "Subject:", "<!doctype", "a@b.", "+", '"', "12/12/2026 ")
SUFFIXES = ("", "<x></x>", "!", "\\", '"', ">", "\x00")


def hostile_texts(pattern: str, size: int) -> Iterator[str]:
    """Texts of `size` characters, some of them made of the pattern's own words."""
    words = tuple(dict.fromkeys(re.findall(r"[A-Za-z]{2,}", pattern)))[:12]
    fragments = (*FRAGMENTS, *words, *(f"{word} " for word in words[:6]))
    for number, fragment in enumerate(fragments):
        run = fragment * (size // len(fragment) + 1)
        yield run[:size]
        # Each fragment meets some of the beginnings and ends: all of them together would take minutes.
        prefix, suffix = PREFIXES[number % len(PREFIXES)], SUFFIXES[number % len(SUFFIXES)]
        yield (prefix + run)[: max(size - len(suffix), 0)] + suffix
        other = fragments[(number * 7 + 3) % len(fragments)]
        yield ((fragment + other) * (size // len(fragment + other) + 1))[:size]
