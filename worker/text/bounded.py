"""Texts from outside, cut where they are kept: an index of PostgreSQL's takes 2,704 bytes, and refuses any other row.

A buyer may write as much as they like in a shop's form, and one name too long would end every poll.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator

LONGEST_WORDS: Final = 500
"""Characters, each of four bytes at most."""
LONGEST_EMAIL: Final = 320
"""More than an address has: one that is longer is kept as far as that, and is none."""
LONGEST_ID: Final = 100


def words(text: str) -> str:
    """A name, a title, a line of an address: its first 500 characters."""
    return text[:LONGEST_WORDS]


def email(text: str) -> str:
    """An address as it was written: its first 320 characters."""
    return text[:LONGEST_EMAIL]


def _id(text: str) -> str:
    return text[:LONGEST_ID]


Words = Annotated[str, AfterValidator(words)]
Email = Annotated[str, AfterValidator(email)]
Id = Annotated[str, AfterValidator(_id)]
