"""Unicode's normal forms, in time that grows with the text alone.

Python sorts each run of combining marks by insertion, with the lock on all other threads held: a name of 160 KB of them
takes 13 s.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final, Literal

_LARGEST_PIECE: Final = 256


def normal_form(form: Literal["NFC", "NFKC", "NFKD"], text: str) -> str:
    """A text in one of the normal forms.

    Of a run of more than 256 marks, which no language writes, each part is normal by itself.
    """
    if len(text) <= _LARGEST_PIECE or text.isascii():
        return unicodedata.normalize(form, text)
    return "".join(unicodedata.normalize(form, piece) for piece in _pieces(text))


def _pieces(text: str) -> Iterator[str]:
    """A text in pieces, cut before a character that belongs to none before it, if there is one near."""
    begin = 0
    while len(text) - begin > _LARGEST_PIECE:
        end = begin + _LARGEST_PIECE
        while end > begin and _continues(text[end]):
            end -= 1
        if end == begin:
            end = begin + _LARGEST_PIECE
        yield text[begin:end]
        begin = end
    yield text[begin:]


def _continues(character: str) -> bool:
    """Whether a character may become one with those before it: a mark, or a part of a Korean syllable."""
    return unicodedata.category(character)[0] == "M" or "\u1160" <= character <= "\u11ff"
