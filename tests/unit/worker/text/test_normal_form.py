"""`worker.text.normal_form`: as Unicode has it, for texts of any length and kind, in time that grows with the text."""

from __future__ import annotations

import ast
import time
import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tasks
import worker
import workflows
from worker.text.email_address import email_key, email_problem, folded
from worker.text.normal_form import normal_form
from worker.text.search_text import search_text
from workflows.planning.names import is_same_name

ROOT = Path(worker.__file__).parents[1]
FORMS: tuple[Literal["NFC", "NFKC", "NFKD"], ...] = ("NFC", "NFKC", "NFKD")
MARKS = "a" + "\u0301\u0316" * 200_000
"""A letter with marks of two classes in turn: sorted by insertion that is ten thousand million steps."""
WORDS = "\ufdfa" * 20_000
"""Each becomes four words in the compatibility forms."""
LONGEST_SECONDS = 20.0
"""Of the processor's time, for all of it: some 2 s, and hours where it is not linear."""


@pytest.mark.parametrize("form", FORMS)
@given(
    st.lists(
        st.sampled_from(["a", "é", "e\u0301\u0316", "\u1100\u1161\u11a8", "\uac00\u11a8", "ﬁ", "\u09c7\u09be", " "])
    )
)
def test_a_long_text_is_in_its_form_when_it_is_looked_at_in_pieces(
    form: Literal["NFC", "NFKC", "NFKD"], parts: list[str]
) -> None:
    text = "".join(parts) * 60
    assert normal_form(form, text) == unicodedata.normalize(form, text)


def test_a_text_of_marks_alone_takes_no_time_when_it_is_long() -> None:
    began = time.thread_time()
    for form in FORMS:
        assert len(normal_form(form, MARKS)) >= len(MARKS) - 1
    email_key(f"{MARKS}@example.com")
    assert email_problem(f"{MARKS}@example.com") is not None
    folded(MARKS)
    search_text([MARKS, WORDS])
    assert time.thread_time() - began < LONGEST_SECONDS


@pytest.mark.parametrize("name", [MARKS, WORDS, " ".join(f"z{number} a" for number in range(50_000))])
def test_names_are_compared_in_no_time_when_they_are_no_names(name: str) -> None:
    began = time.thread_time()
    is_same_name(f"{name} q", f"{name[1:]} z")
    is_same_name(name, "Jane Doe")
    assert time.thread_time() - began < LONGEST_SECONDS / 10


def test_nothing_brings_a_text_to_its_form_by_itself_when_the_product_is_looked_through() -> None:
    """A short text may be: one that is cut in the same call, or a single character."""
    found = [
        str(path.relative_to(ROOT))
        for package in (worker, tasks, workflows)
        for path in Path(package.__path__[0]).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"normalize", "is_normalized"}
    ]
    assert sorted(found) == ["worker/mail_templates/rendering.py", *["worker/text/normal_form.py"] * 2]
