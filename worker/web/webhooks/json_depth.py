"""How deep JSON is nested, told from its bytes: a parser that finds out has built the document by then."""

from __future__ import annotations

import re

# A quote that nothing closes takes the rest of the text, so that the pattern never goes back: linear for any input.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SAME_BRACKETS = bytes.maketrans(b"{}", b"[]")


def is_deeper_than(document: bytes, levels: int) -> bool:
    """Whether arrays and objects are nested in more than `levels`. Linear in the document's size, which may be broken:
    of brackets that do not close each other nothing is told but that they are not too deep.
    """
    brackets = _STRING.sub(b"", document).translate(_SAME_BRACKETS, _NOT_BRACKETS)
    for _ in range(levels):
        shallower = brackets.replace(b"[]", b"")  # the innermost level
        if len(shallower) == len(brackets):
            return brackets.count(b"[") > levels
        brackets = shallower
    return bool(brackets)
