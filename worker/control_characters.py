"""Characters that change what a terminal shows of everything around them: they are shown as what they are instead."""

from __future__ import annotations

from typing import Final

_KEPT: Final = "\n\t"
_CURSOR: Final = (*range(32), *range(127, 160))
"""C0 and C1: they move the cursor, change colours, and rename windows."""
_DIRECTION: Final = (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
"""Bidirectional controls, and the separators of lines and paragraphs: a text that reads otherwise than it is."""
_HALVES: Final = range(0xD800, 0xE000)
"""Of surrogate pairs: no stream takes them."""


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


DIRECTION_CONTROLS: Final = {code: _escape(code) for code in (*_DIRECTION, *_HALVES)}
"""For `str.translate`: what may stand in no text for people, whatever colours it; a JSON text stays the same JSON."""
CONTROL_CHARACTERS: Final = {code: _escape(code) for code in _CURSOR if chr(code) not in _KEPT} | DIRECTION_CONTROLS
"""For `str.translate`: all of them, for a text from outside; line ends and tabs stay."""
