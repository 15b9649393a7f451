"""From a body's bytes to its text: a letter that was cut spoils the name it stands in, and no other."""

from __future__ import annotations

import codecs
from typing import Final

REPLACEMENT: Final = "\ufffd"
_WESTERN: Final = frozenset({"cp1252", "iso8859-1", "iso8859-15"})
_CUT_LEADS: Final = frozenset(b"\xc2\xc3")
"""How every letter of western Europe begins in UTF-8. By themselves they are capital A with a hat, which is rare."""
_LONGEST_NAME: Final = 40
_CHARSETS: Final = ("utf-", "cp125", "iso8859", "koi8", "gb", "big5", "shift_jis", "euc_")
"""Python's codecs that are charsets of the web; others pack, escape, or execute nobody knows what."""


def charset_of(content_type: str | None) -> str | None:
    """Return the name that Python knows the declared charset by; None where none is declared, or nobody knows it."""
    for parameter in (content_type or "")[:500].split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return _known(value.strip().strip("\"'"))
    return None


def decode(body: bytes, charset: str | None = None) -> str:
    """Return a body's text, without its first byte-order mark. Never fails: what cannot be decoded becomes U+FFFD.

    A body that is UTF-8 is read so, whatever was declared. One that is not is read in the declared charset if all of it
    can be; and as Windows-1252, in which an old IIS or PHP answers without saying so, where nothing in it is UTF-8.
    """
    if body[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return body.decode("utf-16", "replace")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    if charset is not None and charset != "utf-8":
        if charset in _WESTERN:
            return body.decode("cp1252", "replace")
        try:
            return body.decode(charset)
        except (UnicodeError, ValueError):
            pass
    text = body.decode("utf-8-sig", "replace")
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    if charset is None and beyond_ascii == text.count(REPLACEMENT) and not _is_cut(body):
        return body.decode("cp1252", "replace")
    return text


def _is_cut(body: bytes) -> bool:
    return all(byte in _CUT_LEADS for byte in set(body) if byte >= 0x80)


def _known(name: str) -> str | None:
    if not name.isascii() or not 0 < len(name) <= _LONGEST_NAME:
        return None
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        return None
    return codec.name if codec.name.startswith(_CHARSETS) else None
