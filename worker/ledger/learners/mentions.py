"""Finds the rows whose texts name an email, however JSON escapes it, and no row that names another's."""

from __future__ import annotations

import json
import re
from typing import Any

from sqlalchemy import Column, Connection, Row, Text, cast, select

from worker.sources.order import email_key
from worker.text.normal_form import normal_form
from worker.text.personal_text import EMAIL_BEGINS, texts_in

_LIKE = {"%": "!%", "_": "!_", "!": "!!", "\\": "%", '"': "%"}
_WORD = re.compile(r"[^\s,;<>\"():\[\]\\=|/{}]+")
"""What an address in a text may stand in."""


def whole_email(key: str) -> re.Pattern[str]:
    """Finds an email in a text, and not within another's: neither in `jo.ann@…` nor in `ann@example.com.au`.

    Also some that only look alike to `re`, as a dotless i does to an i: the key of what is found decides.
    """
    return re.compile(rf"{EMAIL_BEGINS}{re.escape(key)}(?![\w-]|\.\w)", re.IGNORECASE)


def emails_in(value: Any) -> set[str]:
    """The keys of the addresses that stand anywhere in a JSON value."""
    words = (word for text in texts_in(value) if "@" in text for word in _WORD.findall(text) if "@" in word)
    parts = (word.strip("'.").rpartition("@") for word in words)
    found = {(local.rpartition("@")[2], domain) for local, _, domain in parts}
    return {email_key(f"{local}@{domain}") for local, domain in found if local and "." in domain}


def normal_text(text: str) -> str:
    """A text in the normal form in which keys are."""
    return normal_form("NFC", text)


def rows_naming(
    connection: Connection, key: str, document: Column[Any], *columns: Column[Any]
) -> list[Row[*tuple[Any, ...]]]:
    """The rows whose JSON names an email: their `columns`, and the JSON as `payload`. Goes through all: asked rarely.

    What JSON may escape is any text to the database, and looked at here.
    """
    if "@" not in key:  # no address: in a text it would be anybody's name
        return []
    pattern = "".join(_LIKE.get(each, each if each.isascii() else "%") for each in key)
    text = cast(document, Text)
    found = connection.execute(
        select(*columns, document.label("payload")).where(text.ilike(f"%{pattern}%", escape="!"))
    )
    whole = whole_email(key)
    texts = ((row, normal_text(json.dumps(row.payload, ensure_ascii=False))) for row in found)
    return [
        row for row, text_of_row in texts if any(email_key(match[0]) == key for match in whole.finditer(text_of_row))
    ]
