"""Characters that change what a terminal shows of everything around them: they are shown as what they are instead."""

from __future__ import annotations

from typing import Final

_ALLOWED: Final = "\n\t"
_CURSOR: Final = (*range(32), *range(127, 160))
"""C0 and C1: they move the cursor, change colours, and rename windows."""
_DIRECTION: Final = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
"""Bidirectional controls, and the separators of lines and paragraphs: a text that reads otherwise than it is."""
_HALVES: Final = range(0xD800, 0xE000)
"""Of surrogate pairs: no stream takes them."""


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


JSON_CONTROLS: Final = {code: f"\\u{code:04x}" for code in (*range(127, 160), *_DIRECTION, *_HALVES)}
"""For `str.translate` of any JSON that leaves, and of whatever is printed: the same JSON, and colours, are left of it.

JSON's own writers escape what is below 32 themselves, and a terminal's colours begin there.
"""
CONTROL_CHARACTERS: Final = JSON_CONTROLS | {code: _escape(code) for code in _CURSOR if chr(code) not in _ALLOWED}
"""For `str.translate`: all of them, for a text from outside; line ends and tabs stay."""
